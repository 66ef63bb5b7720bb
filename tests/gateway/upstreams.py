"""Real replicas for the tests: small HTTP/1.1 servers that do what the request's body asks for."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
from anyio.abc import SocketAttribute, SocketListener, SocketStream, TaskGroup
from anyio.streams.buffered import BufferedByteReceiveStream

from modelport.core.replicas import Address
from modelport.core.routes import Server

_JSON = "application/json"


class Upstream:
    """One replica; `requests` are the paths that arrived, `under_way` the requests that it has now."""

    def __init__(self, name: str, listener: SocketListener, tasks: TaskGroup) -> None:
        self.name = name
        self.port: int = listener.extra(SocketAttribute.local_port)
        self.requests: list[str] = []
        self.under_way = 0
        self.most_under_way = 0
        self._listener = listener
        self._tasks = tasks
        self._connections: set[SocketStream] = set()

    @property
    def server(self) -> Server:
        return Server(self.name, Address("127.0.0.1", self.port))

    async def kill(self) -> None:
        """Refuse connections from now on, and drop those that are open."""
        await self._listener.aclose()
        for connection in list(self._connections):
            await connection.aclose()

    async def serve(self) -> None:
        try:
            await self._listener.serve(self._converse, self._tasks)
        except anyio.ClosedResourceError:
            return

    async def _converse(self, stream: SocketStream) -> None:
        self._connections.add(stream)
        try:
            async with stream:
                reader = BufferedByteReceiveStream(stream)
                while await self._answer(reader, stream):
                    pass
        except (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass
        finally:
            self._connections.discard(stream)

    async def _answer(self, reader: BufferedByteReceiveStream, stream: SocketStream) -> bool:
        head = (await reader.receive_until(b"\r\n\r\n", 65536)).decode("latin-1")
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            path = head.split(" ", 2)[1]
            self.requests.append(path)
            body = await _body(head.lower(), reader)
            wish: dict[str, Any] = json.loads(body) if body.startswith(b"{") else {}
            return await self._grant(wish, path, len(body), stream)
        finally:
            self.under_way -= 1

    async def _grant(self, wish: dict[str, Any], path: str, received: int, stream: SocketStream) -> bool:
        await anyio.sleep(wish.get("sleep", 0))
        if "send" in wish:
            await stream.send(wish["send"].encode())
            return False
        if "stream" in wish:
            await stream.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            for number in range(wish["stream"]):
                await stream.send(b"3\r\n%02d \r\n" % number)
                await anyio.sleep(wish.get("pause", 0))
            await stream.send(b"0\r\n\r\n")
            return True
        answer = json.dumps({"replica": self.name, "path": path, "received": received}).encode()
        answer += b" " * (wish.get("bytes", 0) - len(answer))
        status = wish.get("status", 200)
        await stream.send(
            b"HTTP/1.1 %d Whatever\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
            % (status, len(answer), answer)
        )
        return True


async def _body(head: str, reader: BufferedByteReceiveStream) -> bytes:
    if "transfer-encoding: chunked" in head:
        body = b""
        while size := int(await reader.receive_until(b"\r\n", 100), 16):
            body += await reader.receive_exactly(size)
            await reader.receive_exactly(2)
        await reader.receive_exactly(2)
        return body
    length = int(head.split("content-length: ")[1].split("\r\n")[0]) if "content-length: " in head else 0
    return await reader.receive_exactly(length) if length else b""


@asynccontextmanager
async def upstream(name: str) -> AsyncIterator[Upstream]:
    async with anyio.create_task_group() as tasks:
        multi = await anyio.create_tcp_listener(local_host="127.0.0.1")
        one = Upstream(name, multi.listeners[0], tasks)  # type: ignore[arg-type]
        tasks.start_soon(one.serve)
        try:
            yield one
        finally:
            await one.kill()
            tasks.cancel_scope.cancel()
