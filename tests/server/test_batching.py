import heapq
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.lowlevel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelport.core.errors import Cancelled, Internal, InvalidArgument, ResourceExhausted
from modelport.server.batching import Batcher, BatchLimits, Job
from modelport.server.execution import Executor, Predicted
from modelport.server.failures import RowFailure
from modelport.server.foreign import as_batch
from modelport.server.model import Direct, ModelInfo
from modelport.server.spans import Spans


class Loop:
    """An event loop without sockets whose time passes only where nothing is to be done."""

    def __init__(self) -> None:
        self.now = 0.0
        self._order = itertools.count()
        self._events: list[Any] = []

    def time(self) -> float:
        return self.now

    def call_soon(self, callback: Callable, *arguments: Any) -> "Timer":
        return self.call_later(0.0, callback, *arguments)

    def call_later(self, delay: float, callback: Callable, *arguments: Any) -> "Timer":
        timer = Timer()
        heapq.heappush(self._events, (self.now + delay, next(self._order), timer, callback, arguments))
        return timer

    def run(self) -> None:
        while self._events:
            self.now, _, timer, callback, arguments = heapq.heappop(self._events)
            if not timer.cancelled:
                callback(*arguments)


@dataclass
class Timer:
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


class Timed:
    """An executor whose calls take a known time; zero is a call that is made inline."""

    def __init__(self, loop: Loop, predict: Callable, seconds: float = 0.0, slots: int = 1) -> None:
        self.slots = slots
        self.calls: list[Any] = []
        self.under_way = self.most_under_way = 0
        self._loop, self._predict, self._seconds = loop, predict, seconds

    def run(self, batch, parameters, done) -> None:
        self.calls.append(batch)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        started = self._loop.now
        try:
            outcome = Predicted(as_batch(self._predict(batch, parameters)), Spans(), started)
        except Exception as error:
            outcome = error
        if self._seconds:
            self._loop.call_later(self._seconds, self._end, done, outcome)
        else:
            self._end(done, outcome)

    def _end(self, done, outcome) -> None:
        self.under_way -= 1
        done(outcome)


@dataclass
class Asked:
    rows: Any
    parameters: dict = field(default_factory=dict)
    at: float = 0.0
    hangs_up: float = float("inf")
    outcomes: list = field(default_factory=list)
    answered: float = -1.0
    closed: bool = False


def serve(requests: list[Asked], predict, limits: BatchLimits, *, seconds=0.0, row_wise=True, slots=1) -> Timed:
    loop = Loop()
    executor = Timed(loop, predict, seconds, slots)
    info = ModelInfo("TEST", row_wise=row_wise)
    batcher = Batcher(executor, info, limits, loop=loop, clock=loop.time)

    def submit(one: Asked) -> None:
        def done(outcome) -> None:
            one.outcomes.append(outcome)
            one.answered = loop.now

        batcher.submit(Job(one.rows, one.parameters, done, one))

    def hang_up(one: Asked) -> None:
        one.closed = True

    for one in requests:
        loop.call_later(one.at, submit, one)
        if one.hangs_up < float("inf"):
            loop.call_later(one.hangs_up, hang_up, one)
    loop.run()
    assert batcher.waiting == 0
    return executor


def rows_in(batch) -> list:
    if isinstance(batch, dict):
        return [tuple(row) for row in zip(*(batch[name].tolist() for name in sorted(batch)), strict=True)]
    return batch.tolist() if isinstance(batch, np.ndarray) else batch


def is_poison(row) -> bool:
    return "13" in repr(row)


def described(batch, parameters) -> list[str]:
    """Predict for each row what it was, with its type, and what was asked for; refuse those that are poison."""
    rows = rows_in(batch)
    if poison := [row for row in rows if is_poison(row)]:
        raise ValueError(f"poison: {poison[0]!r}")
    return [f"{row!r} {parameters!r}" for row in rows]


number = st.integers(0, 12) | st.just(13)
KINDS = [
    lambda values: np.array(values),
    lambda values: np.array([[value, 0.5] for value in values]),
    lambda values: [str(value) for value in values],
    lambda values: [{"value": value} for value in values],
    lambda values: [{"value": float(value)} for value in values],
    lambda values: {"a": np.array(values), "b": np.array(values) + 0.5},
]
asked = st.builds(
    lambda values, kind, parameters, at, hangs_up: Asked(KINDS[kind](values), parameters, at, hangs_up),
    st.lists(number, min_size=1, max_size=9),
    st.integers(0, len(KINDS) - 1) | st.just(0),
    st.sampled_from([{}, {}, {"top": 1}]),
    st.integers(0, 20).map(lambda at: at / 1000),
    st.just(float("inf")) | st.integers(0, 40).map(lambda at: at / 1000),
)


