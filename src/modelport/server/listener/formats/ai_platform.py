"""AI Platform and Vertex AI: `{"instances": [...], "parameters": {...}}` in, `{"predictions": [...]}` out."""

from __future__ import annotations

from modelport.server import failures
from modelport.server.decoding import Decoder
from modelport.server.encoding import encode, json_body
from modelport.server.exchange import Request, Response
from modelport.server.listener.declaration import Model
from modelport.server.listener.formats.base import Call, Failure, Message, garbled
from modelport.server.listener.formats.failure_words import failure_in
from modelport.server.listener.formats.json_body import answered, batch_in, has_member
from modelport.server.model import Batch, Form
from modelport.server.number_arrays import WORTHWHILE_BYTES, NumberReader
from modelport.server.rows import rounds

_WANTED = "an object with a list `predictions`"


class AIPlatform:
    """The format of the platform's own API."""

    name = "ai-platform"
    about = 'AI Platform and Vertex AI: `{"instances": [...], "parameters": {...}}`, answered with `predictions`.'
    row_by_row = False

    def __init__(self) -> None:
        self._decode = Decoder(Form.ARRAY, passed_on=True)
        self._predictions = NumberReader(rows="predictions")

    def speaks(self, request: Request) -> bool:
        """Return whether it has `instances`."""
        return has_member(request, b"instances")

    def read_call(self, request: Request) -> Call:
        """Return the rows and parameters of a body."""
        found = self._decode(request.body)
        return Call(found.batch, found.parameters)

    def write_call(self, call: Call, model: Model) -> Message:
        """Return the rows as `instances`."""
        body = encode(call.batch, member="instances")
        if call.parameters:
            body = b"".join((memoryview(body)[:-1], b',"parameters":', json_body(dict(call.parameters)), b"}"))
        return Message(body)

    def read_answer(self, message: Message, model: Model) -> Batch:
        """Return the `predictions` of a body."""
        return predictions_in(message, model, self._predictions)

    def write_answer(self, batch: Batch, call: Call, name: str) -> Response:
        """Return predictions."""
        return Response(200, encode(batch))

    def read_failure(self, message: Message) -> Failure:
        """Return `error`, or the `message` in it."""
        return failure_in(message)

    def write_failure(self, error: Exception) -> Response:
        """Return Google's error envelope."""
        return failures.response(error)


def predictions_in(message: Message, model: Model, numbers: NumberReader) -> Batch:
    """Return the list `predictions` of an answer. Raises ModelServerGarbled where it has none."""
    found = numbers.read(message.body) if len(message.body) >= WORTHWHILE_BYTES else None
    if found is not None and not rounds(found[0]):
        return found[0]
    document = answered(message, model, _WANTED)
    predictions = document.get("predictions") if isinstance(document, dict) else None
    if not isinstance(predictions, list):
        raise garbled(message, model, _WANTED)
    return batch_in(predictions)
