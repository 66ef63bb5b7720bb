"""The connections to one model server: kept alive, as many as it may have, and each used by one request at a time.

A request that finds no free connection waits for one, first come, first served. One that meets a kept connection which
the model server had closed, before a byte of the answer came, is sent once more on a new one. Nothing else is ever
sent twice: it may have been worked on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import anyio

from modelport.core.errors import InvalidArgument, ModelServerDown
from modelport.server.listener.formats.base import Message
from modelport.server.listener.wire.upstream_connection import Answered, Ask, UpstreamConnection, awaited

CONNECT_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Address:
    """Where a model server listens: a host and port, or the path of a Unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    @staticmethod
    def of(url: str) -> Address:
        """Return the address of `http://HOST:PORT` or `unix:/PATH`. Raises InvalidArgument where it is neither."""
        hint = "Write http://HOST:PORT or unix:/PATH"
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise InvalidArgument(f"`{url}` is no address of a model server: {error}", hint=hint) from error
        if parts.scheme == "unix" and not parts.netloc and parts.path:
            return Address(path=parts.path)
        if parts.scheme != "http" or not parts.hostname or parts.path not in ("", "/"):
            raise InvalidArgument(f"`{url}` is no address of a model server", hint=hint)
        return Address(parts.hostname, port or 80)

    def __str__(self) -> str:
        if self.path:
            return self.path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Upstream:
    """A pool of connections to one model server."""

    def __init__(
        self,
        name: str,
        address: Address,
        start_soon: Callable[..., object],
        *,
        connections: int,
        loop: asyncio.AbstractEventLoop,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
    ) -> None:
        """Take what it needs; nothing is connected yet.

        Args:
            name: of the server, for messages.
            address: where it listens.
            start_soon: starts a coroutine in a task group.
            connections: most of them.
            loop: the event loop.
            connect_timeout_s: for each of them.
        """
        self.name = name
        self.loop = loop
        self._address = address
        self._host = b"localhost" if address.path else str(address).encode()
        self._start_soon = start_soon
        self._most = connections
        self._connect_timeout_s = connect_timeout_s
        self._idle: list[UpstreamConnection] = []  # the one used last is used next: the others grow old and are closed
        self._open = 0  # connections, those included that are being made
        self._connecting = 0  # for whoever waits longest
        self._waiting: deque[Ask] = deque()
        self._closed = False

    @property
    def open(self) -> int:
        """Return how many connections there are or are being made."""
        return self._open

    def send(
        self, method: bytes, path: bytes, message: Message, done: Answered, *, streams: bool = False
    ) -> Callable[[], None]:
        """Send a request; return what gives it up (its connection is cut then, and `done` not called).

        With `streams`, `done` may be given an AnswerStream for an answer that does not come in one piece.
        """
        ask = Ask(method, path, message, done, streams=streams)
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                ask.reused = True
                connection.send(ask)
                return ask.give_up
        self._waiting.append(ask)
        self._connect_more()
        return ask.give_up

    async def request(self, method: bytes, path: bytes, message: Message) -> Message:
        """Send a request and return the answer; where this is cancelled the request is given up.

        Raises:
            ModelServerDown: it cannot be reached, or closed the connection before it had answered.
            ModelServerGarbled: what came is not HTTP.
        """
        return await awaited(lambda done: self.send(method, path, message, done), self.loop)

    def close(self) -> None:
        """Close the connections that nobody uses, and the others after their answers."""
        self._closed = True
        for connection in list(self._idle):
            connection.cut()

    # What the connections call.

    def opened(self, connection: UpstreamConnection) -> None:
        """Give a new connection to who waits."""
        self._connecting -= 1
        self._give(connection, reused=False)

    def freed(self, connection: UpstreamConnection) -> None:
        """Give a connection to who waits, or keep it."""
        self._give(connection, reused=True)

    def lost(self, connection: UpstreamConnection, again: Ask | None) -> None:
        """Forget a connection, and make others for those who wait."""
        self._open -= 1
        if connection in self._idle:
            self._idle.remove(connection)
        if again is not None:
            self._connect(again)
        self._connect_more()

    def _give(self, connection: UpstreamConnection, *, reused: bool) -> None:
        while self._waiting:
            ask = self._waiting.popleft()
            if not ask.given_up:
                ask.reused = reused
                connection.send(ask)
                return
        if self._closed:
            connection.cut()
        else:
            self._idle.append(connection)

    def _connect_more(self) -> None:
        while self._open < self._most and self._connecting < len(self._waiting):
            self._connecting += 1
            self._connect(None)

    def _connect(self, ask: Ask | None) -> None:
        """Make a connection, for one request alone or for whoever waits longest when it is there."""
        self._open += 1
        pool = self if ask is None else _OnlyFor(ask, self)
        self._start_soon(self._connected, UpstreamConnection(self.name, self._host, pool, loop=self.loop), ask)

    async def _connected(self, connection: UpstreamConnection, ask: Ask | None) -> None:
        try:
            with anyio.fail_after(self._connect_timeout_s):
                if self._address.path:
                    await self.loop.create_unix_connection(lambda: connection, self._address.path)
                else:
                    await self.loop.create_connection(lambda: connection, self._address.host, self._address.port)
        except TimeoutError:
            self._not_connected(connection, ask, f"no answer within {self._connect_timeout_s:g} s")
        except (OSError, ValueError) as error:  # ValueError: a host that cannot be one, a path that is too long
            reason = getattr(error, "strerror", None) or str(error)
            self._not_connected(connection, ask, reason)

    def _not_connected(self, connection: UpstreamConnection, ask: Ask | None, reason: str) -> None:
        if connection.was_open:
            return  # and ended at once, of which `lost` has told
        self._open -= 1
        if ask is None:
            self._connecting -= 1
        failed = [] if ask is None else [ask]
        if not self._open:
            # Others that wait could be served by a connection that is there or being made; but there is none.
            failed += self._waiting
            self._waiting.clear()
        for one in failed:
            text = f"The model server `{self.name}` cannot be reached at `{self._address}`: {reason}"
            one.finish(ModelServerDown(text, hint="See whether it runs, and on which port"))


class _OnlyFor:
    """The pool of a connection whose first request is known beforehand."""

    def __init__(self, ask: Ask, upstream: Upstream) -> None:
        self._ask = ask
        self._upstream = upstream

    def opened(self, connection: UpstreamConnection) -> None:
        if self._ask.given_up:
            self._upstream.freed(connection)
        else:
            self._ask.reused = False
            connection.send(self._ask)

    def freed(self, connection: UpstreamConnection) -> None:
        self._upstream.freed(connection)

    def lost(self, connection: UpstreamConnection, again: Ask | None) -> None:
        self._upstream.lost(connection, again)
