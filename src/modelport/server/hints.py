"""Type hints as rules: what a predictor's hints say about rows and parameters, as a JSON schema and as validation.

msgspec converts and describes; pydantic models are called only where the user's own hints bring them. What is wrong
with a value is worked out in `violations`, only after a conversion failed.
"""

from __future__ import annotations

import sys
import typing
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import islice
from types import SimpleNamespace
from typing import Any, Protocol

import msgspec
import numpy as np

from modelport.core.errors import InvalidArgument, Violation
from modelport.server.model import Batch
from modelport.server.violations import BYTES, refused, violations_of

_SHOWN = 20
_IN_MESSAGE = 3
_LISTS = (list, Sequence, Iterable, typing.Collection)
_ABSENT = object()


class Unreadable(Exception):
    """A hint that cannot be used to validate: it names what is not imported, or a class with no rules for JSON."""


class RowRule(Protocol):
    """What the hint of `instances` wants. `schema` is that of one row."""

    schema: dict[str, Any]

    def read(self, batch: Batch) -> Any:
        """Return the rows as the hint wants them.

        Raises:
            InvalidArgument: they are not that; has all that is wrong, up to a limit.
        """
        ...


class Rule:
    """One hint: makes of a value of JSON what the hint wants."""

    def __init__(self, hint: Any) -> None:
        self._hint = hint
        self.schema = schema_of(hint)
        with suppress(msgspec.ValidationError):
            try:
                _converted([], hint)
            except TypeError as error:  # it can be described, and not converted to
                raise Unreadable(f"`{named(hint)}` cannot be read from JSON: {error}") from error

    def convert(self, value: Any, path: str) -> Any:
        """Return the value as the hint wants it.

        Raises:
            InvalidArgument: it is not that; `path` is where it stood in the request.
        """
        try:
            return _converted(value, self._hint)
        except msgspec.ValidationError as error:
            raise refusal(self.violations(value, path), otherwise=Violation(path, str(error))) from None
        except RecursionError:
            raise refusal([Violation(path, "it is nested too deep")]) from None

    def violations(self, value: Any, path: str) -> Iterable[Violation]:
        """Return what is wrong with a value, place by place."""
        return violations_of(value, self._hint, path, _converted)


class ListedRows:
    """Rows of any kind: `list[Row]`."""

    def __init__(self, row: Any) -> None:
        self._rule = Rule(list[row])
        self.schema = schema_of(row)

    def read(self, batch: Batch) -> list[Any]:  # noqa: D102
        rows: list[Any] = self._rule.convert(listed(batch), "instances")
        return rows


class NumberedRows:
    """Rows that are numbers of one shape: an `NDArray`."""

    schema: dict[str, Any] = {"type": ["number", "array"], "description": "a number, or nested lists of numbers"}  # noqa: RUF012

    def __init__(self, dtype: np.dtype[Any] | None) -> None:
        self._dtype = dtype

    def read(self, batch: Batch) -> np.ndarray[Any, Any]:  # noqa: D102
        if isinstance(batch, dict):
            batch = listed(batch)
        try:
            array = np.asarray(batch, self._dtype)
        except (ValueError, TypeError) as error:
            raise refusal(self._violations(batch), otherwise=Violation("instances", str(error))) from None
        if self._dtype is None and array.dtype.kind not in "biufc":
            raise refusal(self._violations(batch), otherwise=Violation("instances", "numbers are wanted"))
        return array

    def _violations(self, batch: Any) -> Iterable[Violation]:
        """Find the rows that are no numbers, or of another shape than the first."""
        shape: tuple[int, ...] | None = None
        for index, row in enumerate(batch):
            try:
                own: tuple[int, ...] = np.asarray(row, self._dtype or np.float64).shape
            except (ValueError, TypeError):
                yield refused(f"instances[{index}]", row, "a list of numbers")
                continue
            shape = own if shape is None else shape
            if own != shape:
                yield Violation(
                    f"instances[{index}]", f"its shape is {list(own)}, that of the first row, {list(shape)}, is wanted"
                )


def row_rule(hint: Any) -> RowRule | None:
    """Return the rule of the hint of `instances`; None where it says nothing of the rows.

    Raises:
        Unreadable: it says something that cannot be held against JSON.
    """
    if hint is np.ndarray or typing.get_origin(hint) is np.ndarray:
        return NumberedRows(_dtype(hint))
    if typing.get_origin(hint) not in _LISTS:
        if hint in (Any, *_LISTS):
            return None
        raise Unreadable(f"`{named(hint)}` is no list of rows, such as list[dict] or NDArray")
    (row,) = typing.get_args(hint)
    return None if row is Any else ListedRows(row)


