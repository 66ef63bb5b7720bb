"""The steps of a stack as a graph: what each one takes its rows from, and an order in which they can run."""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter

from modelport.core.errors import InvalidArgument
from modelport.server.listener.declaration import REQUEST, Stack, Step


def sources(stack: Stack) -> Mapping[str, Mapping[str, str]]:
    """Return by the names of the steps what each takes its rows from, by argument, with what is not written filled in.

    A step that says nothing takes the rows of the step written before it, the first one those of the request. A merge
    takes its branches, each by its own name. The step of a condition is not among them: see `needed`.
    """
    found: dict[str, Mapping[str, str]] = {}
    before = REQUEST
    for step in stack.steps:
        found[step.name] = {one: one for one in step.merge} if step.merge else dict(step.sources) or {"": before}
        before = step.name
    return found


def needed(stack: Stack) -> Mapping[str, tuple[str, ...]]:
    """Return by the names of the steps the names of those that must have run before: sources, and conditions."""
    taken = sources(stack)
    return {
        step.name: tuple(
            dict.fromkeys(
                one for one in (*taken[step.name].values(), *((step.when.step,) if step.when else ())) if one != REQUEST
            )
        )
        for step in stack.steps
    }


def order(stack: Stack) -> tuple[Step, ...]:
    """Return the steps so that each comes after those it needs, as near as can be to how they were written.

    Raises:
        InvalidArgument: some of them need one another.
    """
    if found := cycle(stack):
        raise InvalidArgument(f"The steps {arrows(found)} of the stack `{stack.name}` wait for one another")
    waits_for = needed(stack)
    left, ordered = list(stack.steps), list[Step]()
    while left:
        waiting = {step.name for step in left}
        # A step that is not there holds nobody up: `validation` speaks of it.
        ready = next(step for step in left if not waiting.intersection(waits_for[step.name]))
        ordered.append(ready)
        left.remove(ready)
    return tuple(ordered)


def cycle(stack: Stack) -> tuple[str, ...]:
    """Return the names of steps that wait for one another, each before the one that needs it, the first one again last.

    Empty where there is no such circle.
    """
    sorter: TopologicalSorter[str] = TopologicalSorter(needed(stack))
    try:
        sorter.prepare()
    except CycleError as error:
        return tuple(error.args[1])
    return ()


def unused(stack: Stack) -> tuple[Step, ...]:
    """Return the steps that nothing needs although they are not the last one, which gives the answer."""
    used = {one for names in needed(stack).values() for one in names}
    return tuple(step for step in stack.steps[:-1] if step.name not in used)


def arrows(names: tuple[str, ...]) -> str:
    """Return names as `a` -> `b`."""
    return " -> ".join(f"`{name}`" for name in names)
