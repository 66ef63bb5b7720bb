"""The reading half of a connection: bytes in, whole requests out, and a refusal where they cannot be had. No I/O.

Whatever is sent, what is kept of it is bounded: a head and a body by their limits, the requests ahead by their number.
"""

from __future__ import annotations

import io
import time
from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

import httptools

from modelport.server import refusals
from modelport.server.exchange import Request, Response

_MOST_AHEAD = 128  # whole requests waiting; one read may hold thousands of empty ones
_LARGE_BYTES = 64 * 1024  # a rest of a body above this is taken past the parser, which would copy it
_FRAMING = 8  # bytes of chunk sizes and trailers that are accepted for each byte of a chunked body
_HOP_BY_HOP = frozenset((b"connection", b"upgrade", b"http2-settings"))


class LimitSettings(Protocol):
    """Settings of a server, as far as they limit its callers."""

    @property
    def max_body_bytes(self) -> int:
        """Return the largest body."""
        ...

    @property
    def read_timeout_s(self) -> float:
        """Return how long a caller may pause."""
        ...

    @property
    def idle_timeout_s(self) -> float:
        """Return how long a connection is kept without a request."""
        ...


@dataclass(frozen=True)
class Limits:
    """What a caller may send, and how slowly."""

    max_body_bytes: int = 128 * 1024**2
    max_head_bytes: int = 64 * 1024
    read_timeout_s: float = 60.0
    idle_timeout_s: float = 620.0

    @classmethod
    def of(cls, config: LimitSettings) -> Limits:
        """Return what a server's settings allow."""
        return cls(
            max_body_bytes=config.max_body_bytes,
            read_timeout_s=config.read_timeout_s,
            idle_timeout_s=config.idle_timeout_s,
        )


class Stage(Enum):
    """What the next byte belongs to."""

    BETWEEN = "BETWEEN"  # a new request
    HEAD = "head"
    BODY = "body"


class _Refused(Exception):
    """Makes the parser stop; the refusal has been noted."""


