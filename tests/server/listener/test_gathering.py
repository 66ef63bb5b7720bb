import asyncio
from collections.abc import Mapping
from typing import Any

import anyio
import anyio.lowlevel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelport.core.errors import Error, Internal, InvalidArgument, ModelServerDown, ResourceExhausted
from modelport.server.batching import BatchLimits
from modelport.server.failures import RowFailure
from modelport.server.listener.declaration import Model, Runs, Step
from modelport.server.listener.steps.functions import Functions
from modelport.server.listener.steps.gathering import Gathering, gathered, packed, unpacked
from modelport.server.listener.steps.python_step import PythonStep
from modelport.server.listener.steps.rows_apart import rows_in
from modelport.server.listener.steps.services import Services
from modelport.server.listener.steps.work import Context
from modelport.server.model import Batch, rows_of

POISON = 13


class Counted:
    """Work that tells each row what it was and what it came with; some rows are poison."""

    def __init__(self, turns: int = 1, poison: type[Error] = InvalidArgument) -> None:
        self.turns = turns
        self.poison = poison
        self.calls: list[Mapping[str, Batch]] = []
        self.now = self.most = 0

    async def run(self, inputs: Mapping[str, Batch], context: Context) -> Batch:
        self.calls.append(inputs)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            for _ in range(self.turns):
                await anyio.lowlevel.checkpoint()
        finally:
            self.now -= 1
        named = {name: rows_in(batch) for name, batch in inputs.items()}
        rows = [dict(zip(named, row, strict=True)) for row in zip(*named.values(), strict=True)]
        if any(POISON in row.values() for row in rows):
            raise self.poison("poison")
        return [(row, dict(context.parameters)) for row in rows]


async def all_at_once(
    work: Any, requests: list[tuple[Mapping[str, Batch], dict[str, Any]]], **limits: Any
) -> list[Any]:
    answers: list[Any] = [None] * len(requests)
    async with anyio.create_task_group() as tasks:
        calls = limits.pop("calls", 1)
        gathering = Gathering(
            work,
            BatchLimits(**limits),
            calls=calls,
            start_soon=tasks.start_soon,
            loop=asyncio.get_running_loop(),
        )

        async def ask(index: int) -> None:
            inputs, parameters = requests[index]
            try:
                answers[index] = await gathering.run(inputs, Context(parameters))
            except (Error, RowFailure) as error:
                answers[index] = error

        for index in range(len(requests)):
            tasks.start_soon(ask, index)
    return answers


numbers = st.lists(st.integers(0, 40), min_size=1, max_size=6)
inputs = st.one_of(
    numbers.map(lambda rows: {"": np.array(rows)}),
    numbers.map(lambda rows: {"": rows}),
    numbers.map(lambda rows: {"a": np.array(rows), "b": [row + 100 for row in rows]}),
    numbers.map(lambda rows: {"a": {"x": np.array(rows), "y": rows}, "b": rows}),
)


@settings(max_examples=60, deadline=None)
@given(
    requests=st.lists(st.tuples(inputs, st.sampled_from([{}, {}, {"top": 1}])), min_size=1, max_size=8),
    max_rows=st.integers(2, 12),
    max_delay_s=st.sampled_from([0.0, 0.0, 0.001]),
    calls=st.integers(1, 3),
    turns=st.integers(1, 3),
)
def test_each_caller_is_handed_exactly_his_own_rows(requests, max_rows, max_delay_s, calls, turns):
    work = Counted(turns)
    limits = {"max_rows": max_rows, "max_delay_s": max_delay_s, "calls": calls}
    answers = anyio.run(lambda: all_at_once(work, requests, **limits))
    assert work.most <= calls
    assert all(rows_of(next(iter(call.values()))) <= max_rows for call in work.calls)
    for (named, parameters), answer in zip(requests, answers, strict=True):
        columns = {name: rows_in(batch) for name, batch in named.items()}
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        poison = [at for at, row in enumerate(rows) if POISON in row.values()]
        if isinstance(answer, RowFailure):
            assert answer.row == poison[0]
        elif poison:
            assert isinstance(answer, InvalidArgument)
        else:
            assert answer == [(row, parameters) for row in rows]


def test_rows_of_concurrent_requests_are_one_call():
    work = Counted()
    requests = [({"": np.array([number])}, {}) for number in range(6)]
    answers = anyio.run(lambda: all_at_once(work, requests, max_rows=8))
    assert [call[""].tolist() for call in work.calls] == [[0, 1, 2, 3, 4, 5]]
    assert [answer[0][0][""] for answer in answers] == [0, 1, 2, 3, 4, 5]


