from collections.abc import Callable, Mapping
from typing import Any

import anyio
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelport.core.errors import Error, Internal, InvalidArgument, ModelServerDown
from modelport.server import failures
from modelport.server.failures import RowFailure
from modelport.server.listener.declaration import REQUEST, Condition, Stack, Step
from modelport.server.listener.steps.flow import Flow
from modelport.server.listener.steps.rows_apart import Part, columns_of, first_of, matching, picked, rows_in
from modelport.server.listener.steps.work import Context
from modelport.server.model import Batch, rows_of

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Called:
    """A step that is a function of its rows, and remembers what it was given."""

    def __init__(self, function: Callable[..., Batch]) -> None:
        self.function = function
        self.calls: list[Mapping[str, Batch]] = []

    async def run(self, inputs: Mapping[str, Batch], context: Context) -> Batch:
        self.calls.append(inputs)
        await anyio.lowlevel.checkpoint()
        return self.function(**{name or "rows": batch for name, batch in inputs.items()})


class Awaited:
    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    async def run(self, inputs: Mapping[str, Batch], context: Context) -> Batch:
        return await self.function(inputs)


def step(name: str, *sources: str, when: tuple[str, Any] | None = None, merge: tuple[str, ...] = ()) -> Step:
    named = {"": sources[0]} if len(sources) == 1 else {source: source for source in sources}
    return Step(name, python="" if merge else "x", merge=merge, sources=named, when=Condition(*when) if when else None)


async def run(steps: list[Step], works: Mapping[str, Any], rows: Batch) -> tuple[Batch, Context]:
    context = Context()
    return await Flow(Stack("tested", tuple(steps)), works).run({"": rows}, context), context


async def error_of(steps: list[Step], works: Mapping[str, Any], rows: Batch) -> Any:
    with pytest.raises((Error, RowFailure)) as caught:
        await run(steps, works, rows)
    return caught.value


async def test_steps_in_a_line_work_on_what_the_one_before_gave():
    works = {"double": Called(lambda rows: rows * 2), "add": Called(lambda rows: rows + 1)}
    answer, context = await run([step("double"), step("add")], works, np.array([1, 2, 3]))
    assert answer.tolist() == [3, 5, 7]
    assert [name for name, _ in context.spans] == ["double", "add"]


async def test_the_step_written_last_answers_although_it_ran_first():
    works = {name: Called(lambda rows, name=name: [f"{name} {row}" for row in rows]) for name in ("late", "early")}
    steps = [step("late", "early"), step("early", REQUEST)]
    answer, context = await run(steps, works, ["x"])
    assert answer == ["early x"]
    assert [name for name, _ in context.spans] == ["early", "late"]


async def test_branches_run_at_the_same_time():
    met = [anyio.Event(), anyio.Event()]

    def meets(index: int) -> Awaited:
        async def go(inputs):
            met[index].set()
            await met[1 - index].wait()
            return inputs[""]

        return Awaited(go)

    works = {"left": meets(0), "right": meets(1), "both": Called(lambda left, right: left + right)}
    steps = [step("left", REQUEST), step("right", REQUEST), step("both", "left", "right")]
    with anyio.fail_after(20):
        answer, _ = await run(steps, works, np.array([1, 2]))
    assert answer.tolist() == [2, 4]


async def test_a_step_does_not_wait_for_a_branch_that_it_does_not_need():
    reached = anyio.Event()

    async def slow(inputs):
        await reached.wait()
        return inputs[""]

    async def behind_quick(inputs):
        reached.set()
        return inputs[""]

    works = {"slow": Awaited(slow), "quick": Called(lambda rows: rows), "then": Awaited(behind_quick)}
    works["join"] = Called(lambda slow, then: slow)
    steps = [step("slow", REQUEST), step("quick", REQUEST), step("then", "quick"), step("join", "slow", "then")]
    with anyio.fail_after(20):
        assert (await run(steps, works, [1]))[0] == [1]


