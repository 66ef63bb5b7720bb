"""TensorFlow Serving's predict API: `instances` by rows or `inputs` by columns, and answers the same way."""

from __future__ import annotations

from typing import Any

from modelport.core.errors import InvalidArgument
from modelport.server.decoding import Decoder
from modelport.server.encoding import encode, json_body, records
from modelport.server.exchange import Request, Response
from modelport.server.foreign import as_batch
from modelport.server.listener.declaration import Model
from modelport.server.listener.formats.ai_platform import predictions_in
from modelport.server.listener.formats.base import Call, Failure, Message, garbled
from modelport.server.listener.formats.failure_words import failure_in, told
from modelport.server.listener.formats.json_body import (
    answered,
    batch_in,
    body_with_nan,
    has_member,
    mentions,
    read_object,
    says_not_finite,
)
from modelport.server.listener.formats.named_columns import columns_in
from modelport.server.model import Batch, Form
from modelport.server.number_arrays import WORTHWHILE_BYTES, NumberReader
from modelport.server.rows import rounds

_SIGNATURE = "signature_name"
_WANTED = 'Send {"instances": [...]}, one entry for each row, or {"inputs": {"NAME": [...]}}'
_INSTANCES, _INPUTS = "instances", "inputs"
_WAYS = (_INSTANCES, _INPUTS)
_BESIDE = ("parameters", _SIGNATURE)
_OUTPUTS = "an object with `predictions` or `outputs`"
_HEAD_BYTES = 64


class TFServing:
    """The predict API; `signature_name` is a parameter here."""

    name = "tf-serving"
    about = "TensorFlow Serving's predict API: `instances` by rows, `inputs` by columns, and `signature_name`."
    row_by_row = False

    def __init__(self) -> None:
        self._decode = Decoder(Form.ARRAY, passed_on=True)
        self._inputs = NumberReader(rows="inputs")
        self._predictions = NumberReader(rows="predictions")
        self._outputs = NumberReader(rows="outputs")

    def speaks(self, request: Request) -> bool:
        """Return whether it has `instances`, or `inputs` that are no tensors of the Open Inference Protocol."""
        if has_member(request, b"instances"):
            return True
        return has_member(request, b"inputs") and not has_member(request, b"datatype")

    def read_call(self, request: Request) -> Call:
        """Return the rows, or the columns, of a body."""
        body = request.body
        numbers = self._inputs.read(body) if len(body) >= WORTHWHILE_BYTES else None
        if numbers is not None and numbers[1].keys() <= set(_BESIDE) and not rounds(numbers[0]):
            return Call(numbers[0], _parameters(numbers[1]), columns=True)
        if not mentions(body, b"inputs") and not says_not_finite(body):
            return self._rows(body)
        document = read_object(body, _WANTED)
        way = next((way for way in _WAYS if way in document), None)
        unknown = [
            name for name in document if name not in (way, *_BESIDE) and isinstance(document[name], (dict, list))
        ]
        if way is None or unknown:
            return self._rows(body)  # which says what is wrong
        given = document[way]
        if isinstance(given, list):
            batch = batch_in(given)
        elif isinstance(given, dict) and way == _INPUTS:
            batch = columns_in(given, way)
        else:
            raise InvalidArgument(f"`{way}` is not a list", hint=_WANTED)
        return Call(batch, _parameters(document), columns=way == _INPUTS)

    def _rows(self, body: bytes) -> Call:
        found = self._decode(body)
        return Call(found.batch, found.parameters)

    def write_call(self, call: Call, model: Model) -> Message:
        """Return columns as `inputs`, rows as `instances`, with the signature that is asked for."""
        batch = as_batch(call.batch)
        members: dict[str, Any] = {}
        if _SIGNATURE in call.parameters:
            members[_SIGNATURE] = call.parameters[_SIGNATURE]
        if isinstance(batch, dict):
            members[_INPUTS] = {name: records(values) for name, values in batch.items()}
        else:
            members[_INSTANCES] = records(batch)
        return Message(body_with_nan(members, batch))

    def read_answer(self, message: Message, model: Model) -> Batch:
        """Return `predictions`, or the columns of `outputs`."""
        if b'"predictions"' in message.body[:_HEAD_BYTES]:
            return predictions_in(message, model, self._predictions)
        found = self._outputs.read(message.body) if len(message.body) >= WORTHWHILE_BYTES else None
        if found is not None and not rounds(found[0]):
            return found[0]
        document = answered(message, model, _OUTPUTS)
        if not isinstance(document, dict) or not ({"predictions", "outputs"} & document.keys()):
            raise garbled(message, model, _OUTPUTS)
        given = document.get("predictions", document.get("outputs"))
        if isinstance(given, list):
            return batch_in(given)
        if not isinstance(given, dict):
            raise garbled(message, model, _OUTPUTS)
        try:
            return columns_in(given, "outputs")
        except InvalidArgument as error:
            raise garbled(message, model, _OUTPUTS, error.message) from error

    def write_answer(self, batch: Batch, call: Call, name: str) -> Response:
        """Return `predictions` by rows, or `outputs` where the caller sent columns; of one output its values alone."""
        batch = as_batch(batch)
        if isinstance(batch, dict) and len(batch) == 1:
            (batch,) = batch.values()
        if not call.columns:
            return Response(200, encode(batch))
        if isinstance(batch, dict):
            return Response(200, json_body({"outputs": {name: records(values) for name, values in batch.items()}}))
        return Response(200, encode(batch, member="outputs"))

    def read_failure(self, message: Message) -> Failure:
        """Return `error`."""
        return failure_in(message)

    def write_failure(self, error: Exception) -> Response:
        """Return `{"error": ...}`."""
        response, text = told(error)
        response.body = json_body({"error": text})
        return response


def _parameters(document: dict[str, Any]) -> dict[str, Any]:
    parameters = document.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise InvalidArgument("`parameters` is not an object", hint='Send {"parameters": {"name": value}}')
    return {**parameters, _SIGNATURE: document[_SIGNATURE]} if _SIGNATURE in document else dict(parameters)
