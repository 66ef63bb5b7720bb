"""Model servers of a test that speak HTTP, or do not, exactly as they are told, and listeners in front of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
from anyio.abc import ByteStream, SocketAttribute, SocketStream

from modelport.server.exchange import Handler
from modelport.server.listener.composition import handlers
from modelport.server.listener.declaration import Listener, Model, Server, Stack, Step
from modelport.server.listener.metrics import ListenerMetrics
from modelport.server.listener.wire.upstream import Address, Upstream
from tests.server.serving import Serving, serving

OK = b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 19\r\n\r\n{"predictions":[1]}'
GONE = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError)


def ok(body: bytes, headers: bytes = b"") -> bytes:
    """Return an ordinary answer."""
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n%bcontent-length: %d\r\n\r\n%b" % (
        headers,
        len(body),
        body,
    )


@dataclass
class Line:
    """One connection as the model server sees it."""

    stream: ByteStream
    seen: Seen
    number: int
    rest: bytes = b""

    async def request(self) -> tuple[bytes, bytes]:
        """Read a request: its head, and its body. Raises EndOfStream where the connection ends."""
        while b"\r\n\r\n" not in self.rest:
            self.rest += await self.stream.receive()
        head, _, self.rest = self.rest.partition(b"\r\n\r\n")
        length = next(
            (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length:")), 0
        )
        pieces = [self.rest]
        while (missing := length - sum(map(len, pieces))) > 0:
            pieces.append(await self.stream.receive(max(missing, 65536)))
        whole = b"".join(pieces)
        body, self.rest = whole[:length], whole[length:]
        self.seen.requests.append((head, body))
        return head, body

    async def closed(self) -> None:
        """Return when the other side has closed the connection."""
        try:
            while True:
                await self.stream.receive()
        except GONE:
            pass


Behaviour = Callable[[Line], Awaitable[None]]


@dataclass
class Seen:
    """A model server of a test, and what it has seen."""

    url: str = ""
    behave: Behaviour | None = None
    requests: list[tuple[bytes, bytes]] = field(default_factory=list)
    connections: int = 0
    open: int = 0


async def answers(line: Line) -> None:
    """Answer every request with one prediction."""
    while True:
        await line.request()
        await line.stream.send(OK)


@asynccontextmanager
async def model_server(behave: Behaviour = answers) -> AsyncIterator[Seen]:
    """Serve on loopback; a connection ends with the behaviour, which may be changed for those that follow."""
    seen = Seen(behave=behave)

    async def handle(stream: ByteStream) -> None:
        line = Line(stream, seen, seen.connections)
        seen.connections += 1
        seen.open += 1
        try:
            async with stream:
                assert seen.behave is not None
                await seen.behave(line)
        except GONE:
            pass
        finally:
            seen.open -= 1

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        seen.url = f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}"
        tasks.start_soon(listener.serve, handle)
        yield seen
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def pool(url: str, *, connections: int = 4, connect_timeout_s: float = 5.0) -> AsyncIterator[Upstream]:
    """Return connections to the model server."""
    async with anyio.create_task_group() as tasks:
        upstream = Upstream(
            "triton",
            Address.of(url),
            tasks.start_soon,
            connections=connections,
            loop=asyncio.get_running_loop(),
            connect_timeout_s=connect_timeout_s,
        )
        yield upstream
        upstream.close()
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def listening(
    url: str,
    *,
    converts: bool = False,
    timeout_s: float = 5.0,
    concurrency: int = 64,
    max_waiting: int = 1024,
    connections: int = 64,
    around: Callable[[Handler], Handler] = lambda handler: handler,
) -> AsyncIterator[Serving]:
    """Run a listener in front of one model: it passes requests on as they are, or reads and writes them."""
    model = Model("m", "triton", "/predict", timeout_s=timeout_s, concurrency=concurrency, max_waiting=max_waiting)
    stacks = (Stack("s", (Step("m", model="m"),)),) if converts else ()
    listener = Listener((Server("triton", url, connections=connections),), (model,), stacks)
    async with anyio.create_task_group() as tasks:
        loop = asyncio.get_running_loop()
        upstream = Upstream("triton", Address.of(url), tasks.start_soon, connections=connections, loop=loop)
        parts = handlers(
            listener, {"triton": upstream}, tasks.start_soon, loop=loop, metrics=ListenerMetrics(), folder=Path()
        )
        handler = parts.predict
        async with serving(around(handler)) as server:
            yield server
        tasks.cancel_scope.cancel()


BODY = b'{"instances":[[1.5,2]]}'


def posted(body: bytes = BODY, headers: bytes = b"", query: bytes = b"") -> bytes:
    """Return a request to a listener."""
    return (
        b"POST /predict%b HTTP/1.1\r\nHost: l\r\nContent-Type: application/json\r\n%bContent-Length: %d\r\n\r\n%b"
        % (
            query,
            headers,
            len(body),
            body,
        )
    )


async def until_it_has(stream: SocketStream, wanted: bytes) -> bytes:
    """Read up to these bytes, and perhaps beyond."""
    data = b""
    with anyio.fail_after(20):
        while wanted not in data:
            data += await stream.receive()
    return data


def unchunked(body: bytes) -> bytes:
    """Return what a chunked body holds."""
    pieces = []
    while True:
        size, _, body = body.partition(b"\r\n")
        if size == b"0":
            return b"".join(pieces)
        pieces.append(body[: int(size, 16)])
        body = body[int(size, 16) + 2 :]
