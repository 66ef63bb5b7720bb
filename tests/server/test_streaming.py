"""Predictors that yield or wait are answered from tasks: item by item, or collected; hanging up ends the generator."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from modelport.core.errors import ResourceExhausted
from modelport.server.batching import Batcher, BatchLimits
from modelport.server.connections import Connections
from modelport.server.exchange import Handler, Request, Response
from modelport.server.execution import Executor
from modelport.server.model import Calls
from modelport.server.prediction import Prediction
from modelport.server.predictor import load_predictor
from modelport.server.request_reader import Limits
from modelport.server.streaming import EVENTS, LINES, StreamPrediction, collected, wire_for

pytestmark = pytest.mark.anyio

CODE = """
import asyncio, threading, time

seen = []

class Words:
    threads = 2

    def predict(self, instances: list[str], fail: int = -1):
        [text] = instances
        seen.append(threading.get_ident())
        try:
            for number, word in enumerate(text.split()):
                if number == fail:
                    raise OSError("disk")
                yield word
            seen.append(threading.get_ident())
        finally:
            seen.append("closed")

class Slow(Words):
    async def predict(self, instances, fail: int = -1):
        try:
            for number, word in enumerate(instances[0].split()):
                if number == fail:
                    raise OSError("disk")
                await asyncio.sleep(0)
                yield {"word": word}
        finally:
            seen.append("closed")

class Endless:
    def predict(self, instances):
        try:
            number = 0
            while True:
                yield number
                number += 1
                seen.append(number)
        finally:
            seen.append("closed")

class Bulky:
    def predict(self, instances):
        while True:
            yield "x" * 100_000
            seen.append(len(seen))

class Waiting:
    async def predict(self, instances: list[float]):
        seen.append("begun")
        await asyncio.sleep(max(instances))
        if instances[0] < 0:
            raise ValueError("too early")
        return instances if len(instances) < 3 else [1]
