"""A server of connections within a test, and a caller that sends it whatever bytes there are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
from anyio.abc import SocketStream

from modelport.server.connections import Connections
from modelport.server.exchange import Handler, Reply, Request, Response
from modelport.server.request_reader import Limits


def echo(request: Request, reply: Reply) -> None:
    """Answer with what was asked: method, path, query and body."""
    reply.send(Response(200, b"%b %b %b %b" % (request.method, request.path, request.query, request.body)))


@dataclass
class Serving:
    connections: Connections
    port: int
    server: asyncio.Server

    async def call(self) -> SocketStream:
        return await anyio.connect_tcp("127.0.0.1", self.port)


@asynccontextmanager
async def serving(handler: Handler = echo, limits: Limits | None = None) -> AsyncIterator[Serving]:
    loop = asyncio.get_running_loop()
    connections = Connections(handler, limits or Limits(), loop=loop)
    server = await loop.create_server(connections, "127.0.0.1", 0)
    try:
        yield Serving(connections, server.sockets[0].getsockname()[1], server)
    finally:
        server.close()
        await connections.drain(0)


async def until(true: Callable[[], bool]) -> None:
    with anyio.fail_after(20):
        while not true():
            await anyio.sleep(0.005)


async def answer(stream: SocketStream) -> tuple[int, dict[bytes, bytes], bytes]:
    """Read one answer: by its length, in chunks, or up to the end."""
    with anyio.fail_after(30):
        data = b""
        while b"\r\n\r\n" not in data:
            data += await stream.receive(1)  # not a byte more than this answer's
        head, _, _ = data.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        headers: dict[bytes, bytes] = dict(line.split(b": ", 1) for line in lines[1:])  # type: ignore[misc]
        status = int(lines[0].split(b" ")[1])
        if status == 100:
            return status, headers, b""
        body = b""
        if b"content-length" in headers:
            while len(body) < int(headers[b"content-length"]):
                body += await stream.receive(int(headers[b"content-length"]) - len(body))
        elif headers.get(b"transfer-encoding") == b"chunked":
            while not body.endswith(b"0\r\n\r\n"):
                body += await stream.receive(1)
        else:
            body = await rest(stream)
        return status, headers, body


async def rest(stream: SocketStream) -> bytes:
    """Read to the end."""
    data = b""
    with anyio.fail_after(30):
        try:
            while True:
                data += await stream.receive()
        except anyio.EndOfStream:
            return data