@settings(max_examples=100, deadline=None)
@given(
    requests=st.lists(asked, min_size=1, max_size=12),
    max_rows=st.integers(1, 12) | st.just(64),
    max_delay=st.sampled_from([0.0, 0.003]),
    seconds=st.sampled_from([0.0, 0.002]),
    slots=st.sampled_from([1, 1, 3]),
)
def test_every_caller_gets_exactly_his_own_rows(requests, max_rows, max_delay, seconds, slots):
    executor = serve(requests, described, BatchLimits(max_rows, max_delay), seconds=seconds, slots=slots)
    assert all(len(rows_in(batch)) <= max_rows for batch in executor.calls)
    assert executor.most_under_way <= slots
    for one in requests:
        (outcome,) = one.outcomes
        rows = rows_in(one.rows)
        poison = [index for index, row in enumerate(rows) if is_poison(row)]
        if isinstance(outcome, Cancelled):
            assert one.hangs_up <= one.answered
        elif not poison:
            assert outcome.batch == [f"{row!r} {one.parameters!r}" for row in rows]
        elif len(rows) == 1:
            assert isinstance(outcome, ValueError)
        else:
            assert isinstance(outcome, RowFailure)
            assert outcome.row == poison[0]
            assert repr(rows[poison[0]]) in str(outcome.error)


@settings(max_examples=50, deadline=None)
@given(gaps=st.lists(st.floats(0.0001, 1.0), min_size=1, max_size=20), seconds=st.sampled_from([0.0, 0.01]))
def test_a_client_by_himself_never_waits(gaps, seconds):
    at, requests = 0.0, []
    for gap in gaps:
        requests.append(Asked(np.zeros((1, 2)), at=at))
        at += seconds + gap
    serve(requests, lambda batch, parameters: batch, BatchLimits(64, 0.05), seconds=seconds)
    for one in requests:
        assert one.answered - one.at == pytest.approx(seconds, abs=1e-9)


def test_after_a_crowd_no_more_than_one_request_is_held_back():
    crowd = [Asked(np.zeros((1, 2)), at=round_ * 0.01) for round_ in range(5) for _ in range(8)]
    alone = [Asked(np.zeros((1, 2)), at=0.06 + 0.01 * index) for index in range(10)]
    serve(crowd + alone, lambda batch, parameters: batch, BatchLimits(64, 0.005))
    held = [one for one in alone if one.answered - one.at > 1e-9]
    assert len(held) == 1
    assert held[0].answered - held[0].at == pytest.approx(0.005)


def test_a_crowd_that_comes_in_drops_is_waited_for_and_predicted_together():
    requests = [Asked(np.zeros((1, 2)), at=0.01 * round_) for round_ in range(20) for _ in range(8)]
    drops = [Asked(np.zeros((1, 2)), at=0.2 + 0.0001 * index) for index in range(8)]
    executor = serve(requests + drops, lambda batch, parameters: batch, BatchLimits(64, 0.005))
    assert [len(batch) for batch in executor.calls[20:]] == [8]


def test_requests_gather_while_the_model_is_busy():
    requests = [Asked(np.zeros((1, 2)), at=0.001 * index) for index in range(9)]
    executor = serve(requests, lambda batch, parameters: batch, BatchLimits(64), seconds=0.1)
    assert [len(batch) for batch in executor.calls] == [1, 8]


def test_a_request_of_too_many_rows_is_predicted_in_pieces_and_others_pass():
    large = Asked(np.arange(20.0).reshape(10, 2))
    small = Asked(np.ones((1, 2)), at=0.005)
    executor = serve([large, small], lambda batch, parameters: batch * 2, BatchLimits(4), seconds=0.01)
    assert [len(batch) for batch in executor.calls] == [4, 1, 4, 2] or [len(b) for b in executor.calls] == [4, 4, 3]
    np.testing.assert_array_equal(large.outcomes[0].batch, large.rows * 2)
    assert small.answered < large.answered


def test_a_model_that_is_not_row_wise_gets_requests_as_they_came():
    requests = [Asked(np.zeros((9, 2))) for _ in range(4)]
    executor = serve(requests, lambda batch, parameters: batch, BatchLimits(2), seconds=0.01, row_wise=False, slots=2)
    assert [len(batch) for batch in executor.calls] == [9] * 4
    assert executor.most_under_way == 2


def test_a_failure_of_a_model_that_is_not_row_wise_is_blamed_on_no_row():
    one = Asked(np.array([13, 13]))
    executor = serve([one], described, BatchLimits(), row_wise=False)
    assert len(executor.calls) == 1
    assert isinstance(one.outcomes[0], ValueError)


def test_predictions_that_cannot_be_told_apart_are_asked_for_one_by_one():
    requests = [Asked(np.full((1, 2), value)) for value in range(4)]
    executor = serve(requests, lambda batch, parameters: [batch.sum()], BatchLimits())
    assert [one.outcomes[0].batch for one in requests] == [[0], [2], [4], [6]]
    assert len(executor.calls) == 7


