"""MLflow's scoring protocol: tables (`dataframe_split`, `dataframe_records`) or tensors (`instances`, `inputs`) in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import orjson

from modelport.core.errors import InvalidArgument
from modelport.server.encoding import json_body, records
from modelport.server.exchange import Request, Response
from modelport.server.foreign import as_batch
from modelport.server.listener.declaration import Model
from modelport.server.listener.formats.base import Call, Failure, Message, garbled
from modelport.server.listener.formats.failure_words import failure_in, told
from modelport.server.listener.formats.json_body import (
    answered,
    batch_in,
    body_with_nan,
    has_member,
    read_object,
    values_in,
)
from modelport.server.listener.formats.named_columns import columns_in
from modelport.server.model import Array, Batch
from modelport.server.number_arrays import WORTHWHILE_BYTES, NumberReader
from modelport.server.rows import rounds

_SPLIT, _RECORDS, _INSTANCES, _INPUTS = "dataframe_split", "dataframe_records", "instances", "inputs"
_WAYS = (_SPLIT, _RECORDS, _INSTANCES, _INPUTS)
_PARAMETERS = "params"
_WANTED = f"Send one of {', '.join(f'`{way}`' for way in _WAYS)}, and `{_PARAMETERS}` where there are some"
_PREDICTIONS = "an object with `predictions`"
# Its names for what went wrong, by status.
_CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    429: "REQUEST_LIMIT_EXCEEDED",
    501: "NOT_IMPLEMENTED",
    503: "TEMPORARILY_UNAVAILABLE",
    504: "TEMPORARILY_UNAVAILABLE",
}
_OTHER_CODE = "INTERNAL_ERROR"
_LONGEST_CAUSE = 500


class MLflow:
    """The protocol of `mlflow models serve` and of what speaks like it; bytes are base64 there, as the model knows."""

    name = "mlflow"
    about = "MLflow's `/invocations`: `dataframe_split`, `dataframe_records`, `instances` or `inputs`, and `params`."
    row_by_row = False

    def __init__(self) -> None:
        self._readers = {way: NumberReader(rows=way) for way in (_INPUTS, _INSTANCES)}
        self._predictions = NumberReader(rows="predictions")

    def speaks(self, request: Request) -> bool:
        """Return whether it has rows in one of the ways, and no tensors of the Open Inference Protocol."""
        return has_member(request, *(way.encode() for way in _WAYS)) and not has_member(request, b"datatype")

    def read_call(self, request: Request) -> Call:
        """Return the rows or columns of a body."""
        if len(request.body) >= WORTHWHILE_BYTES:
            for reader in self._readers.values():
                found = reader.read(request.body)
                if found is not None and found[1].keys() <= {_PARAMETERS} and not rounds(found[0]):
                    return Call(found[0], _parameters(found[1]))
        document = read_object(request.body, _WANTED)
        ways = [way for way in _WAYS if way in document]
        if len(ways) != 1:
            seen = ways or list(document)[:10]
            names = ", ".join(f"`{name}`" for name in seen) or "nothing"
            raise InvalidArgument(f"The body has {names}, where one way of giving rows is wanted", hint=_WANTED)
        unknown = [
            name
            for name, value in document.items()
            if name not in (*_WAYS, _PARAMETERS) and isinstance(value, (dict, list))
        ]
        if unknown:
            raise InvalidArgument(f"The body has members that are not known: `{unknown[0]}`", hint=_WANTED)
        return Call(_READ[ways[0]](document[ways[0]], ways[0]), _parameters(document))

    def write_call(self, call: Call, model: Model) -> Message:
        """Return a table where the values have names, else a tensor."""
        batch = _named(as_batch(call.batch), list(model.inputs))
        members: dict[str, Any]
        if isinstance(batch, dict) and all(map(_is_plain_column, batch.values())):
            data = list(zip(*(values_in(values) for values in batch.values()), strict=True))
            members = {_SPLIT: {"columns": list(batch), "data": data}}
        elif isinstance(batch, dict):
            members = {_INPUTS: {name: records(values) for name, values in batch.items()}}
        elif isinstance(batch, list) and batch and all(isinstance(row, Mapping) for row in batch):
            members = {_RECORDS: batch}
        else:
            members = {_INPUTS: records(batch)}
        if call.parameters:
            members[_PARAMETERS] = dict(call.parameters)
        if _INPUTS in members:  # null would be an object among the numbers; in a table it is the missing value
            return Message(body_with_nan(members, batch, base64=True))
        return Message(json_body(members, base64=True))

    def read_answer(self, message: Message, model: Model) -> Batch:
        """Return `predictions`: rows, or columns by name."""
        found = self._predictions.read(message.body) if len(message.body) >= WORTHWHILE_BYTES else None
        if found is not None and not rounds(found[0]):
            return found[0]
        document = answered(message, model, _PREDICTIONS)
        predictions = document.get("predictions") if isinstance(document, dict) else None
        if isinstance(predictions, list):
            return batch_in(predictions)
        if not isinstance(predictions, dict):
            raise garbled(message, model, _PREDICTIONS)
        try:
            return columns_in(predictions, "predictions")
        except InvalidArgument as error:
            raise garbled(message, model, _PREDICTIONS, error.message) from error

    def write_answer(self, batch: Batch, call: Call, name: str) -> Response:
        """Return `predictions` by rows."""
        return Response(200, json_body({"predictions": records(batch)}, base64=True))

    def read_failure(self, message: Message) -> Failure:
        """Return `message`, and what the model itself said, which only the last line of `stack_trace` tells."""
        failure = failure_in(message)
        cause = _cause_in(message.body)
        return replace(failure, words=f"{failure.words} ({cause})") if cause not in failure.words else failure

    def write_failure(self, error: Exception) -> Response:
        """Return `{"error_code", "message"}`."""
        response, text = told(error)
        response.body = json_body({"error_code": _CODES.get(response.status, _OTHER_CODE), "message": text})
        return response


def _cause_in(body: bytes) -> str:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    trace = document.get("stack_trace") if isinstance(document, dict) else None
    return trace.strip().rpartition("\n")[2][:_LONGEST_CAUSE] if isinstance(trace, str) else ""


def _parameters(document: Mapping[str, Any]) -> dict[str, Any]:
    parameters = document.get(_PARAMETERS) or {}
    if not isinstance(parameters, dict):
        raise InvalidArgument(f"`{_PARAMETERS}` is not an object", hint=f'Send {{"{_PARAMETERS}": {{"name": value}}}}')
    return parameters


def _read_split(table: Any, way: str) -> Batch:
    data = table.get("data") if isinstance(table, dict) else None
    if not isinstance(data, list) or not all(isinstance(row, list) for row in data):
        raise InvalidArgument(
            f"`{way}` has no list `data` of rows", hint='Send {"columns": [...], "data": [[...], ...]}'
        )
    columns = table.get("columns")
    if columns is None:
        return batch_in(data)
    if not isinstance(columns, list):
        raise InvalidArgument(f"`{way}.columns` is not a list", hint='Send {"columns": [...], "data": [[...], ...]}')
    for number, row in enumerate(data):
        if len(row) != len(columns):
            raise InvalidArgument(
                f"instances[{number}] has {len(row)} values; there are {len(columns)} columns",
                hint=f"Send one value for each of `{way}.columns`",
                row=str(number),
            )
    names = [str(name) for name in columns]
    if len(set(names)) < len(names):
        raise InvalidArgument(f"`{way}.columns` has a name twice", hint="Give each column a name of its own")
    return {name: batch_in([row[index] for row in data]) for index, name in enumerate(names)} if data else []


def _read_rows(rows: Any, way: str) -> Batch:
    if not isinstance(rows, list):
        raise InvalidArgument(f"`{way}` is not a list", hint=f'Send {{"{way}": [...]}}, one entry for each row')
    if way == _RECORDS and not all(isinstance(row, dict) for row in rows):
        raise InvalidArgument(f"`{way}` has rows that are no objects", hint=f"Send them as `{_INSTANCES}`")
    return batch_in(rows)


def _read_tensors(inputs: Any, way: str) -> Batch:
    return columns_in(inputs, way) if isinstance(inputs, dict) else _read_rows(inputs, way)


_READ = {_SPLIT: _read_split, _RECORDS: _read_rows, _INSTANCES: _read_tensors, _INPUTS: _read_tensors}


def _named(batch: Batch, names: list[str]) -> Batch:
    """Return rows of as many values as the model declares inputs as columns of those names."""
    if len(names) > 1 and isinstance(batch, np.ndarray) and batch.shape[1:] == (len(names),):
        return {name: batch[:, index] for index, name in enumerate(names)}
    return batch


def _is_plain_column(values: Array | list[Any]) -> bool:
    if isinstance(values, np.ndarray):
        return values.ndim == 1
    return not any(isinstance(value, (list, dict, np.ndarray)) for value in values)
