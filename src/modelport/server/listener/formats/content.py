"""The content of one row as a body of its own: bytes with their type, a text, or JSON; and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from modelport.core.errors import InvalidArgument, ModelServerGarbled
from modelport.server.encoding import json_body
from modelport.server.exchange import JSON, Request, Response
from modelport.server.listener.declaration import Model
from modelport.server.listener.formats.base import Message, garbled
from modelport.server.listener.formats.json_body import answered, read_value, values_in
from modelport.server.model import Batch

_BINARY = b"application/octet-stream"
_TEXT = b"text/plain; charset=utf-8"
_MULTIPART = b"multipart/"
_FORM = b"application/x-www-form-urlencoded"
_TEXT_TYPES = (b"text/", b"application/xml", b"application/yaml")
# What a file begins with tells its type; RIFF holds several, told apart by what stands at the ninth byte.
_BEGINNINGS = (
    (b"\x89PNG\r\n\x1a\n", b"image/png"),
    (b"\xff\xd8\xff", b"image/jpeg"),
    (b"GIF8", b"image/gif"),
    (b"BM", b"image/bmp"),
    (b"II*\x00", b"image/tiff"),
    (b"MM\x00*", b"image/tiff"),
    (b"%PDF-", b"application/pdf"),
    (b"OggS", b"audio/ogg"),
    (b"fLaC", b"audio/flac"),
    (b"ID3", b"audio/mpeg"),
    (b"PK\x03\x04", b"application/zip"),
    (b"\x1f\x8b", b"application/gzip"),
)
_RIFF = {b"WAVE": b"audio/wav", b"WEBP": b"image/webp", b"AVI ": b"video/x-msvideo"}


class Content(bytes):
    """Bytes that know their content type, through whatever steps hand them on."""

    content_type: bytes = b""

    @staticmethod
    def of(data: bytes, content_type: bytes) -> Content:
        """Return bytes with their type."""
        content = Content(data)
        content.content_type = content_type
        return content


def read_content(request: Request) -> Content:
    """Return the body of a request with its type.

    Raises:
        InvalidArgument: there is none, or it is a form.
    """
    content_type = request.header(b"content-type")
    if not request.body:
        raise InvalidArgument("The body is empty", hint="Send the bytes of one file as the body")
    if content_type.lower().startswith(_MULTIPART):
        raise InvalidArgument(
            f"The body is a form, `{content_type[:60].decode('latin-1')}`, not the bytes of one file",
            hint="Send the file itself as the body, as `curl --data-binary @FILE` does",
        )
    if content_type.lower().startswith(_FORM):  # what callers say who do not know what they send
        content_type = b""
    return Content.of(request.body, content_type or type_of(request.body))


def type_of(data: bytes) -> bytes:
    """Return the content type that bytes tell by how they begin."""
    if isinstance(data, Content) and data.content_type:
        return data.content_type
    if data[:4] == b"RIFF":
        return _RIFF.get(data[8:12], _BINARY)
    return next((name for beginning, name in _BEGINNINGS if data.startswith(beginning)), _BINARY)


def only_row(batch: Batch) -> Any:
    """Return the row of a batch of one.

    Raises:
        InvalidArgument: there are more or none.
    """
    rows = values_in(batch)
    if len(rows) != 1:
        raise InvalidArgument(
            f"There are {len(rows)} rows; this format carries one in each request", hint="Send one row at a time"
        )
    return rows[0]


def bytes_of(row: Any) -> tuple[bytes, bytes] | None:
    """Return the bytes of a row with their type, and of an object that has but those; None where it has others."""
    if isinstance(row, (list, dict)) and len(row) == 1:
        (row,) = row.values() if isinstance(row, dict) else row
    if isinstance(row, (bytes, bytearray, memoryview)):
        data = row if isinstance(row, bytes) else bytes(row)
        return data, type_of(data)
    if isinstance(row, (str, np.str_)):
        try:
            return row.encode(), _TEXT
        except UnicodeEncodeError:
            raise InvalidArgument(
                "instances[0] has half a surrogate pair, which is not UTF-8", hint="Send text as UTF-8", row="0"
            ) from None
    return None


def body_of(row: Any) -> tuple[bytes, bytes]:
    """Return a row as a body with its content type: bytes and texts as they are, all else as JSON."""
    written = None if isinstance(row, (list, dict)) else bytes_of(row)
    return (json_body(row), JSON) if written is None else written


def answer_of(batch: Batch) -> Response:
    """Return the answer to a caller that has the prediction of its row as the body."""
    rows = values_in(batch)
    body, content_type = body_of(rows[0] if len(rows) == 1 else rows)
    return Response(200, body, content_type)


def answer_in(message: Message, model: Model) -> Any:
    """Return the value of an answer, by its content type or, where it has none that tells, by how it looks.

    Raises:
        ModelServerGarbled: it says that it is JSON, and is not.
    """
    content_type = message.content_type.partition(b";")[0].strip().lower()
    if content_type.endswith((b"/json", b"+json")):
        return answered(message, model, "JSON, as its content type says")
    told_text = content_type.startswith(_TEXT_TYPES)
    if content_type and not told_text:
        return Content.of(message.body, message.content_type)
    # A server that says nothing, or `text/plain` of everything, means JSON by an object or a list.
    if not told_text or message.body.lstrip()[:1] in (b"{", b"["):
        try:
            return answered(message, model, "JSON")
        except ModelServerGarbled:
            pass
    try:
        return message.body.decode()
    except UnicodeDecodeError as error:
        if told_text:
            raise garbled(message, model, "text in UTF-8") from error
        return Content.of(message.body, type_of(message.body))


def value_sent(request: Request) -> Any:
    """Return what a caller sent as one row: JSON where it says so, else the bytes. Raises InvalidArgument."""
    content_type = request.header(b"content-type").partition(b";")[0].strip().lower()
    content = read_content(request)
    if content_type.startswith(b"text/"):
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            raise InvalidArgument(f"The text is not UTF-8: {error}", hint="Send text as UTF-8") from error
    if not content_type.endswith((b"/json", b"+json")):
        return content
    return read_value(request.body, "Send JSON, as the content type says, or name the type of the bytes")
