"""Whether what a step gives is what the next one takes: names, kinds of elements, shapes; pure.

Types come from `inputs` and `outputs` of models, from `takes` and `gives` of steps, and from the hints of functions.
What the caller sends is not known, and where nothing is known nothing is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from modelport.core.errors import Violation
from modelport.server.listener.declaration import REQUEST, Listener, Model, Stack
from modelport.server.listener.notation.keys import listed
from modelport.server.listener.steps.python_function import EXTRAS
from modelport.server.listener.validation.graph import cycle, order, sources
from modelport.server.listener.validation.hint_types import Signature, signature_of
from modelport.server.listener.validation.tensor_types import NoType, RowType, TensorType, mismatch, parse
from modelport.server.settings_reading import like

# Of Python steps, by the names of their stack and their own.
Functions = Mapping[tuple[str, str], Callable[..., Any]]


def type_violations(listener: Listener, functions: Functions) -> Iterator[Violation]:
    """Yield the places of all stacks where rows of one type come to where another is wanted."""
    models = {one.name: one for one in listener.models}
    for stack in listener.stacks:
        if not cycle(stack):
            yield from _of_stack(stack, models, functions)


def _of_stack(stack: Stack, models: Mapping[str, Model], functions: Functions) -> Iterator[Violation]:
    taken = sources(stack)
    given: dict[str, RowType] = {REQUEST: None}
    for step in order(stack):
        place = f"stacks.{stack.name}.{step.name}"
        come = {argument: (source, given.get(source)) for argument, source in taken[step.name].items()}
        if step.when is not None:
            yield from _of_condition(step.when.values, given.get(step.when.step), f"{place}.when", step.when.step)
        if step.merge:
            yield from _of_merge(come, place)
            given[step.name] = next((one for _, one in come.values() if one is not None), None)
        elif step.model:
            model = models.get(step.model)
            yield from _of_model(model, come, place, declared(step.takes))
            given[step.name] = declared(step.gives) or (declared(model.outputs) if model else None)
        else:
            function = functions.get((stack.name, step.name), step.python)
            signature = signature_of(function) if callable(function) else None
            yield from _of_function(signature, come, place, declared(step.takes))
            given[step.name] = declared(step.gives) or (signature.gives if signature else None)


def declared(type: str | Mapping[str, str]) -> RowType:
    """Return a declared type; None where there is none, or it cannot be read, which is told elsewhere."""
    try:
        if isinstance(type, str):
            return parse(type) if type else None
        return {name: parse(text) for name, text in type.items()} or None
    except NoType:
        return None


Come = Mapping[str, tuple[str, RowType]]


def _of_model(model: Model | None, come: Come, place: str, takes: RowType) -> Iterator[Violation]:
    inputs = takes or (declared(model.inputs) if model else None)
    if inputs is None:
        return
    if "" in come:
        yield from _misfit(*come[""], inputs, place)
        return
    what = f"The model `{model.name}`" if model else "The model"
    if not isinstance(inputs, Mapping):
        yield Violation(f"{place}.from", f"{what} takes {inputs} without a name; {listed(come)} are given")
        return
    for argument, (source, given) in come.items():
        if argument not in inputs:
            hint = like(argument, inputs) or f"; there are {listed(inputs)}"
            yield Violation(f"{place}.from", f"{what} has no input `{argument}`{hint}")
        else:
            yield from _misfit(source, given, inputs[argument], f"{place}", f"{what} input `{argument}`")
    if missing := [name for name in inputs if name not in come]:
        yield Violation(f"{place}.from", f"{what} wants {listed(missing)} too")


def _of_function(signature: Signature | None, come: Come, place: str, takes: RowType) -> Iterator[Violation]:
    if signature is None:
        if "" in come:
            yield from _misfit(*come[""], takes, place)
        return
    rows = {name: one for name, one in signature.takes.items() if name not in EXTRAS}
    required = [name for name in signature.required if name in rows]
    if "" in come:
        if len(required) > 1:
            yield Violation(f"{place}.from", f"The function wants {listed(required)}; name a step for each of them")
        elif not rows and not signature.any_name:
            yield Violation(f"{place}.python", "The function takes no rows, one argument for them is wanted")
        else:
            yield from _misfit(*come[""], takes or next(iter(rows.values()), None), place)
        return
    for argument, (source, given) in come.items():
        if argument in rows:
            yield from _misfit(source, given, rows[argument], place)
        elif not signature.any_name:
            hint = like(argument, rows) or f"; there are {listed(rows)}"
            yield Violation(f"{place}.from", f"The function has no argument `{argument}`{hint}")
    if missing := [name for name in required if name not in come]:
        yield Violation(f"{place}.from", f"The function wants {listed(missing)} too")


def _of_merge(come: Come, place: str) -> Iterator[Violation]:
    known = [(source, one) for source, one in come.values() if one is not None]
    for source, one in known[1:]:
        first, wanted = known[0]
        if reason := mismatch(one, wanted):
            yield Violation(f"{place}.merge", f"`{source}` does not go with `{first}`: {reason}")


def _of_condition(values: Sequence[Any], given: RowType, place: str, source: str) -> Iterator[Violation]:
    single = next(iter(given.values())) if isinstance(given, Mapping) and len(given) == 1 else given
    if isinstance(single, Mapping):
        yield Violation(place, f"`{source}` gives {listed(single)}; one value is wanted that can be compared")
        return
    if single is None:
        return
    if single.shape is not None and single.shape not in ((), (1,), (-1,)):
        yield Violation(place, f"`{source}` gives {single}, which cannot be compared with one value")
        return
    words = {bool: "BOOL", int: "INT64", float: "FP64", str: "BYTES"}
    one_given = TensorType(single.datatype, ())
    for value in values:
        wanted = TensorType(words.get(type(value), ""), ())
        if mismatch(one_given, wanted) and mismatch(wanted, one_given):
            yield Violation(place, f"`{source}` gives {single}, which is never `{value}`")


def _misfit(source: str, given: RowType, wanted: RowType, place: str, what: str = "") -> Iterator[Violation]:
    if reason := mismatch(given, wanted):
        yield Violation(place, f"It takes its rows from `{source}`: {reason}" if not what else f"{what}: {reason}")