class RequestReader:
    """Takes bytes as they come.

    Attributes:
        ready: whole requests, each with whether the connection may live on after it.
        refusal: why nothing more can be read; to be sent when what is ready has been answered.
        stage: where in a request the bytes so far end.
        wants_continue: the caller waits for leave to send the body; reset by who gives it.
        old_version: the first request was HTTP/1.0 (a connection is not asked twice: that takes as long as reading
            its headers); None before there was one.
        count: how many requests have been read.
    """

    def __init__(self, limits: Limits) -> None:
        self.ready: deque[tuple[Request, bool]] = deque()
        self.refusal: Response | None = None
        self.stage = Stage.BETWEEN
        self.wants_continue = False
        self.old_version: bool | None = None
        self.count = 0
        self._limits = limits
        self._parser: Any = httptools.HttpRequestParser(self)
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._chunks: list[bytes] = []
        self._head_done = False
        self._fed = 0  # bytes of this message, head included; too few where it began behind another
        # Of a large or chunked body only:
        self._gathered: io.BytesIO | None = None
        self._missing = 0
        self._keep_alive = True

    def feed(self, data: bytes) -> None:
        """Take bytes; `ready` and `refusal` tell what came of them."""
        if self.refusal is not None:
            return
        if self._missing:
            data = self._fill(data)
            if not data:
                return
        self._fed += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._as_if_without_upgrade(data[upgrade.args[0] :])
            return
        except httptools.HttpParserCallbackError:
            if self.refusal is None:
                raise
        except httptools.HttpParserError as error:
            self.refusal = refusals.malformed(str(error))
        if self._url or not self.ready:
            self._partial()
        else:
            self.stage = Stage.BETWEEN

    def close(self) -> None:
        """Let go of everything; the parser refers to this reader, so neither would be freed at once otherwise."""
        self.ready.clear()
        self._parser = self._gathered = None
        self._chunks = []
        self._headers = []

    # What the parser calls.

    def on_url(self, url: bytes) -> None:
        """Take a piece of the URL."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or a trailer."""
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Look at the size of the head, exactly where it may be too large."""
        self._head_done = True
        if self._fed > self._limits.max_head_bytes:
            size = len(self._url) + sum(len(name) + len(value) + 4 for name, value in self._headers)
            if size > self._limits.max_head_bytes:
                self._refuse(refusals.head_too_large(self._limits.max_head_bytes))

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._chunks.append(body)

    def on_message_complete(self) -> None:
        """Put the request with those that are ready."""
        chunks = self._chunks
        if self._gathered is not None:
            self._gathered.write(b"".join(chunks))
            body = self._gathered.getvalue()
        else:
            body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        if len(body) > self._limits.max_body_bytes:
            self._refuse(refusals.body_too_large(self._limits.max_body_bytes))
        self._complete(body, self._parser.should_keep_alive())

    def _complete(self, body: bytes, keep_alive: bool) -> None:
        if len(self.ready) >= _MOST_AHEAD:
            self._refuse(refusals.too_many_ahead(_MOST_AHEAD))
        parser = self._parser
        url = self._url
        if url[:1] != b"/":
            url = _without_authority(url)
        path, _, query = url.partition(b"?")
        request = Request(parser.get_method(), path, query, self._headers, body, time.perf_counter())
        if self.old_version is None:
            self.old_version = parser.get_http_version() < "1.1"
        self.ready.append((request, keep_alive and not self.old_version))
        self.count += 1
        self._url = b""
        self._headers = []
        self._chunks = []
        self._head_done = False
        self._gathered = None
        self._fed = 0

    def _partial(self) -> None:
        """Judge a request of which only a part is there."""
        if self.refusal is not None:
            return
        if not self._head_done:
            self.stage = Stage.HEAD
            if self._fed > self._limits.max_head_bytes:
                self.refusal = refusals.head_too_large(self._limits.max_head_bytes)
            return
        if self.stage is not Stage.BODY:
            self.stage = Stage.BODY
            self._begin_body()
        if self._gathered is not None and not self._missing:
            self._gather_chunks(self._gathered)

    def _begin_body(self) -> None:
        names = {name.lower(): value for name, value in self._headers}
        self.wants_continue = names.get(b"expect", b"").lower() == b"100-continue"
        length = names.get(b"content-length")
        if length is None:
            self._gathered = io.BytesIO()
            return
        if int(length) > self._limits.max_body_bytes:
            self.refusal = refusals.body_too_large(self._limits.max_body_bytes, int(length))
            return
        missing = int(length) - sum(map(len, self._chunks))
        if missing > _LARGE_BYTES:
            self._gathered = io.BytesIO()
            self._gathered.write(b"".join(self._chunks))
            self._missing = missing
            self._keep_alive = self._parser.should_keep_alive()

    def _fill(self, data: bytes) -> bytes:
        """Put bytes into the large body; return those behind its end."""
        assert self._gathered is not None
        size = len(data)
        if size < self._missing:
            self._gathered.write(data)
            self._missing -= size
            return b""
        rest = data[self._missing :]
        self._gathered.write(data[: self._missing] if rest else data)
        self._missing = 0
        self._complete(self._gathered.getvalue(), self._keep_alive)
        # The old one still waits for the body that it was not shown.
        self._parser = httptools.HttpRequestParser(self)
        self.stage = Stage.BETWEEN
        return rest

    def _gather_chunks(self, gathered: io.BytesIO) -> None:
        # Joined after each read: a list of one-byte chunks would take forty times their size.
        gathered.write(b"".join(self._chunks))
        self._chunks.clear()
        size = gathered.tell()
        if size > self._limits.max_body_bytes:
            self.refusal = refusals.body_too_large(self._limits.max_body_bytes)
        elif self._fed - size > self._limits.max_head_bytes + _FRAMING * size:
            self.refusal = refusals.head_too_large(self._limits.max_head_bytes)

    def _as_if_without_upgrade(self, rest: bytes) -> None:
        """Read the request again without its wish for another protocol, which the parser gave up at."""
        request, _ = self.ready.pop()
        if request.method == b"CONNECT":
            self.refusal = refusals.malformed("CONNECT is for proxies")
            return
        kept = [b"%b: %b\r\n" % pair for pair in request.headers if pair[0].lower() not in _HOP_BY_HOP]
        target = request.path + (b"?" + request.query if request.query else b"")
        self._parser = httptools.HttpRequestParser(self)
        self.feed(b"%b %b HTTP/1.1\r\n%b\r\n" % (request.method, target, b"".join(kept)) + rest)

    def _refuse(self, refusal: Response) -> None:
        self.refusal = refusal
        raise _Refused


def _without_authority(url: bytes) -> bytes:
    """Return the path of a URL in the form that proxies are sent, `http://host/path`."""
    _, scheme, rest = url.partition(b"://")
    if not scheme:
        return url
    slash = rest.find(b"/")
    return rest[slash:] if slash >= 0 else b"/"
