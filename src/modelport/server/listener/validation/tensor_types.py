"""Types of rows: `FP32[4]` as they are written, what of a type hint makes one, and whether one goes where another is.

A type is of one row, without the axis of the rows: `BYTES` and `BYTES[1]` are a text, `FP32[384]` a vector, `FP32[-1]`
one of any length. Nothing is said against what is not known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from modelport.server.listener.notation.keys import unknown

DATATYPES: Mapping[str, str] = {
    "BOOL": "truth values",
    **{f"{sign}INT{bits}": "whole numbers" for sign in ("", "U") for bits in (8, 16, 32, 64)},
    **dict.fromkeys(("FP16", "FP32", "FP64", "BF16"), "numbers"),
    "BYTES": "texts or bytes",
}
ANY = -1  # as the size of an axis

_WRITTEN = re.compile(r"\s*(?P<datatype>[A-Za-z0-9]+)\s*(?P<shape>\[(?P<sizes>[^\[\]]*)\])?\s*")
# What may stand where numbers of a kind are wanted, beside that kind itself.
_BECOMES = {"numbers": ("whole numbers",)}


class NoType(ValueError):
    """A text that is no type; says what it should be."""


@dataclass(frozen=True)
class TensorType:
    """The type of a row, or of one of its named values.

    Attributes:
        datatype: a word of the Open Inference Protocol; empty: any.
        shape: sizes of the axes, -1 for any; None: not even their number is known.
    """

    datatype: str = ""
    shape: tuple[int, ...] | None = None

    @property
    def contents(self) -> str:
        """Return in words what the elements are; empty: anything."""
        return DATATYPES.get(self.datatype, "")

    def __str__(self) -> str:
        datatype = self.datatype or "anything"
        if self.shape is None:
            return f"{datatype} of any shape" if self.datatype else datatype
        return datatype + (f"[{','.join(map(str, self.shape))}]" if self.shape else "")


# Type of a row: of named values, of one, or not known.
RowType = Mapping[str, TensorType] | TensorType | None


def parse(text: str) -> TensorType:
    """Return the type that is written as `FP32[4]`, `INT64[-1,3]` or `BYTES`.

    Raises:
        NoType: it is none.
    """
    match = _WRITTEN.fullmatch(text)
    if match is None:
        raise NoType("a type such as `FP32[4]`, `INT64[-1,3]` or `BYTES` is wanted")
    if match["datatype"] not in DATATYPES:
        raise NoType(unknown(match["datatype"], "type of elements", DATATYPES))
    sizes = [size.strip() for size in (match["sizes"] or "").split(",")] if (match["sizes"] or "").strip() else []
    wrong = next((size for size in sizes if not re.fullmatch(r"-1|[0-9]+", size)), None)
    if wrong is not None:
        raise NoType(f"`{wrong}` is no size of an axis, a whole number is wanted, or -1 for any")
    return TensorType(match["datatype"], tuple(int(size) for size in sizes))


def mismatch(given: RowType, wanted: RowType) -> str:
    """Return why rows of one type cannot go where another is wanted; empty where they can, as far as is known."""
    if given is None or wanted is None:
        return ""
    if isinstance(wanted, Mapping):
        if not isinstance(given, Mapping):
            return _mismatch(given, next(iter(wanted.values()))) if len(wanted) == 1 else _unnamed(wanted)
        if len(given) == len(wanted) == 1:
            return _mismatch(*given.values(), *wanted.values())
        missing = [name for name in wanted if name not in given]
        if missing:
            return f"{_names(given)} given, {_names(missing)} wanted" + (" too" if len(missing) < len(wanted) else "")
        reasons = ((name, _mismatch(given[name], one)) for name, one in wanted.items())
        return next((f"`{name}`: {reason}" for name, reason in reasons if reason), "")
    if isinstance(given, Mapping):
        if len(given) == 1:
            return _mismatch(next(iter(given.values())), wanted)
        return f"{_names(given)} given, one value without a name, {wanted}, is wanted"
    return _mismatch(given, wanted)


def _mismatch(given: TensorType, wanted: TensorType) -> str:
    contents, other = given.contents, wanted.contents
    fits = not contents or not other or contents == other or contents in _BECOMES.get(other, ())
    if not fits or not _shapes_fit(given.shape, wanted.shape):
        return f"{given} is given, {wanted} is wanted"
    return ""


def _shapes_fit(given: tuple[int, ...] | None, wanted: tuple[int, ...] | None) -> bool:
    if given is None or wanted is None:
        return True
    # A single value is written with and without an axis of its own.
    if max(len(given), len(wanted)) == 1:
        given, wanted = given or (1,), wanted or (1,)
    return len(given) == len(wanted) and all(
        ANY in (one, other) or one == other for one, other in zip(given, wanted, strict=True)
    )


def _unnamed(wanted: Mapping[str, TensorType]) -> str:
    return f"one value without a name is given, {_names(wanted)} wanted"


def _names(names: Mapping[str, TensorType] | list[str]) -> str:
    quoted = [f"`{name}`" for name in names]
    return " and ".join(quoted) + (" is" if len(quoted) == 1 else " are")
