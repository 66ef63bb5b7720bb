import asyncio
import socket
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import anyio.lowlevel
import pytest

from modelport.core.errors import InvalidArgument, ModelServerDown, ModelServerGarbled
from modelport.server.connections import Connections
from modelport.server.listener.formats.base import Message
from modelport.server.listener.wire.answer_stream import AnswerStream
from modelport.server.listener.wire.upstream import Address, Upstream
from modelport.server.request_reader import Limits
from tests.server.listener.model_servers import OK, Line, answers, model_server, ok, pool
from tests.server.serving import echo, until

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}


async def ask(upstream: Upstream, body: bytes = b"{}") -> Message:
    with anyio.fail_after(20):
        return await upstream.request(b"POST", b"/predict", Message(body))


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://localhost:8001", Address("localhost", 8001)),
        ("http://model", Address("model", 80)),
        ("http://127.0.0.1:8001/", Address("127.0.0.1", 8001)),
        ("http://[::1]:8001", Address("::1", 8001)),
        ("unix:/run/model.sock", Address(path="/run/model.sock")),
        ("unix:///run/model.sock", Address(path="/run/model.sock")),
    ],
)
def test_an_address_is_read(url: str, address: Address) -> None:
    assert Address.of(url) == address


@pytest.mark.parametrize(
    "url", ["localhost:8001", "https://a:1", "http://", "http://a:b", "http://a:99999", "unix:", "http://a:1/v2", ""]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(InvalidArgument, match="no address of a model server"):
        Address.of(url)


async def test_a_connection_is_used_for_one_request_after_the_other() -> None:
    async with model_server() as server, pool(server.url) as upstream:
        for _ in range(3):
            assert (await ask(upstream)).body == b'{"predictions":[1]}'
        assert server.connections == 1
        head = server.requests[0][0].split(b"\r\n")
        assert head[0] == b"POST /predict HTTP/1.1"
        assert b"host: %b" % urlsplit(server.url).netloc.encode() in head
        assert b"content-length: 2" in head


async def test_a_unix_socket_is_a_model_server_too(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    connections = Connections(echo, Limits(), loop=loop)
    server = await loop.create_unix_server(connections, tmp_path / "model.sock")
    async with pool(f"unix:{tmp_path}/model.sock") as upstream:
        for _ in range(2):
            assert (await ask(upstream, b"rows")).body == b"POST /predict  rows"
        assert len(connections) == 1
    server.close()
    await connections.drain(0)


async def test_requests_wait_for_a_connection_and_are_served_in_their_order() -> None:
    async with (
        model_server() as server,
        pool(server.url, connections=2) as upstream,
        anyio.create_task_group() as tasks,
    ):
        for number in range(20):
            tasks.start_soon(ask, upstream, b"%d" % number)
            await anyio.lowlevel.checkpoint()
        await until(lambda: len(server.requests) == 20)
        numbers = [int(body) for _, body in server.requests]
        assert all(abs(number - place) <= 2 for place, number in enumerate(numbers))  # two at a time
        assert server.connections <= 2


async def test_a_kept_connection_that_was_closed_meanwhile_costs_no_request() -> None:
    async def one_each(line: Line) -> None:
        await line.request()
        await line.stream.send(OK)

    async with model_server(one_each) as server, pool(server.url) as upstream:
        for _ in range(3):
            assert (await ask(upstream)).status == 200
            await until(lambda: not upstream.open)
        assert len(server.requests) == server.connections == 3


async def test_a_request_that_meets_a_closed_connection_is_sent_once_more_on_a_new_one() -> None:
    async def closes_the_second(line: Line) -> None:
        await line.request()
        await line.stream.send(OK)
        if line.number == 0:
            await line.request()  # and says nothing: as if it had closed the connection just before
        else:
            await answers(line)

    async with model_server(closes_the_second) as server, pool(server.url) as upstream:
        await ask(upstream, b"1")
        assert (await ask(upstream, b"2")).status == 200
        assert [body for _, body in server.requests] == [b"1", b"2", b"2"]


async def test_a_request_is_not_sent_a_third_time() -> None:
    async def answers_once_in_all(line: Line) -> None:
        await line.request()
        if line.number == 0:
            await line.stream.send(OK)
            await line.request()

    async with model_server(answers_once_in_all) as server, pool(server.url) as upstream:
        await ask(upstream, b"1")
        with pytest.raises(ModelServerDown, match="before it had answered"):
            await ask(upstream, b"2")
        assert len(server.requests) == 3


async def test_a_request_is_not_sent_again_when_a_new_connection_is_closed() -> None:
    async def says_nothing(line: Line) -> None:
        await line.request()

    async with model_server(says_nothing) as server, pool(server.url) as upstream:
        with pytest.raises(ModelServerDown, match="closed the connection before it had answered"):
            await ask(upstream)
        assert len(server.requests) == 1


async def test_a_request_is_not_sent_again_once_a_byte_of_its_answer_has_come() -> None:
    async def breaks_off(line: Line) -> None:
        await line.request()
        await line.stream.send(OK)
        await line.request()
        await line.stream.send(OK[:1])

    async with model_server(breaks_off) as server, pool(server.url) as upstream:
        await ask(upstream)
        with pytest.raises(ModelServerDown, match="within its answer"):
            await ask(upstream)
        assert len(server.requests) == 2


async def test_a_server_that_is_not_there_is_named_with_its_address() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        async with pool(url, connections=2) as upstream, anyio.create_task_group() as tasks:
            told: list[str] = []

            async def one() -> None:
                with pytest.raises(ModelServerDown) as caught:
                    await ask(upstream)
                told.append(str(caught.value))

            for _ in range(10):
                tasks.start_soon(one)
        assert len(told) == 10
        assert set(told) == {f"The model server `triton` cannot be reached at `{url[7:]}`: Connection refused"}
        assert upstream.open == 0


@pytest.mark.parametrize("url", ["http://nowhere.invalid:1", "unix:/nowhere", f"unix:/{'x' * 200}", "http://a..b:1"])
async def test_an_address_that_cannot_be_used_is_told(url: str) -> None:
    async with pool(url) as upstream:
        with pytest.raises(ModelServerDown, match="cannot be reached at"):
            await ask(upstream)
        assert upstream.open == 0


async def test_connecting_takes_no_longer_than_it_may() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        fillers = [socket.socket() for _ in range(3)]
        for one in fillers:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        async with pool(f"http://127.0.0.1:{port}", connect_timeout_s=0.1) as upstream:
            with pytest.raises(ModelServerDown, match=r"no answer within 0\.1 s"):
                await ask(upstream)
            assert upstream.open == 0
        for one in fillers:
            one.close()


async def test_a_request_that_is_given_up_takes_its_connection_with_it() -> None:
    async def silent_at_first(line: Line) -> None:
        await line.request()
        if line.number:
            await line.stream.send(OK)
        await line.closed()

    async with model_server(silent_at_first) as server, pool(server.url, connections=1) as upstream:
        with anyio.move_on_after(0.05) as scope:
            await ask(upstream)
        assert scope.cancelled_caught
        assert (await ask(upstream)).status == 200
        assert server.connections == 2
        await until(lambda: server.open == 1)


async def test_a_request_that_is_given_up_before_it_was_taken_in_is_not_sent_to_its_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as never_reads:
        async with pool(f"http://127.0.0.1:{never_reads.getsockname()[1]}") as upstream:
            with anyio.move_on_after(0.05):
                await ask(upstream, bytes(20_000_000))
            await until(lambda: not upstream.open)


async def test_a_request_that_is_given_up_while_it_waits_is_never_sent() -> None:
    go_on = anyio.Event()

    async def slow(line: Line) -> None:
        while True:
            await line.request()
            await go_on.wait()
            await line.stream.send(OK)

    async with (
        model_server(slow) as server,
        pool(server.url, connections=1) as upstream,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(ask, upstream, b"1")
        await until(lambda: len(server.requests) == 1)
        with anyio.move_on_after(0.02):
            await ask(upstream, b"2")
        go_on.set()
        await ask(upstream, b"3")
        assert [body for _, body in server.requests] == [b"1", b"3"]
        assert server.connections == 1


@pytest.mark.parametrize(
    ("answer", "body", "kept"),
    [
        (ok(b""), b"", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + ok(b"x"), b"x", True),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", b"abc", True),
        (b"HTTP/1.1 200 OK\r\n\r\nto the end", b"to the end", False),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\nx", b"x", False),
        (b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\nx", b"x", False),
    ],
)
async def test_answers_of_every_kind_are_read(answer: bytes, body: bytes, kept: bool) -> None:
    async def once(line: Line) -> None:
        while True:
            await line.request()
            await line.stream.send(answer)
            if not kept:
                return

    async with model_server(once) as server, pool(server.url) as upstream:
        for _ in range(2):
            assert (await ask(upstream)).body == body
        assert server.connections == (1 if kept else 2)


async def test_large_bodies_go_both_ways() -> None:
    async def echoes(line: Line) -> None:
        while True:
            await line.stream.send(ok((await line.request())[1]))

    body = bytes(range(256)) * 40_000  # ten megabytes
    async with model_server(echoes) as server, pool(server.url) as upstream:
        for _ in range(2):
            assert (await ask(upstream, body)).body == body
        assert server.connections == 1


async def test_an_answer_before_the_request_was_taken_in_ends_the_connection() -> None:
    async def hasty(line: Line) -> None:
        await line.stream.receive(1)
        await line.stream.send(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")
        await anyio.sleep(5)

    async with model_server(hasty) as server, pool(server.url) as upstream:
        assert (await ask(upstream, b"x" * 20_000_000)).status == 413
        await until(lambda: not upstream.open)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9999999999\r\n\r\n", "longer than 1073741824 bytes"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000, "headers are longer than 65536 bytes"),
        (b"220 smtp.example.com ESMTP\r\n", "no HTTP answer"),
    ],
)
async def test_what_is_no_answer_or_too_long_is_told(answer: bytes, why: str) -> None:
    async def strange(line: Line) -> None:
        await line.request()
        await line.stream.send(answer)
        await line.closed()

    async with model_server(strange) as server, pool(server.url) as upstream:
        with pytest.raises(ModelServerGarbled, match=why):
            await ask(upstream)
        await until(lambda: upstream.open == server.open == 0)


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_second_answer_is_nobodys(at_once: bool) -> None:
    async def twice(line: Line) -> None:
        _, body = await line.request()
        await line.stream.send(ok(body) + ok(b"another's") if at_once else ok(body))
        await line.stream.send(ok(b"another's"))
        await line.closed()

    async with model_server(twice) as server, pool(server.url) as upstream:
        for number in range(3):
            assert (await ask(upstream, b"%d" % number)).body == b"%d" % number
            await until(lambda: not upstream.open)
        assert server.connections == 3


async def test_an_answer_can_be_taken_piece_by_piece() -> None:
    more = anyio.Event()

    async def in_two(line: Line) -> None:
        await line.request()
        await line.stream.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await more.wait()
        await line.stream.send(b"3\r\ndef\r\n0\r\n\r\n")
        await answers(line)

    async with model_server(in_two) as server, pool(server.url) as upstream:
        outcomes: list[object] = []
        upstream.send(b"POST", b"/", Message(b""), outcomes.append, streams=True)
        await until(lambda: bool(outcomes))
        (stream,) = outcomes
        assert isinstance(stream, AnswerStream)
        assert await stream.next() == b"abc"
        more.set()
        assert await stream.next() + await stream.next() == b"def"
        assert (await ask(upstream)).status == 200
        assert server.connections == 1


async def test_a_pool_that_is_closed_keeps_no_connection() -> None:
    async with model_server() as server, pool(server.url) as upstream:
        await ask(upstream)
        upstream.close()
        await until(lambda: server.open == upstream.open == 0)