def listed(batch: Batch) -> list[Any]:
    """Return rows as a list, one entry each; columns become objects."""
    if isinstance(batch, list):
        return batch
    if isinstance(batch, dict):
        columns = [values.tolist() if isinstance(values, np.ndarray) else values for values in batch.values()]
        return [dict(zip(batch, row, strict=True)) for row in zip(*columns, strict=True)]
    rows: list[Any] = batch.tolist()
    return rows


def refusal(violations: Iterable[Violation], *, otherwise: Violation | None = None) -> InvalidArgument:
    """Return one error for all violations, up to a limit; names the first row at fault.

    Args:
        violations: what is wrong; no more of it is worked out than is told.
        otherwise: what is said where there is none.
    """
    found = list(islice(violations, _SHOWN + 1)) or ([otherwise] if otherwise else [])
    told = found[:_SHOWN]
    rest = len(told) - _IN_MESSAGE
    message = "; ".join(f"{one.field}: {one.description}" for one in told[:_IN_MESSAGE])
    if len(found) > _SHOWN:
        message += f"; and more than {rest} others"
    elif rest > 0:
        message += f"; and {rest} more"
    error = InvalidArgument(message, violations=tuple(told))
    place, _, row = told[0].field.partition("]")[0].partition("[")
    if place == "instances" and row.isdigit():
        error.metadata["row"] = row
    return error


def hint_of(function: Any, name: str) -> Any:
    """Return the hint of a parameter (`return` for the result), evaluated alone; Any where there is none.

    Raises:
        Unreadable: it names what is not there, such as an import for type checkers only.
    """
    function = getattr(function, "__func__", function)
    hint = getattr(function, "__annotations__", {}).get(name, _ABSENT)
    if hint is _ABSENT:
        return Any
    names = getattr(function, "__globals__", None) or vars(sys.modules[function.__module__])
    try:
        # One at a time: a hint elsewhere that cannot be evaluated takes nothing away from this one.
        found = typing.get_type_hints(SimpleNamespace(__annotations__={name: hint}), names, include_extras=True)
    except Exception as error:  # evaluating a hint runs the user's code
        raise Unreadable(f"`{hint}` cannot be evaluated: {error}") from error
    return found[name]


def schema_of(hint: Any) -> dict[str, Any]:
    """Return the JSON schema of a hint, whole in itself.

    Raises:
        Unreadable: it holds a type that has no form in JSON.
    """
    if hint is Any:
        return {}
    try:
        schema = msgspec.json.schema(hint, schema_hook=_custom_schema)
    except Exception as error:  # msgspec, or the user's own type
        raise Unreadable(f"`{named(hint)}` cannot be told in JSON: {str(error).splitlines()[0]}") from error
    definitions: dict[str, Any] = {}
    schema = _tidied(schema, definitions)
    return {**schema, "$defs": definitions} if definitions else schema


def named(hint: Any) -> str:
    """Return a hint as it was written, nearly."""
    return hint.__name__ if isinstance(hint, type) and not typing.get_args(hint) else str(hint).replace("typing.", "")


def _converted(value: Any, hint: Any) -> Any:
    # Bytes have a form of their own, so a text is not taken for base64.
    return msgspec.convert(value, hint, builtin_types=(bytes,), dec_hook=_custom)


def _custom(hint: Any, value: Any) -> Any:
    if (origin := typing.get_origin(hint) or hint) is np.ndarray:
        return np.asarray(value, _dtype(hint))
    return origin.model_validate(value)


def _custom_schema(hint: Any) -> dict[str, Any]:
    if (typing.get_origin(hint) or hint) is np.ndarray:
        return {"type": "array"}
    if not hasattr(hint, "model_json_schema"):
        raise NotImplementedError
    schema: dict[str, Any] = hint.model_json_schema()
    return schema


def _dtype(hint: Any) -> np.dtype[Any] | None:
    arguments = typing.get_args(hint)
    scalars = typing.get_args(arguments[1]) if len(arguments) == 2 else ()
    if not scalars or not isinstance(scalars[0], type) or not issubclass(scalars[0], np.generic):
        return None
    try:
        return np.dtype(scalars[0])
    except TypeError:
        return None


def _tidied(node: Any, definitions: dict[str, Any]) -> Any:
    """Gather `$defs` from wherever they stand, and write bytes as they are sent: an object with `b64`."""
    if isinstance(node, list):
        return [_tidied(one, definitions) for one in node]
    if not isinstance(node, dict):
        return node
    if node.get("contentEncoding") == "base64":
        return BYTES
    for name, one in node.get("$defs", {}).items():
        definitions[name] = _tidied(one, definitions)
    return {key: _tidied(value, definitions) for key, value in node.items() if key != "$defs"}
