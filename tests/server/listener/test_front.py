import random

import anyio
import anyio.lowlevel
import orjson
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from modelport.server.counted import counted
from modelport.server.listener.declaration import Model
from modelport.server.listener.formats.ai_platform import AIPlatform
from modelport.server.listener.metrics import ListenerMetrics
from modelport.server.listener.steps.work import Context
from modelport.server.listener.wire.model_call import ModelCall
from tests.server.listener.model_servers import (
    BODY,
    OK,
    Line,
    listening,
    model_server,
    ok,
    pool,
    posted,
    unchunked,
    until_it_has,
)
from tests.server.serving import answer, until

pytestmark = pytest.mark.anyio

BOTH = pytest.mark.parametrize("converts", [False, True])


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}


# What is read and written.


async def test_a_converted_answer_tells_what_each_step_took() -> None:
    async with (
        model_server() as server,
        listening(server.url, converts=True) as listener,
        await listener.call() as caller,
    ):
        await caller.send(posted())
        status, headers, body = await answer(caller)
        assert (status, orjson.loads(body)) == (200, {"predictions": [1]})
        spans = [span.split(b";")[0] for span in headers[b"server-timing"].split(b", ")]
        assert spans == [b"parse", b"m", b"serialise"]


async def test_no_instances_are_answered_without_asking() -> None:
    async with (
        model_server() as server,
        listening(server.url, converts=True) as listener,
        await listener.call() as caller,
    ):
        await caller.send(posted(b'{"instances":[]}'))
        status, _, body = await answer(caller)
        assert (status, orjson.loads(body)) == (200, {"predictions": []})
        assert not server.requests


