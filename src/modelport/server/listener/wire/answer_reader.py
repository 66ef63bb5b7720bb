"""The reading half of a connection to a model server: bytes in, one answer after the other out. No I/O.

What comes behind an answer that nobody asked for belongs to no request: it is not kept, only noticed.
"""

from __future__ import annotations

from typing import Any

import httptools

MAX_HEAD_BYTES = 64 * 1024
_LARGE_BYTES = 64 * 1024  # a rest of a body above this is taken past the parser, which would copy it
# What concerns this connection alone, not whoever the answer is passed on to (RFC 9110, 7.6.1).
_HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)


class Malformed(Exception):
    """What came is no HTTP/1.1 answer; says why not."""


class AnswerReader:
    """Takes bytes as they come.

    Attributes:
        heard: a byte of an answer has come.
        status: of the answer; 0 until its head is there.
        content_type: empty where the model server names none.
        headers: the others in lower case, without those between neighbours and the length.
        length: of the body; None where only its end tells.
        size: bytes of the body so far.
        pieces: those that were not taken yet.
        whole: the answer is complete.
        keep_alive: another request may follow on this connection.
    """

    def __init__(self) -> None:
        self._parser: Any = httptools.HttpResponseParser(self)
        self.begin()

    def begin(self) -> None:
        """Forget the answer before; another is expected."""
        self.heard = False
        self.status = 0
        self.content_type = b""
        self.headers: dict[bytes, bytes] = {}
        self.length: int | None = None
        self.size = 0
        self.pieces: list[bytes] = []
        self.whole = False
        self.keep_alive = False
        self._chunked = False
        self._fed = 0
        self._missing = 0

    def feed(self, data: bytes) -> None:
        """Take bytes.

        Raises:
            Malformed: they are no answer.
        """
        self.heard = True
        if self._missing:
            self._fill(data)
            return
        self._fed += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            raise Malformed("it changes to another protocol") from None
        except httptools.HttpParserError as error:
            if not self.whole:
                raise Malformed(str(error.__context__ or error)) from None
            self.keep_alive = False  # more came than was asked for
        if self.status:
            if self.length is not None and not self.whole:
                self._begin_large(self.length - self.size)
        elif self._fed > MAX_HEAD_BYTES:
            raise Malformed(f"its headers are longer than {MAX_HEAD_BYTES} bytes")

    def end(self) -> None:
        """Take note of the end of the connection, which is that of an answer of unknown length."""
        if self.status and self.length is None and not self._chunked:
            self.whole = True

    def take(self) -> bytes:
        """Return what has come of the body since it was last taken."""
        pieces, self.pieces = self.pieces, []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    # What the parser calls.

    def on_message_begin(self) -> None:
        """Notice an answer that nobody asked for."""
        if self.whole:
            raise Malformed("it answers twice")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; a trailer is left out."""
        if self.status:
            return
        name = name.lower()
        if name == b"content-type":
            self.content_type = value
        elif name == b"content-length":
            self.length = int(value)
        elif name in _HOP_BY_HOP:
            self._chunked = self._chunked or name == b"transfer-encoding"
        elif name in self.headers:
            self.headers[name] += b", " + value
        else:
            self.headers[name] = value

    def on_headers_complete(self) -> None:
        """Look at the size of the head, and whether it is that of the answer or an interim one."""
        status = self._parser.get_status_code()
        if self._fed > MAX_HEAD_BYTES:
            size = sum(len(name) + len(value) + 4 for name, value in self.headers.items())
            if size > MAX_HEAD_BYTES:
                raise Malformed(f"its headers are longer than {MAX_HEAD_BYTES} bytes")
        if status >= 200:
            self.status = status
            self.keep_alive = self._parser.should_keep_alive()

    def on_body(self, data: bytes) -> None:
        """Take a piece of the body."""
        self.size += len(data)
        self.pieces.append(data)

    def on_message_complete(self) -> None:
        """Note the end of the answer, or of an interim one, which tells nothing."""
        if self.status:
            self.whole = True
        else:
            self.headers = {}
            self.content_type = b""
            self.length = None
            self._chunked = False

    def _begin_large(self, missing: int) -> None:
        if missing > _LARGE_BYTES:
            self._missing = missing
            # The old one would wait for the body that it is not shown.
            self._parser = httptools.HttpResponseParser(self)

    def _fill(self, data: bytes) -> None:
        if len(data) > self._missing:
            data = data[: self._missing]
            self.keep_alive = False
        self._missing -= len(data)
        self.size += len(data)
        self.pieces.append(data)
        self.whole = not self._missing
