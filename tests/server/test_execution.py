import asyncio
import threading
import time
from typing import Any

import anyio
import anyio.lowlevel
import numpy as np
import pytest

from modelport.core.errors import Internal, ModelUnusable
from modelport.server.execution import Executor, Pace, Predicted
from modelport.server.model import Calls, Direct, ModelInfo
from modelport.server.spans import Spans

pytestmark = pytest.mark.anyio
ROWS = np.ones((2, 3))


class Told:
    """A model that does what it is told, and notes the threads that it was called in."""

    def __init__(self, act=lambda inputs: inputs, **info: Any) -> None:
        self.info = ModelInfo("TEST", **info)
        self.threads: list[str] = []
        self._act = act

    def preprocess(self, batch, parameters):
        return batch

    def predict(self, inputs, parameters):
        self.threads.append(threading.current_thread().name)
        return self._act(inputs)

    def postprocess(self, outputs, parameters):
        return outputs


class Asynchronous(Direct):
    info = ModelInfo("TEST", calls=Calls.ASYNC)

    def __init__(self) -> None:
        self.all_here = asyncio.Event()
        self.here = 0

    async def predict(self, inputs, parameters):
        self.here += 1
        if self.here == 21:
            self.all_here.set()
        await self.all_here.wait()
        if not parameters:
            raise ValueError("no parameters")
        return inputs


async def predicted(executor: Executor, rows: Any = ROWS) -> Any:
    future = asyncio.get_running_loop().create_future()
    executor.run(rows, {}, future.set_result)
    with anyio.fail_after(20):
        return await future


async def until_called_on_the_loop(executor: Executor, model: Told) -> None:
    """Call until the executor knows that calls are short, however busy the machine is."""
    with anyio.fail_after(20):
        while not model.threads or model.threads[-1] != threading.current_thread().name:
            await predicted(executor)


async def test_short_calls_are_made_on_the_loop_once_they_are_known():
    model = Told()
    executor = Executor(model, loop=asyncio.get_running_loop())
    await until_called_on_the_loop(executor, model)
    assert model.threads[0] == "predict-0"
    executor.close()


async def test_a_call_that_got_slow_moves_to_the_thread_and_back():
    pause = 0.0
    model = Told(lambda inputs: time.sleep(pause) or inputs)
    executor = Executor(model, loop=asyncio.get_running_loop())
    await until_called_on_the_loop(executor, model)
    pause = 0.01
    for _ in range(3):
        await predicted(executor)
    assert model.threads[-1] == "predict-0"
    pause = 0.0
    await until_called_on_the_loop(executor, model)
    executor.close()


async def test_the_loop_goes_on_while_a_slow_call_is_made():
    gate = threading.Event()
    executor = Executor(Told(lambda inputs: gate.wait(20) and inputs), loop=asyncio.get_running_loop())
    outcomes: list[Any] = []
    executor.run(ROWS, {}, outcomes.append)
    for _ in range(10):
        await anyio.lowlevel.checkpoint()
    assert not outcomes
    gate.set()
    with anyio.fail_after(20):
        while not outcomes:
            await anyio.sleep(0.01)
    executor.close()


class Panic(BaseException):
    """Like what libraries written in Rust raise."""


@pytest.mark.parametrize("inline", [False, True])
@pytest.mark.parametrize(
    ("raised", "given"),
    [
        (ValueError("no"), ValueError),
        (MemoryError(), MemoryError),
        (SystemExit(3), Internal),
        (Panic("index out of bounds"), Internal),
        (StopIteration(), StopIteration),
    ],
)
async def test_whatever_the_model_raises_is_an_outcome_and_the_next_call_works(raised, given, inline):
    failing = False

    def act(inputs):
        if failing:
            raise raised
        return inputs

    model = Told(act)
    executor = Executor(model, loop=asyncio.get_running_loop())
    if inline:
        await until_called_on_the_loop(executor, model)
    failing = True
    outcomes: list[Any] = []
    executor.run(ROWS, {}, outcomes.append)
    with anyio.fail_after(20):
        while not outcomes:
            await anyio.sleep(0.001)
    assert type(outcomes[0]) is given
    if given is Internal:
        assert type(raised).__name__ in str(outcomes[0])
    failing = False
    assert isinstance(await predicted(executor), Predicted)
    executor.close()


@pytest.mark.parametrize("inline", [True, False])
async def test_a_model_that_can_predict_nothing_more_ends_its_process(inline):
    def act(inputs):
        if inputs is not ROWS:
            raise ModelUnusable("The GPU is gone")
        return inputs

    gave_up = asyncio.Event()
    model = Told(act)
    executor = Executor(model, loop=asyncio.get_running_loop(), give_up=gave_up.set)
    if inline:
        await until_called_on_the_loop(executor, model)
    assert not gave_up.is_set()
    assert isinstance(await predicted(executor, np.zeros((2, 3))), ModelUnusable)
    with anyio.fail_after(20):
        await gave_up.wait()


async def test_a_model_that_is_not_row_wise_is_called_by_several_threads():
    gate = threading.Barrier(3)
    model = Told(lambda inputs: (gate.wait(5) and None) or inputs, row_wise=False)
    executor = Executor(model, loop=asyncio.get_running_loop(), threads=3)
    assert executor.slots == 3
    outcomes: list[Any] = []
    for _ in range(3):
        executor.run(ROWS, {}, outcomes.append)
    with anyio.fail_after(20):
        while len(outcomes) < 3:
            await anyio.sleep(0.001)
    assert set(model.threads) == {"predict-0", "predict-1", "predict-2"}
    executor.close()


async def test_calls_of_an_asynchronous_model_are_awaited_at_once():
    async with anyio.create_task_group() as tasks:
        executor = Executor(Asynchronous(), loop=asyncio.get_running_loop(), tasks=tasks)
        outcomes: list[Any] = []
        for index in range(20):
            executor.run(ROWS, {"index": index}, outcomes.append)
        executor.run(ROWS, {}, outcomes.append)
        with anyio.fail_after(20):
            while len(outcomes) < 21:
                await anyio.sleep(0.001)
    assert sum(isinstance(outcome, ValueError) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, Predicted) for outcome in outcomes) == 20


def test_the_pace_is_judged_by_rows():
    pace = Pace()
    assert pace.expected_s(1) == float("inf")
    pace.saw(1, 0.0001)
    assert pace.expected_s(1) == 0.0001
    assert pace.expected_s(4) == 0.0004
    assert pace.expected_s(100_000) > 1
    pace.saw(64, 0.0002)
    assert pace.expected_s(100) == 0.0002
    assert pace.expected_s(8) == 0.0008


def test_one_slow_call_among_many_does_not_count_for_much():
    pace = Pace()
    for _ in range(10):
        pace.saw(1, 0.0001)
    pace.saw(1, 0.002)
    assert pace.expected_s(1) < 0.001


def test_the_header_splits_the_time():
    spans = Spans(0.0, 0.0000123, 0.0104, 0.0).of_request(0.0015)
    spans.parse, spans.serialise = 0.00002, 2.5
    assert spans.header() == (
        b"parse;dur=0.020, queue;dur=1.500, preprocess;dur=0.012, predict;dur=10.400, postprocess;dur=0.000,"
        b" serialise;dur=2500.000"
    )
