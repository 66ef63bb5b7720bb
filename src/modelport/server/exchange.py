"""One HTTP exchange as the server's parts see it: a request that was read whole, and the reply that it gets.

Handlers are plain functions that take both and answer through the reply, at once or later: a coroutine for each
request would cost as much as reading it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

JSON = b"application/json"


@dataclass(slots=True)
class Request:
    """A request whose body has arrived.

    Attributes:
        method: upper case, such as b"POST".
        path: the path as it was sent, without the query and not percent-decoded.
        query: what follows the question mark, or empty.
        headers: names in the case they were sent in, in order.
        body: the whole body.
        received: `time.perf_counter()` when the last byte had arrived.
        rows: how many instances it has, where a handler has found out; for the access log.
    """

    method: bytes
    path: bytes
    query: bytes = b""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    received: float = 0.0
    rows: int = 0

    def header(self, name: bytes) -> bytes:
        """Return the value of the first header of this lower-case name, or empty."""
        for key, value in self.headers:
            if len(key) == len(name) and key.lower() == name:
                return value
        return b""


@dataclass(slots=True)
class Response:
    """A whole answer. `headers` are beside content-type and content-length; names in lower case."""

    status: int
    body: bytes
    content_type: bytes = JSON
    headers: Mapping[bytes, bytes] = field(default_factory=dict)


class Reply(Protocol):
    """Where one request is answered, either by `send` or by `start`, `write`s and `end`. Used on the event loop only.

    `closed` turns true when the caller has hung up; what is sent then goes nowhere, without an error.
    """

    @property
    def closed(self) -> bool:
        """Return whether the caller has hung up."""
        ...

    def send(self, response: Response) -> None:
        """Answer in one piece."""
        ...

    def start(self, content_type: bytes, headers: Mapping[bytes, bytes]) -> None:
        """Begin an answer with status 200 whose length is not known (chunked)."""
        ...

    async def write(self, chunk: bytes) -> None:
        """Send a piece; returns when the caller takes in more, at once where it is quick."""
        ...

    def end(self) -> None:
        """Finish an answer that was started."""
        ...

    def abort(self) -> None:
        """Give up answering: a started answer is cut off, so that the caller sees that it is not whole."""
        ...


class PassedOn:
    """A reply that passes everything on to another; whoever wants to know of a part of it overrides that part."""

    __slots__ = ("_reply",)

    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    @property
    def closed(self) -> bool:
        """Return whether the caller has hung up."""
        return self._reply.closed

    def send(self, response: Response) -> None:
        """Answer in one piece."""
        self._reply.send(response)

    def start(self, content_type: bytes, headers: Mapping[bytes, bytes]) -> None:
        """Begin an answer of unknown length."""
        self._reply.start(content_type, headers)

    async def write(self, chunk: bytes) -> None:
        """Send a piece."""
        await self._reply.write(chunk)

    def end(self) -> None:
        """Finish an answer that was started."""
        self._reply.end()

    def abort(self) -> None:
        """Give up answering."""
        self._reply.abort()


Handler = Callable[[Request, Reply], None]
