"""The bytes in front of an answer's body: status line and headers. Pure.

A value from elsewhere that holds a line break would end its header and begin another; such breaks are taken out.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

_STATUS = {status.value: b"HTTP/1.1 %d %b" % (status.value, status.phrase.encode()) for status in HTTPStatus}
_BREAKS = b"\r\n\0"


def sized(status: int, content_type: bytes, length: int, headers: Mapping[bytes, bytes], *, close: bool) -> bytes:
    """Return the head of an answer whose body has `length` bytes."""
    line = _STATUS.get(status) or b"HTTP/1.1 %d Status" % status
    more = _lines(headers) if headers else b""
    return b"%b\r\ncontent-type: %b\r\ncontent-length: %d\r\n%b%b" % (
        line,
        content_type,
        length,
        more,
        b"connection: close\r\n\r\n" if close else b"\r\n",
    )


def streamed(content_type: bytes, headers: Mapping[bytes, bytes], *, chunked: bool, close: bool) -> bytes:
    """Return the head of an answer with status 200 of unknown length; unchunked, it ends with the connection."""
    return b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\n%b%b%b\r\n" % (
        content_type,
        _lines(headers),
        b"transfer-encoding: chunked\r\n" if chunked else b"",
        b"connection: close\r\n" if close else b"",
    )


def _lines(headers: Mapping[bytes, bytes]) -> bytes:
    text = b""
    for name, value in headers.items():
        text += name + b": " + value + b"\r\n"
    # Splitting the whole, where there are but one or two, is cheaper than looking into every value.
    if len(text.splitlines()) != len(headers):
        pairs = ((name.translate(None, _BREAKS), value.translate(None, _BREAKS)) for name, value in headers.items())
        text = b"".join([b"%b: %b\r\n" % pair for pair in pairs])
    return text
