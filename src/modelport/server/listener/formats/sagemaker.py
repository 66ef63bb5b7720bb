"""SageMaker's `/invocations`: JSON, JSON lines or CSV in, and the answer in the same or what `accept` names."""

from __future__ import annotations

from typing import Any, ClassVar

import orjson

from modelport.core.errors import InvalidArgument
from modelport.server.decoding import Decoder, too_deep
from modelport.server.encoding import encode, json_body, records
from modelport.server.exchange import JSON, Request, Response
from modelport.server.listener.declaration import Model
from modelport.server.listener.formats import csv_rows
from modelport.server.listener.formats.base import Call, Failure, Message, garbled
from modelport.server.listener.formats.failure_words import failure_in, told
from modelport.server.listener.formats.json_body import answered, batch_in, bytes_read, has_member
from modelport.server.model import Batch, Form
from modelport.server.number_arrays import WORTHWHILE_BYTES, NumberReader
from modelport.server.rows import rounds

_CSV = b"text/csv"
_LINES = b"application/jsonlines"
_ALIASES = {b"application/jsonl": _LINES, b"application/x-jsonlines": _LINES, b"application/json-lines": _LINES}
_WANTED = "an object with `predictions`, or a list"
# The names of errors that its clients know, by status.
_TYPES = {400: "ValidationError", 404: "ValidationError", 429: "ThrottlingException", 503: "ServiceUnavailable"}
_OTHER_TYPE = "ModelError"


class SageMaker:
    """The container protocol; model servers are sent JSON."""

    name = "sagemaker"
    about = (
        "SageMaker's `/invocations` with `application/json`, `text/csv` or `application/jsonlines`, told by the type."
    )
    row_by_row = False
    _sends: ClassVar[bytes] = JSON

    def __init__(self) -> None:
        self._decode = Decoder(Form.ARRAY, passed_on=True)
        self._predictions = NumberReader(rows="predictions")

    def speaks(self, request: Request) -> bool:
        """Return whether it is CSV or lines of JSON by its type, or has `instances`."""
        return _type_of(request.header(b"content-type")) in (_CSV, _LINES) or has_member(request, b"instances")

    def read_call(self, request: Request) -> Call:
        """Return the rows of a body, whatever its type says that it is."""
        content_type = _type_of(request.header(b"content-type"))
        accept = _type_of(request.header(b"accept"))
        wanted = accept if accept in (JSON, _CSV, _LINES) else content_type
        if content_type == _CSV:
            return Call(csv_rows.read(request.body), content_type=wanted)
        if content_type == _LINES:
            return Call(_lines(request.body), content_type=wanted)
        found = self._decode(request.body)
        return Call(found.batch, found.parameters, content_type=wanted)

    def write_call(self, call: Call, model: Model) -> Message:
        """Return the rows in the type that the model server is sent."""
        return Message(_written(call.batch, self._sends, "instances"), self._sends, {b"accept": self._sends})

    def read_answer(self, message: Message, model: Model) -> Batch:
        """Return the rows of an answer, by its type."""
        content_type = _type_of(message.content_type)
        try:
            if content_type == _CSV:
                return _single(csv_rows.read(message.body))
            if content_type == _LINES:
                return _lines(message.body)
        except InvalidArgument as error:
            raise garbled(message, model, content_type.decode(), error.message) from error
        found = self._predictions.read(message.body) if len(message.body) >= WORTHWHILE_BYTES else None
        if found is not None and not rounds(found[0]):
            return found[0]
        document = answered(message, model, _WANTED)
        predictions = document.get("predictions") if isinstance(document, dict) else document
        if not isinstance(predictions, list):
            raise garbled(message, model, _WANTED)
        return batch_in(predictions)

    def write_answer(self, batch: Batch, call: Call, name: str) -> Response:
        """Return predictions in the type that the caller accepts."""
        wanted = call.content_type if call.content_type in (_CSV, _LINES) else JSON
        return Response(200, _written(batch, wanted, "predictions"), wanted)

    def read_failure(self, message: Message) -> Failure:
        """Return what the body says."""
        return failure_in(message)

    def write_failure(self, error: Exception) -> Response:
        """Return the error's type, in a header too, and its message."""
        response, text = told(error)
        kind = _TYPES.get(response.status, _OTHER_TYPE)
        response.body = json_body({"code": kind, "message": text})
        response.headers = {b"x-amzn-errortype": kind.encode()}
        return response


class CSVSageMaker(SageMaker):
    """The container protocol; model servers are sent CSV, as those of the built-in algorithms want it."""

    name = "sagemaker-csv"
    about = "As `sagemaker`; a model server is sent `text/csv`."
    _sends = _CSV


class LinesSageMaker(SageMaker):
    """The container protocol; model servers are sent lines of JSON."""

    name = "sagemaker-jsonlines"
    about = "As `sagemaker`; a model server is sent `application/jsonlines`."
    _sends = _LINES


def _type_of(header: bytes) -> bytes:
    content_type = header.partition(b";")[0].strip().lower()
    return _ALIASES.get(content_type, content_type)


def _lines(body: bytes) -> Batch:
    rows: list[Any] = []
    for number, line in enumerate(body.splitlines()):
        if not line.strip():
            continue
        try:
            rows.append(orjson.loads(line))
        except orjson.JSONDecodeError as error:
            raise InvalidArgument(
                f"Line {number + 1} is not JSON: {error}", hint="Send one row of JSON in each line", row=str(len(rows))
            ) from error
    try:
        return batch_in(bytes_read(rows, body))
    except RecursionError:
        raise too_deep() from None


def _written(batch: Batch, content_type: bytes, member: str) -> bytes:
    if content_type == JSON:
        return encode(batch, member=member)
    rows = records(batch)
    if content_type == _CSV:
        return csv_rows.written(rows)
    return b"".join(json_body(row) + b"\n" for row in rows)


def _single(batch: Batch) -> Batch:
    """Return the values alone where every row is one."""
    if isinstance(batch, list):
        return [row[0] for row in batch] if all(isinstance(row, list) and len(row) == 1 for row in batch) else batch
    return batch[:, 0] if not isinstance(batch, dict) and batch.shape[1:] == (1,) else batch