@pytest.mark.parametrize(
    ("status", "told"),
    [(400, 400), (404, 400), (413, 413), (422, 400), (429, 429), (500, 500), (502, 500), (503, 503), (504, 504)],
)
async def test_what_a_model_server_says_about_an_error_reaches_the_caller(status: int, told: int) -> None:
    async def refuses(line: Line) -> None:
        await line.request()
        body = b'{"error":"the rows are too wide"}'
        await line.stream.send(b"HTTP/1.1 %d No\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body))
        await line.closed()

    async with (
        model_server(refuses) as server,
        listening(server.url, converts=True) as listener,
        await listener.call() as caller,
    ):
        await caller.send(posted())
        seen, headers, body = await answer(caller)
        error = orjson.loads(body)["error"]
        assert (seen, error["code"]) == (told, told) if told != 413 else seen in (400, 413)
        assert f"The model `m` on `triton` answered {status}: the rows are too wide" in error["message"]
        assert b"m;dur=" in headers[b"server-timing"]


async def test_a_model_is_not_asked_for_no_rows() -> None:
    async with model_server() as server, pool(server.url) as upstream:
        assert await ModelCall(Model("m", "triton", "/"), upstream, AIPlatform()).run({"": []}, Context()) == []
        assert not server.requests


class RowByRow(AIPlatform):
    row_by_row = True


async def test_a_format_of_one_row_is_asked_for_each_row_and_no_more_at_once_than_the_model_takes() -> None:
    at_once = 0
    most = 0

    async def echoes(line: Line) -> None:
        nonlocal at_once, most
        while True:
            _, body = await line.request()
            at_once += 1
            most = max(most, at_once)
            await anyio.sleep(random.uniform(0, 0.01))
            at_once -= 1
            await line.stream.send(ok(b'{"predictions":%b}' % orjson.dumps(orjson.loads(body)["instances"])))

    model = Model("m", "triton", "/predict", concurrency=3, max_waiting=0)
    async with model_server(echoes) as server, pool(server.url, connections=10) as upstream:
        call = ModelCall(model, upstream, RowByRow())
        assert list(await call.run({"": [f"row {number}" for number in range(20)]}, Context())) == [
            f"row {number}" for number in range(20)
        ]
        assert most == 3


async def test_the_first_row_that_fails_ends_the_others() -> None:
    async def refuses_one(line: Line) -> None:
        while True:
            _, body = await line.request()
            if b'"bad"' in body:
                await line.stream.send(b"HTTP/1.1 400 No\r\ncontent-length: 3\r\n\r\nbad")
            else:
                await line.closed()

    async with model_server(refuses_one) as server, pool(server.url) as upstream:
        call = ModelCall(Model("m", "triton", "/"), upstream, RowByRow())
        with pytest.raises(Exception, match="answered 400: bad"), anyio.fail_after(20):
            await call.run({"": ["good", "bad", "good"]}, Context())
        await until(lambda: server.open <= 1)


# Both.


@BOTH
async def test_a_model_has_no_more_requests_at_once_than_it_may_and_too_many_that_wait_are_refused(
    converts: bool,
) -> None:
    go_on = anyio.Event()

    async def waits(line: Line) -> None:
        while True:
            await line.request()
            await go_on.wait()
            await line.stream.send(OK)

    seen: list[int] = []
    async with (
        model_server(waits) as server,
        listening(server.url, converts=converts, concurrency=2, max_waiting=3) as listener,
        anyio.create_task_group() as tasks,
    ):

        async def one() -> None:
            async with await listener.call() as caller:
                await caller.send(posted())
                status, headers, _ = await answer(caller)
                assert b";dur=" in headers[b"server-timing"]
                seen.append(status)

        for _ in range(9):
            tasks.start_soon(one)
        await until(lambda: len(seen) == 4)
        assert seen == [429] * 4
        assert len(server.requests) == 2
        go_on.set()
    assert seen == [429] * 4 + [200] * 5


@BOTH
async def test_requests_that_wait_for_a_model_are_sent_in_the_order_in_which_they_came(converts: bool) -> None:
    go_on = anyio.Event()

    async def waits(line: Line) -> None:
        while True:
            await line.request()
            await go_on.wait()
            await line.stream.send(OK)

    async with (
        model_server(waits) as server,
        listening(server.url, converts=converts, concurrency=1) as listener,
        anyio.create_task_group() as tasks,
    ):

        async def one(number: int) -> None:
            async with await listener.call() as caller:
                await caller.send(posted(b'{"instances":[%d]}' % number))
                assert (await answer(caller))[0] == 200

        for number in range(5):
            tasks.start_soon(one, number)
            await until(lambda: len(server.requests) == 1)
            await anyio.sleep(0.02)
        go_on.set()
        await until(lambda: len(server.requests) == 5)
        assert [orjson.loads(body)["instances"] for _, body in server.requests] == [[0], [1], [2], [3], [4]]


@BOTH
async def test_a_model_that_does_not_answer_in_time_is_told_of_and_its_place_is_free_again(converts: bool) -> None:
    silent = True

    async def silent_at_first(line: Line) -> None:
        while True:
            await line.request()
            if silent:
                await line.closed()
            await line.stream.send(OK)

    async with (
        model_server(silent_at_first) as server,
        listening(server.url, converts=converts, timeout_s=0.3, concurrency=1) as listener,
        await listener.call() as one,
        await listener.call() as other,
    ):
        await one.send(posted())
        await other.send(posted())  # waits for the first, and has no time left then
        for caller in (one, other):
            status, headers, body = await answer(caller)
            assert status == 504
            assert "has not answered within 0.3 s" in orjson.loads(body)["error"]["message"]
            assert b"m;dur=" in headers[b"server-timing"]
        silent = False
        await one.send(posted())
        assert (await answer(one))[0] == 200


async def test_a_place_is_taken_until_an_answer_that_is_passed_on_as_it_comes_has_ended() -> None:
    more = anyio.Event()

    async def in_two(line: Line) -> None:
        while True:
            await line.request()
            await line.stream.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
            await more.wait()
            await line.stream.send(b"0\r\n\r\n")

    async with (
        model_server(in_two) as server,
        listening(server.url, concurrency=1) as listener,
        await listener.call() as one,
        await listener.call() as other,
    ):
        await one.send(posted())
        await until_it_has(one, b"abc")
        await other.send(posted())
        await anyio.sleep(0.05)
        assert len(server.requests) == 1
        more.set()
        assert b"abc" in (await answer(other))[2]
        assert len(server.requests) == 2


@BOTH
async def test_a_caller_who_hangs_up_is_not_worked_for_any_more_and_is_counted_as_such(converts: bool) -> None:
    async def silent(line: Line) -> None:
        await line.request()
        await line.closed()

    counts = ListenerMetrics()
    async with (
        model_server(silent) as server,
        listening(server.url, converts=converts, around=lambda handler: counted(handler, counts)) as listener,
    ):
        async with await listener.call() as caller:
            await caller.send(posted())
            await until(lambda: server.open == 1 and len(server.requests) == 1)
        await until(lambda: not server.open)
        await until(lambda: 'modelport_listener_requests_total{code="499"} 1.0' in metrics_of(counts))


def metrics_of(counts: ListenerMetrics) -> str:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(counts)
    return generate_latest(registry).decode()


async def test_a_caller_who_hangs_up_within_an_answer_ends_it_at_the_model_server() -> None:
    async def ticks(line: Line) -> None:
        await line.request()
        await line.stream.send(b"HTTP/1.1 200 OK\r\n\r\ntick")
        await line.closed()

    async with model_server(ticks) as server, listening(server.url) as listener:
        async with await listener.call() as caller:
            await caller.send(posted())
            await until_it_has(caller, b"tick")
        await until(lambda: not server.open)


@BOTH
async def test_callers_never_get_the_answers_of_others(converts: bool) -> None:
    chance = random.Random(7)

    async def framed_somehow(line: Line) -> None:
        while True:
            body = b'{"predictions":%b}' % orjson.dumps(orjson.loads((await line.request())[1])["instances"])
            await anyio.sleep(chance.choice([0, 0, 0.002]))
            kind = chance.randrange(6)
            if kind == 0:
                await line.stream.send(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + body)
                return
            if kind == 1:
                await line.stream.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
                await line.stream.send(b"%x\r\n%b\r\n" % (len(body), body))
                await anyio.lowlevel.checkpoint()
                await line.stream.send(b"0\r\n\r\n")
            elif kind == 2:
                await line.stream.send(ok(body) + ok(b'{"predictions":["another"]}'))
            elif kind == 3:
                for byte in ok(body):
                    await line.stream.send(bytes([byte]))
            else:
                await line.stream.send(ok(body))

    async with (
        model_server(framed_somehow) as server,
        listening(server.url, converts=converts, connections=3) as listener,
        anyio.create_task_group() as tasks,
    ):

        async def one(name: int) -> None:
            async with await listener.call() as caller:
                for number in range(8):
                    await caller.send(posted(b'{"instances":["%d-%d"]}' % (name, number)))
                    status, _, body = await answer(caller)
                    body = body if body.startswith(b"{") else unchunked(body)
                    assert (status, orjson.loads(body)) == (200, {"predictions": [f"{name}-{number}"]})

        for name in range(8):
            tasks.start_soon(one, name)
    assert len(server.requests) >= 64


async def test_a_body_that_is_no_request_is_refused_in_the_callers_format() -> None:
    async with (
        model_server() as server,
        listening(server.url, converts=True) as listener,
        await listener.call() as caller,
    ):
        await caller.send(posted(b"no json"))
        status, _, body = await answer(caller)
        assert (status, orjson.loads(body)["error"]["status"]) == (400, "INVALID_ARGUMENT")
        await caller.send(posted(BODY))
        assert (await answer(caller))[0] == 200
        assert len(server.requests) == 1
