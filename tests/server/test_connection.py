import asyncio

import anyio
import pytest

from modelport.server.exchange import Reply, Request, Response
from modelport.server.request_reader import Limits
from tests.server.serving import answer, echo, rest, serving, until

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}


async def test_a_connection_answers_one_request_after_the_other() -> None:
    async with serving() as server, await server.call() as caller:
        for number in range(3):
            await caller.send(b"POST /p?q=%d HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi" % number)
            status, headers, body = await answer(caller)
            assert (status, body) == (200, b"POST /p q=%d hi" % number)
            assert b"connection" not in headers


async def test_requests_sent_ahead_are_answered_in_order_and_one_at_a_time() -> None:
    waiting: list[tuple[Request, Reply]] = []
    async with (
        serving(lambda request, reply: waiting.append((request, reply))) as server,
        await server.call() as caller,
    ):
        await caller.send(b"".join(b"GET /%d HTTP/1.1\r\n\r\n" % number for number in range(5)))
        for number in range(5):
            await until(lambda: len(waiting) == 1)
            request, reply = waiting.pop()
            assert request.path == b"/%d" % number
            await anyio.sleep(0.01)
            assert not waiting
            echo(request, reply)
            assert (await answer(caller))[2] == b"GET /%d  " % number


async def test_a_caller_who_asks_for_it_is_closed_after_the_answer() -> None:
    async with serving() as server, await server.call() as caller:
        await caller.send(b"GET /1 HTTP/1.1\r\nConnection: close\r\n\r\nGET /2 HTTP/1.1\r\n\r\n")
        everything = await rest(caller)
        assert everything.count(b"HTTP/1.1 200") == 1
        assert b"connection: close\r\n" in everything