def test_a_poisonous_row_fails_its_own_request_only():
    requests = [({"": np.array([number])}, {}) for number in (1, 2, POISON, 4)]
    answers = anyio.run(lambda: all_at_once(Counted(), requests, max_rows=8))
    assert [isinstance(answer, InvalidArgument) for answer in answers] == [False, False, True, False]


@pytest.mark.parametrize("kind", [ModelServerDown, ResourceExhausted])
def test_a_model_server_that_is_down_is_not_asked_again_for_each_request(kind):
    work = Counted(poison=kind)
    requests = [({"": np.array([number])}, {}) for number in (1, POISON, 3, 4)]
    answers = anyio.run(lambda: all_at_once(work, requests, max_rows=8))
    assert [type(answer) for answer in answers] == [kind] * 4
    assert len(work.calls) == 1


def test_too_few_rows_are_nobodys():
    class Short:
        async def run(self, inputs: Mapping[str, Batch], context: Context) -> Batch:
            return inputs[""][:1]

    requests = [({"": [number, number]}, {}) for number in range(2)]
    answers = anyio.run(lambda: all_at_once(Short(), requests, max_rows=3))
    # What is not a row for each row is for the flow to refuse; here it must not become somebody else's.
    assert answers == [[0], [1]]
    answers = anyio.run(lambda: all_at_once(Short(), [({"": [1, 2, 3]}, {})], max_rows=2))
    assert isinstance(answers[0], Internal)


def test_who_finds_no_place_to_wait_is_refused():
    requests = [({"": [number]}, {}) for number in range(4)]
    answers = anyio.run(lambda: all_at_once(Counted(), requests, max_rows=1, max_waiting=2))
    assert [isinstance(answer, ResourceExhausted) for answer in answers] == [False, False, True, True]


def test_who_has_given_up_is_not_worked_for():
    work = Counted(turns=50)

    async def go() -> None:
        async with anyio.create_task_group() as tasks:
            loop = asyncio.get_running_loop()
            gathering = Gathering(work, BatchLimits(8), calls=1, start_soon=tasks.start_soon, loop=loop)
            tasks.start_soon(gathering.run, {"": [1]}, Context())
            await anyio.lowlevel.checkpoint()
            while not work.calls:
                await anyio.lowlevel.checkpoint()
            with anyio.move_on_after(0) as scope:
                await gathering.run({"": [2]}, Context())
            assert scope.cancelled_caught
            assert await gathering.run({"": [3]}, Context()) == [({"": 3}, {})]

    anyio.run(go)
    assert [call[""] for call in work.calls] == [[1], [3]]


@pytest.mark.slow
def test_a_row_that_kills_its_process_fails_its_own_request_only(tmp_path):
    (tmp_path / "deadly_steps.py").write_text(
        "import os, signal\n"
        "def act(rows):\n"
        "    if 'kill' in rows: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return [row + '!' for row in rows]\n"
    )
    declared = Step("deadly", python="deadly_steps.py:act", runs=Runs.PROCESSES, workers=2)
    requests = [[f"{number}", f"{number} too"] for number in range(40)]
    requests[17] = ["17", "kill"]

    async def go() -> list[Any]:
        step = PythonStep(declared, Functions(tmp_path), Services())
        await step.start()
        try:
            return await all_at_once(step, [({"": rows}, {}) for rows in requests], max_rows=16, calls=2)
        finally:
            await step.close()

    answers = anyio.run(go)
    assert isinstance(answers[17], Internal)
    assert "signal 9" in answers[17].message
    del answers[17], requests[17]
    assert answers == [[row + "!" for row in rows] for rows in requests]


def test_work_that_gathers_nothing_is_called_as_it_is():
    work = Counted()
    assert gathered(work, Model("m", "s", "/"), lambda *_: None, None) is work  # type: ignore[arg-type]
    assert gathered(work, Step("s"), lambda *_: None, None) is work  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "named",
    [
        {"": [1]},
        {"": {"x\0y": [1], "": [2]}},
        {"a": [1], "b": {"x": [2], "y\0": [3]}},
        {"a": {"": [1]}},
    ],
)
def test_what_is_packed_is_unpacked_as_it_was(named):
    assert unpacked(packed(named)) == named
