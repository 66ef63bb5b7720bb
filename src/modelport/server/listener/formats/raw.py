"""Raw bytes: the body of a request is one row, an image or a sound, and its prediction is the body of the answer."""

from __future__ import annotations

from dataclasses import replace

from modelport.core.errors import InvalidArgument
from modelport.server import failures
from modelport.server.exchange import Request, Response
from modelport.server.listener.declaration import Model
from modelport.server.listener.formats.base import Call, Failure, Message
from modelport.server.listener.formats.content import answer_in, answer_of, bytes_of, only_row, read_content
from modelport.server.listener.formats.failure_words import failure_in
from modelport.server.listener.formats.json_body import is_json
from modelport.server.model import Batch


class Raw:
    """One file in a request; its content type is kept."""

    name = "raw"
    about = "The bytes of one image, sound or text as the body, with its content type; answered in kind, or with JSON."
    row_by_row = True

    def speaks(self, request: Request) -> bool:
        """Return whether it is anything but JSON."""
        return not is_json(request)

    def read_call(self, request: Request) -> Call:
        """Return the body as a row of bytes, which know their content type."""
        return Call([read_content(request)])

    def write_call(self, call: Call, model: Model) -> Message:
        """Return the bytes of the row with their content type."""
        row = only_row(call.batch)
        written = bytes_of(row)
        if written is None:
            raise InvalidArgument(
                f"instances[0] is `{str(row)[:40]}`; the model `{model.name}` takes the bytes of a file",
                hint='Send {"b64": base64.b64encode(data).decode()}, or the bytes as the body',
                row="0",
            )
        return Message(*written)

    def read_answer(self, message: Message, model: Model) -> Batch:
        """Return the body as the prediction of the row: JSON where it says so."""
        return [answer_in(message, model)]

    def write_answer(self, batch: Batch, call: Call, name: str) -> Response:
        """Return the prediction of the row: bytes and texts as they are, all else as JSON."""
        return answer_of(batch)

    def read_failure(self, message: Message) -> Failure:
        """Return what the body says: JSON of whatever form, or a short text."""
        failed = failure_in(message)
        if failed.words or not message.content_type.startswith(b"text/plain"):
            return failed
        return replace(failed, words=message.body[:200].decode("utf-8", "backslashreplace"))

    def write_failure(self, error: Exception) -> Response:
        """Return Google's error envelope."""
        return failures.response(error)