@pytest.mark.parametrize("answer", [None, 1.5, np.array(1.0), {"a": [1], "b": [1, 2]}])
def test_an_answer_without_rows_is_no_answer_to_a_large_request(answer):
    one = Asked(np.zeros((8, 2)))
    serve([one], lambda batch, parameters: answer, BatchLimits(4))
    assert isinstance(one.outcomes[0], Internal)


def test_an_error_of_the_servers_own_is_blamed_on_no_row():
    def refuses(batch, parameters):
        raise InvalidArgument("The column `a` is missing")

    one = Asked(np.zeros((8, 2)))
    executor = serve([one], refuses, BatchLimits())
    assert isinstance(one.outcomes[0], InvalidArgument)
    assert len(executor.calls) == 1


def test_a_row_that_the_model_names_is_counted_from_the_start_of_the_request():
    def predict(batch, parameters):
        if -1 in batch:
            row = batch.index(-1)
            raise InvalidArgument(f"instances[{row}] is negative", row=str(row))
        return batch

    request = Asked([1, 2, 3, 4, 5, -1])
    serve([request], predict, BatchLimits(max_rows=4))
    (error,) = request.outcomes
    assert error.message == "instances[5] is negative"
    assert error.metadata["row"] == "5"


def test_rows_nested_very_deep_are_joined_with_nobodys():
    deep: Any = 1
    for _ in range(5000):
        deep = [deep]
    requests = [Asked([deep]), Asked([1]), Asked([2])]
    executor = serve(requests, lambda batch, parameters: [0] * len(batch), BatchLimits())
    assert [one.outcomes[0].batch for one in requests] == [[0], [0], [0]]
    assert len(executor.calls) == 2


def test_tables_of_other_libraries_are_parted_by_rows():
    class Series:
        def __init__(self, values: list[float]) -> None:
            self._values = values

        def to_numpy(self) -> np.ndarray:
            return np.array(self._values)

    requests = [Asked(np.full((2, 1), float(value))) for value in range(3)]
    executor = serve(requests, lambda batch, parameters: Series(batch[:, 0].tolist()), BatchLimits())
    assert [one.outcomes[0].batch.tolist() for one in requests] == [[0, 0], [1, 1], [2, 2]]
    assert len(executor.calls) == 1


def test_requests_beyond_the_queue_are_refused_with_the_number():
    loop = Loop()
    batcher = Batcher(Timed(loop, described), ModelInfo("TEST"), BatchLimits(max_waiting=2), loop=loop, clock=loop.time)
    told = []
    for _ in range(2):
        batcher.submit(Job(np.zeros((1, 2)), {}, told.append))
    with pytest.raises(ResourceExhausted, match="2 requests wait"):
        batcher.submit(Job(np.zeros((1, 2)), {}, told.append))
    loop.run()
    assert len(told) == 2


def test_who_hung_up_is_not_predicted_for():
    gone = Asked(np.zeros((1, 2)), hangs_up=0.005, at=0.001)
    executor = serve([Asked(np.zeros((1, 2))), gone], lambda batch, parameters: batch, BatchLimits(), seconds=0.01)
    assert len(executor.calls) == 1
    assert isinstance(gone.outcomes[0], Cancelled)


def test_a_caller_that_cannot_be_told_does_not_keep_others_from_their_answers(caplog):
    loop = Loop()
    batcher = Batcher(Timed(loop, described), ModelInfo("TEST"), BatchLimits(), loop=loop, clock=loop.time)
    told = []

    def breaks(outcome) -> None:
        raise RuntimeError("broken pipe")

    for done in (breaks, told.append, breaks, told.append):
        batcher.submit(Job(np.zeros((1, 2)), {}, done))
    loop.run()
    assert len(told) == 2
    assert "broken pipe" in caplog.text


def test_the_search_for_the_row_at_fault_ends_when_it_takes_too_long():
    one = Asked(np.arange(64))
    executor = serve([one], described, BatchLimits(), seconds=0.6)
    assert isinstance(one.outcomes[0], ValueError | RowFailure)
    assert len(executor.calls) <= 8


class Echo(Direct):
    info = ModelInfo("TEST")

    def predict(self, inputs, parameters):
        time.sleep(0.0002)
        return inputs


@pytest.mark.anyio
async def test_many_callers_on_a_real_loop_get_their_own_rows():
    import asyncio

    loop = asyncio.get_running_loop()
    executor = Executor(Echo(), loop=loop)
    batcher = Batcher(executor, Echo.info, BatchLimits(8), loop=loop)
    answers: dict[int, Any] = {}
    for index in range(200):
        rows = np.full((index % 11 + 1, 3), index)
        batcher.submit(Job(rows, {}, lambda outcome, index=index: answers.update({index: outcome})))
        if index % 7 == 0:
            await anyio.lowlevel.checkpoint()
    with anyio.fail_after(30):
        while len(answers) < 200:
            await anyio.sleep(0.001)
    executor.close()
    for index, outcome in answers.items():
        assert outcome.batch.tolist() == [[index] * 3] * (index % 11 + 1)
