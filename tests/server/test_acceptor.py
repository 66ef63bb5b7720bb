import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from modelport.server.acceptor import Acceptor
from modelport.server.connections import Connections
from modelport.server.request_reader import Limits
from modelport.server.shares import Shares
from tests.server.serving import echo, until

pytestmark = pytest.mark.anyio

ME, OTHER = 0, 1


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}


@asynccontextmanager
async def accepting(shares: Shares) -> AsyncIterator[tuple[Connections, socket.socket, Acceptor]]:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    loop = asyncio.get_running_loop()
    connections = Connections(echo, Limits(), loop=loop)
    async with anyio.create_task_group() as tasks:
        acceptor = Acceptor(listener, connections, tasks.start_soon, shares, ME, loop=loop)
        acceptor.start()
        yield connections, listener, acceptor
        acceptor.stop()
        await connections.drain(0)


async def test_a_worker_with_more_connections_leaves_the_next_to_the_other() -> None:
    shares = Shares(2)
    async with accepting(shares) as (connections, listener, acceptor):
        callers = [socket.create_connection(listener.getsockname())]
        await until(lambda: len(connections) == 1)
        shares.tell(OTHER, 0)
        callers.append(socket.create_connection(listener.getsockname()))
        acceptor._accept()
        taken, _ = listener.accept()  # as the other worker would
        for one in (*callers, taken):
            one.close()


async def test_a_connection_that_the_other_does_not_take_is_not_left_waiting() -> None:
    shares = Shares(2)
    shares.tell(OTHER, 0)
    async with accepting(shares) as (connections, listener, _):
        callers = [socket.create_connection(listener.getsockname()) for _ in range(4)]
        await until(lambda: len(connections) == 4)
        for one in callers:
            one.close()
        await until(lambda: len(connections) == 0)
        callers = [socket.create_connection(listener.getsockname())]
        await until(lambda: len(connections) == 1)
        callers[0].close()


def test_a_worker_that_takes_none_is_not_given_way_to() -> None:
    shares = Shares(3)
    shares.tell(ME, 5)
    assert not shares.another_has_fewer(ME)
    shares.tell(OTHER, 5)
    assert not shares.another_has_fewer(ME)
    shares.tell(OTHER, 4)
    assert shares.another_has_fewer(ME)
    shares.forget(OTHER)
    assert not shares.another_has_fewer(ME)
