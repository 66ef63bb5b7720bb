"""What a listener passes on as it is."""

import anyio
import anyio.lowlevel
import pytest

from tests.server.listener.model_servers import (
    GONE,
    Line,
    answers,
    listening,
    model_server,
    ok,
    posted,
    unchunked,
    until_it_has,
)
from tests.server.serving import answer, rest, until

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}


async def test_a_request_is_passed_on_untouched_but_for_what_is_between_neighbours() -> None:
    async with model_server() as server, listening(server.url) as listener, await listener.call() as caller:
        odd = b' {"instances" : [ 1.50, {"b64": "QQ=="} ]}\n'
        sent = (
            b"X-Request-Id: 7\r\nAuthorization: Bearer x\r\nConnection: keep-alive, X-Mine\r\nX-Mine: 1\r\nTE: gzip\r\n"
        )
        await caller.send(posted(odd, sent, b"?a=1"))
        assert (await answer(caller))[0] == 200
        ((head, body),) = server.requests
        assert body == odd
        line, *headers = head.split(b"\r\n")
        assert line == b"POST /predict?a=1 HTTP/1.1"
        assert sorted(headers) == sorted(
            [
                b"host: %b" % server.url[7:].encode(),
                b"content-type: application/json",
                b"content-length: %d" % len(odd),
                b"x-request-id: 7",
                b"authorization: Bearer x",
            ]
        )


async def test_a_request_without_a_type_is_given_none() -> None:
    async with model_server() as server, listening(server.url) as listener, await listener.call() as caller:
        await caller.send(posted().replace(b"Content-Type: application/json\r\n", b""))
        assert (await answer(caller))[0] == 200
        assert b"content-type" not in server.requests[0][0]


async def test_an_answer_keeps_its_status_type_and_headers() -> None:
    async def busy(line: Line) -> None:
        await line.request()
        await line.stream.send(
            b"HTTP/1.1 429 Too Many\r\nContent-Type: text/plain\r\nRetry-After: 3\r\nKeep-Alive: timeout=9\r\n"
            b"Connection: close\r\nContent-Length: 5\r\n\r\nlater"
        )

    async with model_server(busy) as server, listening(server.url) as listener, await listener.call() as caller:
        await caller.send(posted())
        status, headers, body = await answer(caller)
        assert (status, body, headers[b"content-type"], headers[b"retry-after"]) == (429, b"later", b"text/plain", b"3")
        assert headers.keys() == {b"content-type", b"content-length", b"retry-after", b"server-timing"}


async def test_the_times_of_the_model_server_stand_behind_those_of_the_listener() -> None:
    async def timed(line: Line) -> None:
        await line.request()
        await line.stream.send(ok(b"{}", b"Server-Timing: predict;dur=1.5\r\n"))

    async with model_server(timed) as server, listening(server.url) as listener, await listener.call() as caller:
        await caller.send(posted())
        _, headers, _ = await answer(caller)
        own, theirs = headers[b"server-timing"].split(b", ")
        assert own.startswith(b"m;dur=")
        assert theirs == b"predict;dur=1.5"


async def test_an_answer_is_passed_on_while_it_comes() -> None:
    more = anyio.Event()

    async def events(line: Line) -> None:
        await line.request()
        await line.stream.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n"
        )
        await more.wait()
        await line.stream.send(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")
        await answers(line)

    async with model_server(events) as server, listening(server.url) as listener, await listener.call() as caller:
        await caller.send(posted())
        start = await until_it_has(caller, b"data: 1\n\n")
        assert b"content-type: text/event-stream\r\ncache-control: no-cache\r\nserver-timing: m;dur=" in start
        more.set()
        await until_it_has(caller, b"data: 2\n\n\r\n0\r\n\r\n")
        await caller.send(posted())
        assert (await answer(caller))[2] == b'{"predictions":[1]}'
        assert server.connections == 1


@pytest.mark.parametrize("framing", ["length", "chunked", "end"])
async def test_a_large_answer_arrives_whole_however_it_is_framed(framing: str) -> None:
    large = bytes(range(256)) * 20_000

    async def answers_much(line: Line) -> None:
        await line.request()
        if framing == "length":
            await line.stream.send(ok(large))
        elif framing == "end":
            await line.stream.send(b"HTTP/1.1 200 OK\r\n\r\n" + large)
        else:
            pieces = [large[at : at + 70_000] for at in range(0, len(large), 70_000)]
            await line.stream.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            await line.stream.send(b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in [*pieces, b""]))

    async with model_server(answers_much) as server, listening(server.url) as listener, await listener.call() as caller:
        await caller.send(posted(headers=b"Connection: close\r\n"))
        head, _, body = (await rest(caller)).partition(b"\r\n\r\n")
        assert b"transfer-encoding: chunked" in head
        assert unchunked(body) == large


async def test_a_model_server_is_read_no_faster_than_the_caller_reads() -> None:
    sent = 0

    async def endless(line: Line) -> None:
        nonlocal sent
        await line.request()
        await line.stream.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await line.stream.send(bytes(1_000_000))
            sent += 1

    async with model_server(endless) as server, listening(server.url) as listener, await listener.call() as caller:
        await caller.send(posted())
        before = -1
        with anyio.fail_after(20):
            while sent != before:  # it comes to a standstill: what the kernel holds, and a little
                before = sent
                await anyio.sleep(0.2)
        assert 0 < sent < 30
        await until_it_has(caller, bytes(1000))
        for _ in range(20):
            await caller.receive(1_000_000)
        await until(lambda: sent > before)


async def test_an_answer_that_breaks_off_breaks_off_for_the_caller() -> None:
    async def breaks_off(line: Line) -> None:
        await line.request()
        await line.stream.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await anyio.sleep(0.05)

    async with model_server(breaks_off) as server, listening(server.url) as listener, await listener.call() as caller:
        await caller.send(posted())
        await until_it_has(caller, b"abc")
        with pytest.raises(GONE), anyio.fail_after(20):
            while True:
                assert b"0\r\n\r\n" not in await caller.receive()


async def test_an_answer_that_stops_coming_is_cut_off_in_time() -> None:
    async def stops(line: Line) -> None:
        await line.request()
        await line.stream.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await line.closed()

    async with (
        model_server(stops) as server,
        listening(server.url, timeout_s=0.1) as listener,
        await listener.call() as caller,
    ):
        await caller.send(posted())
        await until_it_has(caller, b"abc")
        with pytest.raises(GONE), anyio.fail_after(20):
            await caller.receive()
        await until(lambda: not server.open)
