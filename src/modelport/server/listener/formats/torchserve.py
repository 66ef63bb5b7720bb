"""TorchServe: the body of one row to `/predictions/MODEL`, its prediction as the body of the answer."""

from __future__ import annotations

from dataclasses import replace

from modelport.server.encoding import json_body
from modelport.server.exchange import Request, Response
from modelport.server.listener.declaration import Model
from modelport.server.listener.formats.base import Call, Failure, Message
from modelport.server.listener.formats.content import answer_in, answer_of, body_of, only_row, value_sent
from modelport.server.listener.formats.failure_words import failure_in, told
from modelport.server.listener.formats.json_body import has_member, is_json
from modelport.server.model import Batch

# Its names for what went wrong, by status.
_TYPES = {
    400: "BadRequestException",
    404: "ModelNotFoundException",
    405: "MethodNotAllowedException",
    413: "PayloadTooLargeException",
    429: "TooManyRequestsException",
    503: "ServiceUnavailableException",
    504: "RequestTimeoutException",
}
_OTHER_TYPE = "InternalServerException"
_RAISED = _OTHER_TYPE.encode()
_OTHER_FORMATS = (b"instances", b"inputs", b"dataframe_split", b"dataframe_records")


class TorchServe:
    """Bytes, text or JSON of one row; it has no parameters."""

    name = "torchserve"
    about = "TorchServe's inference API: the bytes, text or JSON of one row in, the row's prediction out."
    row_by_row = True

    def speaks(self, request: Request) -> bool:
        """Return whether it is the content of one row: no JSON, or JSON of no other format."""
        return not is_json(request) or not has_member(request, *_OTHER_FORMATS)

    def read_call(self, request: Request) -> Call:
        """Return the body as a row."""
        return Call([value_sent(request)])

    def write_call(self, call: Call, model: Model) -> Message:
        """Return the row: bytes with their type, text, and all else as JSON."""
        return Message(*body_of(only_row(call.batch)))

    def read_answer(self, message: Message, model: Model) -> Batch:
        """Return the body as the prediction of the row."""
        return [answer_in(message, model)]

    def write_answer(self, batch: Batch, call: Call, name: str) -> Response:
        """Return the prediction of the row."""
        return answer_of(batch)

    def read_failure(self, message: Message) -> Failure:
        """Return `message`. A handler that raises is answered with 503, as is one that is not there."""
        failed = failure_in(message)
        raised = failed.status == 503 and _RAISED in message.body
        return replace(failed, status=500) if raised else failed

    def write_failure(self, error: Exception) -> Response:
        """Return `{"code", "type", "message"}`."""
        response, text = told(error)
        response.body = json_body(
            {"code": response.status, "type": _TYPES.get(response.status, _OTHER_TYPE), "message": text}
        )
        return response