"""


class Answer:
    """A reply that keeps what it is given; `reads` pieces are taken in before the caller hangs up."""

    def __init__(self, reads: int = 1000) -> None:
        self.closed = False
        self.response: Response | None = None
        self.content_type = b""
        self.chunks: list[bytes] = []
        self.ended = ""
        self._reads = reads
        self.gate = anyio.Event()
        self.gate.set()

    @property
    def done(self) -> bool:
        return bool(self.response or self.ended)

    def send(self, response: Response) -> None:
        assert not self.done
        self.response = response

    def start(self, content_type: bytes, headers: Mapping[bytes, bytes]) -> None:
        assert not self.content_type
        self.content_type = content_type

    async def write(self, chunk: bytes) -> None:
        await self.gate.wait()
        self.chunks.append(chunk)
        if len(self.chunks) >= self._reads:
            self.closed = True

    def end(self) -> None:
        assert not self.done
        self.ended = "whole"

    def abort(self) -> None:
        assert not self.done
        self.ended = "cut"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "streams.py"
    path.write_text(CODE)
    return path


def seen() -> list[Any]:
    import sys

    found: list[Any] = sys.modules["streams"].seen
    return found


@asynccontextmanager
async def streaming(file: Path, name: str) -> AsyncIterator[Callable[..., Answer]]:
    model = load_predictor(f"{file}:{name}", None)
    async with anyio.create_task_group() as tasks:
        handler: Handler = StreamPrediction(model, tasks, at_once=2, max_waiting=1)
        if model.info.calls is Calls.ASYNC:
            loop = asyncio.get_running_loop()
            executor = Executor(model, loop=loop, tasks=tasks)
            handler = Prediction(model.info, Batcher(executor, model.info, BatchLimits(), loop=loop))

        def ask(*instances: Any, accept: bytes = b"", answer: Answer | None = None, **parameters: Any) -> Answer:
            body = json.dumps({"instances": instances, "parameters": parameters}).encode()
            answer = answer or Answer()
            handler(Request(b"POST", b"/predict", b"", [(b"Accept", accept)], body, time.perf_counter()), answer)
            return answer

        with anyio.fail_after(20):
            yield ask
        tasks.cancel_scope.cancel()


async def answered(answer: Answer) -> Answer:
    while not answer.done:
        await anyio.sleep(0.001)
    return answer


def said(answer: Answer) -> Any:
    assert answer.response is not None
    return json.loads(answer.response.body)


@pytest.mark.parametrize(("name", "predictions"), [
    ("Words", ["ab", "c", []]),
    ("Slow", [[{"word": "a"}, {"word": "b"}], [{"word": "c"}], []]),
])  # fmt: skip
async def test_an_ordinary_client_gets_one_prediction_for_each_instance(
    file: Path, name: str, predictions: list[Any]
) -> None:
    async with streaming(file, name) as ask:
        assert said(await answered(ask("a b", "c", ""))) == {"predictions": predictions}


async def test_events_carry_items_and_a_last_one_says_that_all_is_there(file: Path) -> None:
    async with streaming(file, "Words") as ask:
        answer = await answered(ask("a b", "c", accept=b"text/html, Text/Event-Stream;q=0.5"))

    assert answer.content_type == b"text/event-stream"
    assert answer.ended == "whole"
    assert answer.chunks == [
        b'data: {"prediction":"a","instance":0}\n\n',
        b'data: {"prediction":"b","instance":0}\n\n',
        b'data: {"prediction":"c","instance":1}\n\n',
        b"event: done\ndata: {}\n\n",
    ]


async def test_lines_carry_one_item_each(file: Path) -> None:
    async with streaming(file, "Slow") as ask:
        answer = await answered(ask("a b", accept=b"application/x-ndjson"))

    assert answer.chunks == [
        b'{"prediction":{"word":"a"},"instance":0}\n',
        b'{"prediction":{"word":"b"},"instance":0}\n',
    ]


@pytest.mark.parametrize("name", ["Words", "Slow"])
async def test_a_failure_before_the_first_item_has_a_status(file: Path, name: str) -> None:
    async with streaming(file, name) as ask:
        answer = await answered(ask("a b", accept=b"text/event-stream", fail=0))

    assert answer.response is not None
    assert answer.response.status == 500
    assert not answer.content_type


@pytest.mark.parametrize("name", ["Words", "Slow"])
async def test_a_failure_later_is_the_last_event(file: Path, name: str) -> None:
    async with streaming(file, name) as ask:
        answer = await answered(ask("a b", accept=b"text/event-stream", fail=1))

    assert answer.ended == "whole"
    assert len(answer.chunks) == 2
    event, data, *_ = answer.chunks[1].split(b"\n")
    assert event == b"event: error"
    assert json.loads(data.removeprefix(b"data: "))["error"]["message"] == "The model failed: OSError: disk"


async def test_a_wrong_instance_is_named_by_its_own_number(file: Path) -> None:
    async with streaming(file, "Words") as ask:
        answer = await answered(ask("a", 3, accept=b"text/event-stream"))

    assert answer.response is not None
    assert answer.response.status == 400
    assert said(answer)["error"]["message"].startswith("instances[1]: 3 is an integer")


@pytest.mark.parametrize("name", ["Words", "Slow"])
async def test_who_hangs_up_ends_the_generator(file: Path, name: str) -> None:
    async with streaming(file, name) as ask:
        answer = await answered(ask("a b c d", accept=b"text/event-stream", answer=Answer(reads=2)))

        assert len(answer.chunks) == 2
        assert seen()[-1] == "closed"


async def test_a_generator_stays_in_one_thread_and_off_the_loop(file: Path) -> None:
    async with streaming(file, "Words") as ask:
        await answered(ask("a b c", accept=b"text/event-stream"))

    first, last, _ = seen()
    assert first == last != threading.get_ident()


async def test_a_generator_is_not_ahead_of_its_reader(file: Path) -> None:
    async with streaming(file, "Endless") as ask:
        answer = Answer(reads=3)
        answer.gate = anyio.Event()
        ask(0, accept=b"text/event-stream", answer=answer)
        await anyio.sleep(0.05)
        assert seen() == []

        answer.gate.set()
        await answered(answer)
        assert seen() == [1, 2, "closed"]


async def test_the_end_of_the_server_cuts_streams_off(file: Path) -> None:
    answer = Answer(reads=10**9)
    async with streaming(file, "Endless") as ask:
        ask(0, accept=b"text/event-stream", answer=answer)
        while not answer.chunks:
            await anyio.sleep(0.001)

    assert answer.ended == "cut"
    assert seen()[-1] == "closed"


async def test_streams_are_limited_in_number(file: Path) -> None:
    async with streaming(file, "Endless") as ask:
        stuck = Answer()
        stuck.gate = anyio.Event()
        for _ in range(2):  # one under way: `threads` is 1; one waits
            ask(0, accept=b"text/event-stream", answer=stuck)
        with pytest.raises(ResourceExhausted, match="2 requests are under way or wait"):
            ask(0)
        stuck.closed = True
        stuck.gate.set()


async def test_requests_wait_together_for_an_asynchronous_predictor(file: Path) -> None:
    async with streaming(file, "Waiting") as ask:
        answers = [ask(0.5), ask(0.1, 0.05)]
        await answered(answers[1])
        assert not answers[0].done
        await answered(answers[0])

    assert [said(answer) for answer in answers] == [{"predictions": [0.5]}, {"predictions": [0.1, 0.05]}]
    assert answers[0].response is not None
    assert b"predict;dur=5" in answers[0].response.headers[b"server-timing"]


@pytest.mark.parametrize(
    ("instances", "status", "says"),
    [((-1,), 400, "too early"), ((0, 0, 0), 500, "1 predictions for 3 instances"), (("x",), 400, "a number is wanted")],
)
async def test_an_asynchronous_failure_is_answered(
    file: Path, instances: tuple[Any, ...], status: int, says: str
) -> None:
    async with streaming(file, "Waiting") as ask:
        answer = await answered(ask(*instances))

    assert answer.response is not None
    assert answer.response.status == status
    assert says in said(answer)["error"]["message"]


EVENTS_WANTED = (
    b"POST /predict HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nContent-Length: 22\r\n\r\n"
    b'{"instances": ["a b"]}'
)


@asynccontextmanager
async def connected(file: Path, name: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Yield a real connection to a server of this predictor."""
    model = load_predictor(f"{file}:{name}", None)
    loop = asyncio.get_running_loop()
    async with anyio.create_task_group() as tasks:
        handler = StreamPrediction(model, tasks, at_once=2, max_waiting=1)
        server = await loop.create_server(Connections(handler, Limits(), loop=loop), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        with anyio.fail_after(30):
            yield reader, writer
        server.close()
        writer.close()
        tasks.cancel_scope.cancel()


async def test_events_arrive_on_a_real_connection_which_lives_on(file: Path) -> None:
    async with connected(file, "Words") as (reader, writer):
        for _ in range(2):
            writer.write(EVENTS_WANTED)
            answer = await reader.readuntil(b"\r\n0\r\n\r\n")
            assert b"transfer-encoding: chunked" in answer.lower()
            assert b'data: {"prediction":"b","instance":0}' in answer
            assert b"event: done" in answer


async def test_a_real_caller_that_hangs_up_ends_the_generator(file: Path) -> None:
    async with connected(file, "Endless") as (reader, writer):
        writer.write(EVENTS_WANTED)
        await reader.readuntil(b'"prediction":3,')
        writer.transport.abort()
        while seen()[-1] != "closed":
            await anyio.sleep(0.01)


async def test_a_real_caller_that_reads_nothing_halts_the_generator(file: Path) -> None:
    async with connected(file, "Bulky") as (_, writer):
        writer.write(EVENTS_WANTED)
        before = -1
        while len(seen()) != before:
            before = len(seen())
            await anyio.sleep(0.1)

        assert before > 0


@pytest.mark.parametrize(
    ("accept", "wire"),
    [(b"", None), (b"*/*", None), (b"application/json", None), (b"text/event-stream", EVENTS),
     (b"application/x-ndjson", LINES)],
)  # fmt: skip
def test_the_format_is_what_the_caller_accepts(accept: bytes, wire: Any) -> None:
    assert wire_for(accept) is wire


@pytest.mark.parametrize(
    ("items", "prediction"), [(["a", "b"], "ab"), ([], []), ([1, "a"], [1, "a"]), ([[1], [2]], [[1], [2]])]
)
def test_texts_are_put_together_and_all_else_is_a_list(items: list[Any], prediction: Any) -> None:
    assert collected(items) == prediction


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    import sys

    sys.modules.pop("streams", None)
