"""Whether the steps of a stack name things that there are, and lead from the request to the last step; pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from modelport.core.errors import Violation
from modelport.server.listener.declaration import REQUEST, Listener, Stack, Step
from modelport.server.listener.notation.keys import listed, unknown
from modelport.server.listener.validation.graph import arrows, cycle, unused

_OF_MODELS = ("timeout_s", "concurrency", "max_waiting", "max_rows", "max_delay_ms")
_OF_PYTHON = ("runs", "workers", *_OF_MODELS)


def stack_violations(stack: Stack, listener: Listener) -> Iterator[Violation]:
    """Yield what is wrong with the steps of a stack but for their types."""
    path = f"stacks.{stack.name}"
    if not stack.steps:
        yield Violation(path, "It has no steps, at least one is wanted")
        return
    names = [step.name for step in stack.steps]
    astray: list[Violation] = []
    for index, step in enumerate(stack.steps):
        place = f"{path}.{step.name}"
        if step.name in names[:index]:
            yield Violation(place, "Another step of the stack has this name")
        if step.name == REQUEST:
            yield Violation(place, f"`{REQUEST}` stands for the rows of the caller; give the step another name")
        yield from _what_it_does(step, place, [one.name for one in listener.models])
        yield from _out_of_place(step, place)
        astray += _references(step, place, names)
    yield from astray
    if found := cycle(stack):
        yield Violation(f"{path}.{found[0]}", f"These steps wait for one another: {arrows(found)}")
    elif not astray:  # a name that is written wrong leaves another step without use
        last = stack.steps[-1].name
        for step in unused(stack):
            yield Violation(
                f"{path}.{step.name}", f"No step takes what it gives, and the answer is that of the last one, `{last}`"
            )


def _what_it_does(step: Step, place: str, models: list[str]) -> Iterator[Violation]:
    does = [key for key in ("model", "python", "merge") if getattr(step, key)]
    if len(does) != 1:
        seen = listed(does).replace(", ", " and ") or "none of them"
        yield Violation(place, f"It has {seen}, exactly one of `model`, `python` and `merge` is wanted")
    if step.model and step.model not in models:
        yield Violation(f"{place}.model", unknown(step.model, "model", models))
    if isinstance(step.python, str) and step.python and not _names_code(step.python):
        yield Violation(f"{place}.python", f"It is `{step.python}`, FILE.py:NAME or MODULE:NAME is wanted")
    if step.merge and step.sources:
        yield Violation(f"{place}.from", "A merge takes what it merges; leave `from` out")
    if len(step.merge) == 1:
        yield Violation(f"{place}.merge", f"It is `{step.merge[0]}` alone, two steps or more are wanted")


def _out_of_place(step: Step, place: str) -> Iterator[Violation]:
    """Yield what is said of a step and would not be heeded, as it is for steps of another kind."""
    if not step.model and step.parameters is not None:
        yield Violation(f"{place}.parameters", "It is for steps with a `model`; a function names what it takes")
    if step.python:
        return
    for one in fields(Step):
        if one.name in _OF_PYTHON and getattr(step, one.name) != one.default:
            hint = f"; say it of the model `{step.model}`" if step.model and one.name in _OF_MODELS else ""
            yield Violation(f"{place}.{one.name}", f"It is for steps with `python`{hint}")


def _references(step: Step, place: str, names: list[str]) -> Iterator[Violation]:
    known = [REQUEST, *(name for name in names if name != step.name)]
    for argument, source in step.sources.items():
        if source not in known and source != step.name:
            at = f"{place}.from.{argument}" if argument and argument != source else f"{place}.from"
            yield Violation(at, unknown(source, "step of the stack", known))
    for index, branch in enumerate(step.merge):
        if branch not in known and branch != step.name:
            yield Violation(f"{place}.merge", unknown(branch, "step of the stack", known))
        if branch in step.merge[:index]:
            yield Violation(f"{place}.merge", f"`{branch}` is there twice")
    if step.when is not None:
        known = known[1:]
        if step.when.step not in known and step.when.step != step.name:
            yield Violation(f"{place}.when", unknown(step.when.step, "step of the stack", known))


def _names_code(text: str) -> bool:
    where, colon, name = text.rpartition(":")
    module = where.endswith(".py") or all(part.isidentifier() for part in where.split("."))
    return bool(colon) and module and all(part.isidentifier() for part in name.split("."))