async def test_rows_go_through_the_branch_that_is_for_them_and_come_back_in_their_places():
    works = {
        "language": Called(lambda rows: [row[:2] for row in rows]),
        "german": Called(lambda rows: [row.upper() for row in rows]),
        "english": Called(lambda rows: [row.title() for row in rows]),
    }
    steps = [
        step("language"),
        step("german", REQUEST, when=("language", ("de", "at"))),
        step("english", REQUEST, when=("language", "en")),
        step("label", merge=("german", "english")),
    ]
    answer, _ = await run(steps, works, ["de a", "en b", "en c", "at d"])
    assert answer == ["DE A", "En B", "En C", "AT D"]
    assert works["german"].calls == [{"": ["de a", "at d"]}]


async def test_a_step_without_rows_is_not_run():
    works = {"kind": Called(lambda rows: rows), "never": Called(lambda rows: rows), "then": Called(lambda rows: rows)}
    steps = [
        step("kind"),
        step("never", when=("kind", 7)),
        step("then", "never"),
        step("label", merge=("then", "kind")),
    ]
    answer, context = await run(steps, works, np.array([1, 2]))
    assert answer.tolist() == [1, 2]
    assert works["never"].calls == works["then"].calls == []
    assert [name for name, _ in context.spans] == ["kind"]


async def test_a_request_without_rows_asks_nobody():
    works = {"any": Called(lambda rows: rows)}
    assert (await run([step("any")], works, []))[0] == []
    assert works["any"].calls == []


@pytest.mark.parametrize("merged", [True, False])
async def test_a_row_that_no_step_answers_is_named(merged):
    works = {"kind": Called(lambda rows: rows), "one": Called(lambda rows: rows)}
    steps = [step("kind"), step("one", when=("kind", 1))]
    if merged:
        steps.append(step("label", merge=("one",)))
    error = await error_of(steps, works, np.array([1, 1, 2]))
    assert isinstance(error, InvalidArgument)
    assert "instances[2]" in error.message
    assert error.metadata == {"step": "label" if merged else "one", "row": "2"}


@pytest.mark.parametrize(("given", "words"), [([1], "1 row for 2"), ({"a": [1], "b": [1, 2]}, "columns of unequal")])
async def test_too_few_rows_are_an_error_of_the_step(given, words):
    error = await error_of([step("short")], {"short": Called(lambda rows: given)}, [1, 2])
    assert isinstance(error, Internal)
    assert f"`short` gave {words}" in error.message
    assert error.metadata == {"step": "short"}


async def test_the_row_at_fault_is_counted_as_the_caller_counts():
    def refuse(rows):
        raise InvalidArgument("instances[1].age is negative", row="1")

    works = {"kind": Called(lambda rows: rows), "one": Called(refuse)}
    steps = [step("kind"), step("one", when=("kind", 1)), step("label", merge=("one", "kind"))]
    error = await error_of(steps, works, np.array([0, 1, 0, 1]))
    assert error.message == "instances[3].age is negative"
    assert error.metadata == {"row": "3", "step": "one"}


async def test_a_row_that_was_found_out_is_counted_as_the_caller_counts():
    def refuse(rows):
        raise RowFailure(0, ValueError("negative"))

    works = {"kind": Called(lambda rows: rows), "one": Called(refuse)}
    steps = [step("kind"), step("one", when=("kind", 1)), step("label", merge=("one", "kind"))]
    status = failures.status_of(await error_of(steps, works, np.array([0, 1])))
    assert status.message == "instances[1]: The step `one` refuses the instances: ValueError: negative"
    assert status.metadata == {"row": "1", "step": "one"}
    assert status.code.http_status == 400


async def test_an_error_that_several_callers_are_told_stays_as_it_was():
    shared = ModelServerDown("It is down", row="0")

    def down(rows):
        raise shared

    error = await error_of([step("ask")], {"ask": Called(down)}, [1])
    assert type(error) is ModelServerDown
    assert error.metadata == {"row": "0", "step": "ask"}
    assert shared.metadata == {"row": "0"}


