"""A stack as it runs: each step as soon as the steps before it have given their rows, on the rows that are for it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import anyio
from anyio.abc import TaskGroup

from modelport.core.errors import Internal, InvalidArgument
from modelport.server.jobs import predictions_in
from modelport.server.listener.declaration import REQUEST, Stack, Step
from modelport.server.listener.steps.blame import blamed
from modelport.server.listener.steps.rows_apart import Part, Rows, common, first_of, matching, narrowed, whole
from modelport.server.listener.steps.work import Context, Work
from modelport.server.listener.validation.graph import needed, order, sources
from modelport.server.model import Batch


class Flow:
    """Runs the steps of one stack; itself a piece of work.

    A step gives a row for each that it took, and takes the rows that all of its sources have, of these the ones that
    its condition is for. Where there are none, it is not run. The last step as it is written must have given an answer
    for every row.
    """

    def __init__(self, stack: Stack, works: Mapping[str, Work]) -> None:
        self._works = works
        self._sources = sources(stack)
        self._last = stack.steps[-1]
        before = needed(stack)
        steps = order(stack)
        self._first = [step for step in steps if not before[step.name]]
        self._after = {one.name: [step for step in steps if one.name in before[step.name]] for one in steps}
        self._awaited = {name: len(names) for name, names in before.items()}

    async def run(self, inputs: Mapping[str, Batch], context: Context) -> Batch:
        """Return what the last step gives for the rows of a request."""
        request = whole(inputs[""])
        if not request.rows:
            return []
        run = _Run(self, request, context)
        await run.through()
        answers = run.results[self._last.name]
        if len(answers.rows) < len(request.rows):
            raise self._unanswered(request, answers)
        return answers.batch

    def _unanswered(self, request: Part, answers: Part) -> InvalidArgument:
        there = set(answers.rows)
        row = next(row for row in request.rows if row not in there)
        last = self._last
        branches = ", ".join(f"`{one}`" for one in last.merge)
        return InvalidArgument(
            f"No step has an answer for instances[{row}]: "
            + (f"none of {branches} is for it" if branches else f"the step `{last.name}` is not for it"),
            hint="Send what a condition of the stack is for, or give the last `merge` a step without `when`",
            step=last.name,
            row=str(row),
        )


@dataclass(frozen=True, slots=True)
class _Due:
    """A call that is to be made: what the work of a step is given, and for which rows."""

    step: Step
    rows: Rows
    inputs: Mapping[str, Batch]


class _Run:
    """One request on its way through a stack.

    Attributes:
        results: what each step has given, by its name.
    """

    def __init__(self, flow: Flow, request: Part, context: Context) -> None:
        self.results = {REQUEST: request}
        self._flow = flow
        self._context = context
        self._awaited = dict(flow._awaited)
        self._failure: Exception | None = None

    async def through(self) -> None:
        """Run all steps. Raises what the first that fails raises; the others are given up then."""
        due = self._due(self._flow._first)
        while len(due) == 1:  # a task for a step that is alone would cost more than the step itself may
            due = await self._call(due[0])
        if due:
            async with anyio.create_task_group() as tasks:
                for one in due:
                    tasks.start_soon(self._from, one, tasks)
            if self._failure is not None:
                raise self._failure

    async def _from(self, due: _Due, tasks: TaskGroup) -> None:
        """Make a call, then one of those that waited for it; the others get tasks of their own."""
        try:
            while next_ones := await self._call(due):
                due, *others = next_ones
                for other in others:
                    tasks.start_soon(self._from, other, tasks)
        except Exception as error:  # told once, and not as one of a group
            self._failure = self._failure or error
            tasks.cancel_scope.cancel()

    async def _call(self, due: _Due) -> list[_Due]:
        """Make a call; return those that can be made now."""
        name, rows = due.step.name, due.rows
        started = time.perf_counter()
        try:
            batch = await self._flow._works[name].run(due.inputs, self._context)
            if (given := predictions_in(batch)) != len(rows):
                raise _miscounted(name, given, len(rows))
        except Exception as error:  # whatever a step raises is its own failure, and told as such
            raise blamed(error, name, rows) from error
        finally:
            self._context.spans.append((name, time.perf_counter() - started))
        self.results[name] = Part(rows, batch)
        return self._due(self._released_by(due.step))

    def _due(self, steps: Iterable[Step]) -> list[_Due]:
        """Return the calls of steps that wait for nothing any more; those that need none are done with here."""
        due = []
        left = list(steps)
        while left:
            step = left.pop(0)
            taken = {name: self.results[source] for name, source in self._flow._sources[step.name].items()}
            if step.merge:
                self.results[step.name] = first_of(list(taken.values()))
            elif rows := self._rows(step, taken):
                due.append(_Due(step, rows, {name: narrowed(part, rows) for name, part in taken.items()}))
                continue
            else:
                self.results[step.name] = Part((), [])
            left += self._released_by(step)
        return due

    def _rows(self, step: Step, taken: Mapping[str, Part]) -> Rows:
        rows = common(list(taken.values()))
        if step.when is None:
            return rows
        chosen = set(matching(self.results[step.when.step], step.when.values))
        return [row for row in rows if row in chosen]

    def _released_by(self, done: Step) -> list[Step]:
        released = []
        for step in self._flow._after[done.name]:
            self._awaited[step.name] -= 1
            if not self._awaited[step.name]:
                released.append(step)
        return released


def _miscounted(step: str, given: int, wanted: int) -> Internal:
    seen = "columns of unequal lengths" if given < 0 else f"{given} row{'' if given == 1 else 's'}"
    return Internal(
        f"The step `{step}` gave {seen} for {wanted}", hint="Give one row for each that came in, in their order"
    )
