"""What the type hints of a step's function say of the rows that it takes and gives; imports nothing of the user's."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass
from typing import Any, Literal

import numpy as np

from modelport.server.hints import Unreadable, hint_of
from modelport.server.listener.validation.tensor_types import ANY, RowType, TensorType

_ROWS = (list, Sequence, Iterable, typing.Collection)
_SCALARS = {str: "BYTES", bytes: "BYTES", bool: "BOOL", int: "INT64", float: "FP64"}


@dataclass(frozen=True)
class Signature:
    """A function as a step.

    Attributes:
        takes: types of a row by argument; those of what it gets beside rows are among them.
        required: arguments without a default.
        gives: type of a row that it gives.
        any_name: it takes arguments of any name, or any number of them.
    """

    takes: Mapping[str, RowType] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    gives: RowType = None
    any_name: bool = False


def signature_of(function: Callable[..., Any]) -> Signature | None:
    """Return the signature of a function, or of the instances of a class; None where Python does not tell."""
    # Of the instances of a class what is called, and not what makes them.
    called: Any = function if inspect.isroutine(function) else function.__call__  # type: ignore[operator]
    called = inspect.unwrap(called)
    try:
        parameters = list(inspect.signature(called).parameters.values())
    except (TypeError, ValueError):
        return None
    if isinstance(function, type):
        parameters = parameters[1:]
    named = [one for one in parameters if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
    return Signature(
        {one.name: _type_of_hint(called, one.name) for one in named},
        tuple(one.name for one in named if one.default is one.empty),
        _type_of_hint(called, "return"),
        len(named) < len(parameters),
    )


def type_of_rows(hint: Any) -> RowType:
    """Return the type of one row of a batch with this hint; None where it says nothing that can be compared."""
    if typing.is_typeddict(hint):  # columns by their names
        return _known({name: type_of_rows(one) for name, one in _members(hint).items()})
    if hint is np.ndarray or typing.get_origin(hint) is np.ndarray:
        return TensorType(_datatype(hint))
    if typing.get_origin(hint) not in _ROWS:
        return None
    (row,) = typing.get_args(hint)
    if typing.is_typeddict(row) or is_dataclass(row):
        return _known({name: _tensor(one) for name, one in _members(row).items()})
    return _tensor(row)


def _type_of_hint(function: Callable[..., Any], name: str) -> RowType:
    try:
        return type_of_rows(hint_of(function, name))
    except Unreadable:  # whoever runs the function says so, where it matters
        return None


def _tensor(hint: Any) -> TensorType | None:
    """Return the type of one row with this hint: a scalar, an array, or lists of one of them."""
    if hint in _SCALARS:
        return TensorType(_SCALARS[hint], ())
    if typing.get_origin(hint) is Literal:
        kinds = {type(one) for one in typing.get_args(hint)}
        return TensorType(_SCALARS[kinds.pop()], ()) if len(kinds) == 1 and kinds <= set(_SCALARS) else None
    if hint is np.ndarray or typing.get_origin(hint) is np.ndarray:
        return TensorType(_datatype(hint))
    if isinstance(hint, type) and issubclass(hint, np.generic):
        return TensorType(_named(np.dtype(hint)), ())
    if typing.get_origin(hint) not in _ROWS:
        return None
    inner = _tensor(typing.get_args(hint)[0])
    if inner is None or inner.shape is None:
        return None
    return TensorType(inner.datatype, (ANY, *inner.shape))


def _members(kind: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(kind)
    except Exception as error:  # evaluating hints runs the user's code
        raise Unreadable(str(error)) from error


def _known(types: Mapping[str, RowType]) -> Mapping[str, TensorType]:
    return {name: one if isinstance(one, TensorType) else TensorType() for name, one in types.items()}


def _datatype(hint: Any) -> str:
    arguments = typing.get_args(hint)
    scalars = typing.get_args(arguments[1]) if len(arguments) == 2 else ()
    scalar = scalars[0] if scalars else None
    try:
        return _named(np.dtype(scalar)) if isinstance(scalar, type) and issubclass(scalar, np.generic) else ""
    except TypeError:  # of a family of types, such as np.floating
        return ""


def _named(dtype: np.dtype[Any]) -> str:
    words = {"b": "BOOL", "i": f"INT{dtype.itemsize * 8}", "u": f"UINT{dtype.itemsize * 8}"}
    words |= {"f": f"FP{dtype.itemsize * 8}", "S": "BYTES", "U": "BYTES"}
    return words.get(dtype.kind, "")