async def test_the_first_branch_that_fails_gives_up_the_others():
    given_up = anyio.Event()

    async def forever(inputs):
        try:
            await anyio.sleep_forever()
        finally:
            given_up.set()

    def fail(rows):
        raise ModelServerDown("It is down")

    works = {"slow": Awaited(forever), "bad": Called(fail), "both": Called(lambda slow, bad: slow)}
    steps = [step("slow", REQUEST), step("bad", REQUEST), step("both", "slow", "bad")]
    with anyio.fail_after(20):
        error = await error_of(steps, works, [1])
    assert error.metadata["step"] == "bad"
    assert given_up.is_set()


async def test_a_caller_who_gives_up_ends_all_steps():
    ended = []

    async def forever(inputs):
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(1)

    works = {"a": Awaited(forever), "b": Awaited(forever), "both": Called(lambda a, b: a)}
    with anyio.move_on_after(0.01) as scope:
        await run([step("a", REQUEST), step("b", REQUEST), step("both", "a", "b")], works, [1])
    assert scope.cancelled_caught
    assert ended == [1, 1]


# What is true of every stack: it gives what its steps give one after the other, row by row.


@st.composite
def stacks(draw) -> list[Step]:
    """Any stack whose last step has an answer for every row."""
    steps: list[Step] = []
    names = [REQUEST]
    whole = [REQUEST]  # those that have all rows
    for number in range(draw(st.integers(1, 7))):
        name = f"s{number}"
        kind = draw(st.sampled_from(["step", "step", "when", "merge"]))
        if kind == "merge" and len(names) > 1:
            branches = draw(st.lists(st.sampled_from(names[1:]), min_size=1, max_size=3, unique=True))
            steps.append(step(name, merge=tuple(branches)))
            if set(branches) & set(whole):
                whole.append(name)
        else:
            sources = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
            value = st.integers(0, 2) | st.tuples(st.integers(0, 2), st.integers(0, 2))
            when = (draw(st.sampled_from(names)), draw(value)) if kind == "when" else None
            steps.append(step(name, *sources, when=when))
            if when is None and set(sources) <= set(whole):
                whole.append(name)
        names.append(name)
    last = draw(st.sampled_from(whole))
    steps.append(step("last", merge=(names[-1], last)) if last != REQUEST else step("last", REQUEST))
    shuffled = draw(st.permutations(steps[:-1]))
    return [*shuffled, steps[-1]]


def alone(steps: list[Step], row: int) -> int | None:
    """What a stack gives for one row, each step asked for when it is needed; None: nothing."""

    def given_by(name: str) -> int | None:
        if name == REQUEST:
            return row
        one = by_name[name]
        if one.merge:
            return next((found for found in map(given_by, one.merge) if found is not None), None)
        taken = {key: given_by(source) for key, source in one.sources.items()}
        if None in taken.values() or (one.when and given_by(one.when.step) not in one.when.values):
            return None
        return value_of(name, taken)

    by_name = {one.name: one for one in steps}
    return given_by("last")


def value_of(name: str, taken: Mapping[str, Any]) -> int:
    total = sum(value * (index + 2) for index, (_, value) in enumerate(sorted(taken.items())))
    return (total + len(name) + int(name[1:] if name[1:].isdigit() else 0)) % 3


class Mixed:
    """A step that knows how long to take, so that the order in which steps end is anything."""

    def __init__(self, name: str, turns: int, form: str) -> None:
        self.name, self.turns, self.form = name, turns, form

    async def run(self, inputs: Mapping[str, Batch], context: Context) -> Batch:
        for _ in range(self.turns):
            await anyio.lowlevel.checkpoint()
        columns = {name: rows_in(batch) for name, batch in inputs.items()}
        (size,) = {len(column) for column in columns.values()}
        assert size
        rows = [value_of(self.name, {name: plain(columns[name][at]) for name in columns}) for at in range(size)]
        if self.form == "array":
            return np.array(rows)
        return {"value": np.array(rows)} if self.form == "columns" else rows