async def test_http_1_0_is_answered_and_closed() -> None:
    async with serving() as server, await server.call() as caller:
        await caller.send(b"GET /old HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        everything = await rest(caller)
        assert b"connection: close" in everything
        assert everything.endswith(b"GET /old  ")


async def test_the_answer_to_head_has_a_length_and_no_body() -> None:
    async with serving() as server, await server.call() as caller:
        await caller.send(b"HEAD /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\nConnection: close\r\n\r\n")
        first, second = (await rest(caller)).split(b"\r\n\r\n", 1)
        assert b"content-length: 9" in first
        assert second.startswith(b"HTTP/1.1 200 OK")


async def test_leave_is_given_to_who_waits_for_it_and_the_body_arrives() -> None:
    async with serving() as server, await server.call() as caller:
        await caller.send(b"POST / HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert (await answer(caller))[0] == 100
        await caller.send(b"ok")
        assert (await answer(caller))[2] == b"POST /  ok"


async def test_a_body_that_is_too_large_is_refused_before_it_is_sent() -> None:
    async with serving(limits=Limits(max_body_bytes=10)) as server, await server.call() as caller:
        await caller.send(b"POST / HTTP/1.1\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n")
        status, headers, body = await answer(caller)
        assert (status, headers[b"connection"]) == (413, b"close")
        assert b'"code":413' in body
        assert b"PAYLOAD_TOO_LARGE" in body


async def test_who_sends_a_large_body_all_the_same_still_reads_the_refusal() -> None:
    async with serving(limits=Limits(max_body_bytes=1000)) as server, await server.call() as caller:
        await caller.send(b"POST / HTTP/1.1\r\nContent-Length: 8000000\r\n\r\n")
        for _ in range(8):
            await caller.send(bytes(1_000_000))
        assert (await answer(caller))[0] == 413
        assert await rest(caller) == b""


async def test_a_chunked_body_is_joined_and_measured() -> None:
    async with serving(limits=Limits(max_body_bytes=10)) as server, await server.call() as caller:
        await caller.send(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await anyio.sleep(0.01)
        await caller.send(b"2\r\nde\r\n0\r\n\r\n")
        assert (await answer(caller))[2] == b"POST /  abcde"
        await caller.send(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        await caller.send(b"6\r\nabcdef\r\n6\r\nabcdef\r\n")
        assert (await answer(caller))[0] == 413


async def test_a_large_body_arrives_whole_and_the_next_request_is_found_behind_it() -> None:
    bodies: list[bytes] = []

    def keep(request: Request, reply: Reply) -> None:
        bodies.append(request.body)
        reply.send(Response(200, b"%d" % len(request.body)))

    large = bytes(range(256)) * 12_000
    async with serving(keep) as server, await server.call() as caller:
        head = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(large)
        await caller.send(head + large + head + large + b"POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\nx")
        assert [(await answer(caller))[2] for _ in range(3)] == [b"3072000", b"3072000", b"1"]
    assert bodies == [large, large, b"x"]


async def test_what_is_not_http_is_answered_with_400_and_closed() -> None:
    async with serving() as server:
        for bytes_ in (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: -3\r\n\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"CONNECT x:1 HTTP/1.1\r\n\r\n",
        ):
            async with await server.call() as caller:
                await caller.send(bytes_)
                status, headers, body = await answer(caller)
                assert (status, headers[b"connection"]) == (400, b"close"), bytes_
                assert b'"code":400' in body
                assert await rest(caller) == b""


async def test_what_came_before_malformed_bytes_is_answered_first() -> None:
    async with serving() as server, await server.call() as caller:
        await caller.send(b"GET /good HTTP/1.1\r\n\r\nnonsense\r\n\r\n")
        assert (await answer(caller))[2] == b"GET /good  "
        assert (await answer(caller))[0] == 400


@pytest.mark.parametrize("whole", [True, False])
async def test_a_head_that_is_too_large_gets_431(whole: bool) -> None:
    async with serving(limits=Limits(max_head_bytes=1000)) as server, await server.call() as caller:
        await caller.send(b"GET / HTTP/1.1\r\nCookie: " + b"x" * 1000 + (b"\r\n\r\n" if whole else b""))
        assert (await answer(caller))[0] == 431


async def test_a_slow_head_and_a_pause_in_a_body_get_408_and_an_idle_caller_is_closed() -> None:
    limits = Limits(read_timeout_s=0.2, idle_timeout_s=0.4)
    async with serving(limits=limits) as server:
        async with await server.call() as caller:
            with anyio.fail_after(20):
                for letter in b"GET / HTTP/1.1\r\nX: yyyyyyyyyyyyyyyyyy":  # never quiet for long, and never done
                    try:
                        await caller.send(bytes([letter]))
                    except anyio.BrokenResourceError:
                        break
                    await anyio.sleep(0.02)
            assert (await answer(caller))[0] == 408
        async with await server.call() as caller:
            await caller.send(b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab")
            assert (await answer(caller))[0] == 408
        async with await server.call() as caller:
            await caller.send(b"GET / HTTP/1.1\r\n\r\n")
            assert (await answer(caller))[0] == 200
            before = anyio.current_time()
            assert await rest(caller) == b""
            assert anyio.current_time() - before > 0.3


async def test_a_body_that_comes_slowly_but_steadily_is_waited_for() -> None:
    async with serving(limits=Limits(read_timeout_s=0.2)) as server, await server.call() as caller:
        await caller.send(b"POST / HTTP/1.1\r\nContent-Length: 8\r\n\r\n")
        for _ in range(8):
            await anyio.sleep(0.06)
            await caller.send(b"x")
        assert (await answer(caller))[2] == b"POST /  xxxxxxxx"


async def test_a_slow_prediction_is_no_idle_connection() -> None:
    replies: list[Reply] = []
    limits = Limits(read_timeout_s=0.1, idle_timeout_s=0.1)
    async with serving(lambda _, reply: replies.append(reply), limits) as server, await server.call() as caller:
        await caller.send(b"GET / HTTP/1.1\r\n\r\n")
        await anyio.sleep(0.3)
        replies[0].send(Response(200, b"late"))
        assert (await answer(caller))[2] == b"late"


async def test_a_caller_who_hangs_up_is_seen_and_forgotten() -> None:
    replies: list[Reply] = []
    async with serving(lambda _, reply: replies.append(reply)) as server:
        caller = await server.call()
        await caller.send(b"GET / HTTP/1.1\r\n\r\n")
        await until(lambda: bool(replies))
        assert not replies[0].closed
        await caller.aclose()
        await until(lambda: replies[0].closed)
        replies[0].send(Response(200, b"to nobody"))
        assert len(server.connections) == 0


async def test_who_does_not_read_gets_no_further_answers_computed_and_is_cut_off() -> None:
    handled = 0

    def large(request: Request, reply: Reply) -> None:
        nonlocal handled
        handled += 1
        reply.send(Response(200, bytes(8_000_000)))

    async with serving(large, Limits(read_timeout_s=0.2)) as server, await server.call() as caller:
        await caller.send(b"GET / HTTP/1.1\r\n\r\n" * 20)
        await until(lambda: handled > 0)
        await until(lambda: len(server.connections) == 0)
        assert handled < 4


async def test_a_stream_arrives_in_pieces_and_the_connection_lives_on() -> None:
    async def pieces(reply: Reply) -> None:
        reply.start(b"text/plain", {b"x-a": b"1"})
        for piece in (b"one", b"", b"two"):
            await reply.write(piece)
        reply.end()

    async with (
        anyio.create_task_group() as tasks,
        serving(lambda _, reply: tasks.start_soon(pieces, reply)) as server,
        await server.call() as caller,
        await server.call() as old,
    ):
        for _ in range(2):
            await caller.send(b"GET / HTTP/1.1\r\n\r\n")
            status, headers, body = await answer(caller)
            assert (status, headers[b"x-a"]) == (200, b"1")
            assert body == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"
        await old.send(b"GET / HTTP/1.0\r\n\r\n")
        assert (await rest(old)).endswith(b"connection: close\r\n\r\nonetwo")


async def test_a_stream_waits_for_who_reads_slowly_and_ends_when_they_hang_up() -> None:
    written = 0
    ended = asyncio.Event()

    async def endless(reply: Reply) -> None:
        nonlocal written
        reply.start(b"text/plain", {})
        while not reply.closed:
            await reply.write(bytes(100_000))
            written += 1
        ended.set()

    async with anyio.create_task_group() as tasks, serving(lambda _, reply: tasks.start_soon(endless, reply)) as server:
        caller = await server.call()
        await caller.send(b"GET / HTTP/1.1\r\n\r\n")
        await until(lambda: written > 0)
        await anyio.sleep(0.2)
        stuck = written
        await anyio.sleep(0.1)
        assert written == stuck
        assert written < 200  # what the sockets hold, not what could be computed
        await caller.aclose()
        with anyio.fail_after(20):
            await ended.wait()


async def test_a_stream_that_is_cut_off_is_not_whole_to_its_caller() -> None:
    async def broken(reply: Reply) -> None:
        reply.start(b"text/plain", {})
        await reply.write(b"some")
        await anyio.sleep(0.05)
        reply.abort()

    async with (
        anyio.create_task_group() as tasks,
        serving(lambda _, reply: tasks.start_soon(broken, reply)) as server,
        await server.call() as caller,
    ):
        await caller.send(b"GET / HTTP/1.1\r\n\r\n")
        received = b""
        with pytest.raises((anyio.BrokenResourceError, anyio.EndOfStream)):
            while True:
                received += await caller.receive()
        assert b"0\r\n\r\n" not in received


async def test_a_header_value_cannot_begin_another_header() -> None:
    def evil(request: Request, reply: Reply) -> None:
        reply.send(Response(200, b"", headers={b"x-id": b"1\r\nset-cookie: a=b", b"x-other": b"2"}))

    async with serving(evil) as server, await server.call() as caller:
        await caller.send(b"GET / HTTP/1.1\r\n\r\n")
        _, headers, _ = await answer(caller)
        assert b"set-cookie" not in headers
        assert headers[b"x-other"] == b"2"


async def test_a_handler_that_fails_costs_its_own_request_only() -> None:
    def fails(request: Request, reply: Reply) -> None:
        if request.path == b"/bad":
            raise RuntimeError("a defect")
        echo(request, reply)

    async with serving(fails) as server, await server.call() as caller:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        await caller.send(b"GET /bad HTTP/1.1\r\n\r\nGET /good HTTP/1.1\r\n\r\n")
        assert (await answer(caller))[0] == 500
        assert (await answer(caller))[2] == b"GET /good  "


async def test_a_wish_for_another_protocol_is_passed_over() -> None:
    async with serving() as server, await server.call() as caller:
        await caller.send(
            b"POST /p?a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
            b"HTTP2-Settings: AAA\r\nContent-Length: 5\r\n\r\nGET /GET /next HTTP/1.1\r\n\r\n"
        )
        assert (await answer(caller))[2] == b"POST /p a GET /"
        assert (await answer(caller))[2] == b"GET /next  "


async def test_draining_answers_what_is_under_way_and_closes_the_idle() -> None:
    replies: list[Reply] = []
    async with serving(lambda _, reply: replies.append(reply)) as server:
        idle, busy, sending = [await server.call() for _ in range(3)]
        async with idle, busy, sending:
            await busy.send(b"GET / HTTP/1.1\r\n\r\n")
            await sending.send(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n")
            await until(lambda: len(replies) == 1 and len(server.connections) == 3)
            await anyio.sleep(0.02)
            cut_off = []

            async def drain() -> None:
                cut_off.append(await server.connections.drain(5))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(drain)
                assert await rest(idle) == b""
                replies[0].send(Response(200, b"done"))
                _, headers, body = await answer(busy)
                assert (headers[b"connection"], body) == (b"close", b"done")
                await sending.send(b"ok")
                await until(lambda: len(replies) == 2)
                replies[1].send(Response(200, b"too"))
                assert (await answer(sending))[2] == b"too"
            assert cut_off == [0]


async def test_draining_cuts_off_what_takes_longer_than_it_may() -> None:
    async with serving(lambda _, reply: None) as server, await server.call() as caller:
        await caller.send(b"GET / HTTP/1.1\r\n\r\n")
        await until(lambda: len(server.connections) == 1)
        await anyio.sleep(0.02)
        assert await server.connections.drain(0.05) == 1


async def test_heads_that_each_come_in_time_are_no_slow_head() -> None:
    async with serving(limits=Limits(read_timeout_s=0.2)) as server, await server.call() as caller:
        await caller.send(b"GET / HT")
        for _ in range(12):
            await anyio.sleep(0.04)
            await caller.send(b"TP/1.1\r\n\r\nGET / HT")
            assert (await answer(caller))[0] == 200


async def test_who_sends_ahead_without_end_is_not_read_from() -> None:
    replies: list[Reply] = []
    async with serving(lambda _, reply: replies.append(reply)) as server, await server.call() as caller:
        sent = 0
        with anyio.move_on_after(0.5):
            while sent < 50_000_000:
                await caller.send(b"POST / HTTP/1.1\r\nContent-Length: 50000\r\n\r\n" + bytes(50_000))
                sent += 50_000
        assert len(replies) == 1
        assert sent < 20_000_000  # what the sockets of both sides hold


async def test_a_large_answer_arrives_whole_though_the_connection_is_closed_behind_it() -> None:
    large = bytes(range(256)) * 40_000
    async with serving(lambda _, reply: reply.send(Response(200, large))) as server, await server.call() as caller:
        await caller.send(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        await anyio.sleep(0.05)
        assert (await rest(caller)).partition(b"\r\n\r\n")[2] == large
