import asyncio
import gc
import random
import socket
import struct
import weakref
from collections.abc import Iterator

import anyio
import pytest

from modelport.server.connection import Connection
from modelport.server.exchange import Reply, Request, Response
from modelport.server.request_reader import Limits
from tests.server.serving import Serving, answer, echo, serving, until

pytestmark = pytest.mark.anyio

REQUESTS = (
    b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n" + b"a" * 20_000,
    b"POST /predict HTTP/1.1\r\nContent-Length: 300000\r\nExpect: 100-continue\r\n\r\n" + b"a" * 300_000,
    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n" * 50,
    b"GET /stream HTTP/1.1\r\n\r\n",
    b"\x00\xff" * 500,
    b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
)


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}


@pytest.fixture
def without_collector() -> Iterator[None]:
    """Whatever is kept alive by a circle stays, and is seen."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def misbehave(server: Serving, chance: random.Random) -> None:
    """Send a part of something in pieces, perhaps read a little, and be gone, politely or not."""
    stream = await server.call()
    data = chance.choice(REQUESTS)
    data = data[: chance.randrange(1, len(data) + 1)]
    try:
        while data:
            size = chance.choice((1, 7, 100, 50_000, len(data)))
            await stream.send(data[:size])
            data = data[size:] if size > 1 or len(data) < 50 else b""
        if chance.random() < 0.5:
            with anyio.move_on_after(0.02):
                await stream.receive(chance.choice((1, 65536)))
    except (anyio.BrokenResourceError, anyio.EndOfStream):
        pass
    if chance.random() < 0.5:
        own = stream.extra(anyio.abc.SocketAttribute.raw_socket)
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset instead of an end
    await stream.aclose()


@pytest.mark.parametrize("seed", range(3))
async def test_nobody_is_disturbed_by_callers_who_misbehave_and_nothing_is_left_of_them(
    seed: int, without_collector: None
) -> None:
    made: list[weakref.ref[object]] = []
    errors: list[dict[str, object]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: errors.append(context))

    async def stream(reply: Reply) -> None:
        reply.start(b"text/plain", {})
        for _ in range(50):
            await reply.write(b"x" * 10_000)
        reply.end()

    def later(request: Request, reply: Reply) -> None:
        if request.path == b"/stream":
            tasks.start_soon(stream, reply)
        elif request.path == b"/good":
            echo(request, reply)
        else:
            loop.call_later(0.005, reply.send, Response(200, bytes(len(request.body))))

    chance = random.Random(seed)
    async with serving(later, Limits(read_timeout_s=1, max_body_bytes=250_000)) as server:
        make = server.connections.__call__

        def making() -> Connection:
            connection = make()
            made.extend((weakref.ref(connection), weakref.ref(connection._reader)))
            return connection

        own = await loop.create_server(making, "127.0.0.1", 0)
        server.port = own.sockets[0].getsockname()[1]
        async with anyio.create_task_group() as tasks, await server.call() as good:
            for _ in range(60):
                tasks.start_soon(misbehave, server, random.Random(chance.random()))
            for number in range(60):
                await good.send(b"GET /good HTTP/1.1\r\nX: %d\r\n\r\n" % number)
                assert (await answer(good))[2] == b"GET /good  "
        await until(lambda: len(server.connections) == 0)
        own.close()
    assert len(made) == 122
    await anyio.sleep(0.02)
    assert not errors
    assert not [one for one in made if one() is not None]


async def test_a_connection_is_freed_without_the_help_of_the_garbage_collector(without_collector: None) -> None:
    kept: list[weakref.ref[object]] = []

    def keep(request: Request, reply: Reply) -> None:
        assert isinstance(reply, Connection)
        kept.extend((weakref.ref(reply), weakref.ref(reply._reader)))
        echo(request, reply)

    async with serving(keep) as server:
        for _ in range(5):
            async with await server.call() as caller:
                await caller.send(b"POST / HTTP/1.1\r\nContent-Length: 200000\r\n\r\n" + bytes(200_000))
                assert (await answer(caller))[0] == 200
        await until(lambda: len(server.connections) == 0)
        await anyio.sleep(0.02)
        assert [one() for one in kept] == [None] * 10