def plain(row: Any) -> int:
    return row["value"] if isinstance(row, dict) else row


@settings(max_examples=80, deadline=None)
@given(
    steps=stacks(),
    rows=st.lists(st.integers(0, 2), min_size=1, max_size=6),
    turns=st.lists(st.integers(0, 3), min_size=9, max_size=9),
    forms=st.lists(st.sampled_from(["array", "list", "columns"]), min_size=9, max_size=9),
)
def test_a_stack_gives_what_its_steps_give_for_each_row_alone(steps, rows, turns, forms):
    works = {one.name: Mixed(one.name, turns[at], forms[at]) for at, one in enumerate(steps)}
    answer, context = anyio.run(run, steps, works, np.array(rows))
    assert [plain(row) for row in rows_in(answer)] == [alone(steps, row) for row in rows]
    names = [name for name, _ in context.spans]
    assert len(names) == len(set(names))


batches = st.one_of(
    st.lists(st.integers(), min_size=1, max_size=8),
    st.lists(st.text(), min_size=1, max_size=8),
    st.lists(st.integers(-9, 9), min_size=1, max_size=8).map(np.array),
    st.lists(st.integers(-9, 9), min_size=1, max_size=8).map(lambda rows: np.array([[row, row + 0.5] for row in rows])),
    st.lists(st.integers(-9, 9), min_size=1, max_size=8).map(
        lambda rows: {"a": np.array(rows), "b": list(map(str, rows))}
    ),
)


@settings(max_examples=80, deadline=None)
@given(batch=batches, ways=st.lists(st.integers(0, 3), min_size=8, max_size=8))
def test_rows_that_are_parted_come_together_unchanged(batch, ways):
    rows = range(rows_of(batch))
    parts = []
    for way in range(4):
        taken = [row for row in rows if ways[row] == way]
        if taken:
            parts.append(Part(taken, picked(batch, taken)))
    again = first_of(parts)
    assert list(again.rows) == list(rows)
    assert type(again.batch) is type(batch)
    assert rows_in(again.batch) == rows_in(batch)
    if isinstance(batch, np.ndarray):
        assert again.batch.dtype == batch.dtype


def test_values_keep_their_types_where_branches_give_different_ones():
    merged = first_of([Part([0, 2], np.array([1, 2**62 + 1])), Part([1], np.array([0.5]))])
    assert merged.batch == [1, 0.5, 2**62 + 1]


def test_rows_that_follow_one_another_are_not_copied():
    batch = np.arange(10)
    assert np.shares_memory(picked(batch, [3, 4, 5]), batch)


@pytest.mark.parametrize(
    ("batch", "wanted", "rows"),
    [
        (["de", "en"], "en", [1]),
        ([b"de", b"en"], "en", [1]),
        (np.array([[1.0], [2.0]]), 2, [1]),
        ({"label": np.array(["de", "en"], dtype=object)}, "en", [1]),
        ({"label": [["de"], ["en"]]}, "en", [1]),
        ({"a": [1, 2], "b": [3, 4]}, {"a": 2, "b": 4}, [1]),
        ([[1, 2], [3]], [1, 2], [0]),
        ([None, True], True, [1]),
    ],
)
def test_a_condition_compares_the_value_of_a_row(batch, wanted, rows):
    assert list(matching(Part(range(2), batch), (wanted,))) == rows


def test_sources_are_the_columns_of_a_model():
    columns = columns_of({"text": ["a"], "one": {"vector": [1]}, "two": {"ids": [1], "mask": [0]}})
    assert columns == {"text": ["a"], "one": [1], "ids": [1], "mask": [0]}
    with pytest.raises(Internal, match="`ids`"):
        columns_of({"ids": [1], "two": {"ids": [1], "mask": [0]}})
