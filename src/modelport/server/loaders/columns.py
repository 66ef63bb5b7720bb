"""Rows as the table that a model was fitted on: columns in its order, as numbers or as a DataFrame.

What does not fit is refused here, with the row and the column at fault: the frameworks' own messages name neither.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from modelport.core.errors import InvalidArgument
from modelport.server.model import Array, Batch

# By column, the values in the order of the training; None where the model knows them itself.
Categories = Mapping[str, Sequence[Any] | None]

_NUMBERS = {int, float, bool, type(None)}
_LISTED = 20


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a model: their names, empty where it was fitted without, and how many they are."""

    names: tuple[str, ...]
    count: int

    def ordered(self, batch: Batch) -> Array | list[list[Any]]:
        """Return rows with a value for each column, in order; arrays as they are.

        Raises:
            InvalidArgument: a row lacks a column, has one that is unknown, or has too few or too many values.
        """
        if isinstance(batch, np.ndarray):
            return batch
        if isinstance(batch, dict):
            return self._together(batch)
        names, count = self.names, self.count
        known = frozenset(names)
        rows: list[list[Any]] = []
        for index, row in enumerate(batch):
            if isinstance(row, dict) and names:
                if row.keys() != known:
                    raise self._misnamed(index, row)
                rows.append([row[name] for name in names])
            elif isinstance(row, (list, np.ndarray)):
                if len(row) != count:
                    raise _refused(index, f"has {len(row)} values; the model takes {self._wish()}")
                rows.append(row if isinstance(row, list) else row.tolist())
            else:
                raise _refused(index, f"is {described(row)}; the model takes a list of {self._wish()}")
        return rows

    def numbers(self, batch: Batch) -> Array:
        """Return rows as an array of numbers; null is NaN.

        Raises:
            InvalidArgument: as `ordered`, or a value is not a number.
        """
        array = self.values(batch)
        if array.dtype == object:
            index, column = next(
                (index, column)
                for index, row in enumerate(array)
                for column, value in enumerate(row)
                if type(value) not in _NUMBERS
            )
            raise _refused(index, f"has {described(array[index, column])} for {self.named(column)}; a number is wanted")
        return array

    def values(self, batch: Batch) -> Array:
        """Return rows as an array: of numbers where all values are, else of objects; null is NaN among numbers.

        Raises:
            InvalidArgument: as `ordered`.
        """
        rows = self.ordered(batch)
        if isinstance(rows, np.ndarray):
            if rows.ndim == 2 and rows.shape[1] != self.count:
                raise _refused(0, f"has {rows.shape[1]} values; the model takes {self._wish()}")
            if rows.ndim != 2:
                raise _refused(0, f"is {_shape(rows)}; the model takes a list of {self._wish()}")
            return rows
        array = np.empty((len(rows), self.count), dtype=object)
        for index, row in enumerate(rows):
            try:
                array[index] = row
            except ValueError:
                raise _refused(index, f"holds a list; the model takes {self._wish()} single values") from None
        array = typed(array)
        if array.dtype == object:
            self._single_values(array)
        return array

    def frame(self, batch: Batch, pandas: Any, categories: Categories = MappingProxyType({})) -> Any:
        """Return rows as a DataFrame: each column of numbers where all its values are, else of objects.

        What a value becomes does not depend on the other rows of a call, which may be other callers': null is NaN, and
        so is what is not among the categories of its column.

        Raises:
            InvalidArgument: as `ordered`.
        """
        array = self.values(batch)
        if array.dtype != object:
            frame = pandas.DataFrame(array, columns=list(self.names))
        else:
            columns = (typed(np.array([math.nan if v is None else v for v in column], object)) for column in array.T)
            frame = pandas.DataFrame({at: pandas.Series(one, dtype=one.dtype) for at, one in enumerate(columns)})
            frame.columns = list(self.names)
        for name, known in categories.items():
            values = frame[name] if known is None else frame[name].where(frame[name].isin(known))
            frame[name] = pandas.Categorical(values, categories=known)
        return frame

    def _single_values(self, array: Array) -> None:
        for index, row in enumerate(array):
            for column, value in enumerate(row):
                if isinstance(value, (list, dict)):
                    raise _refused(index, f"has {described(value)} for {self.named(column)}; a single value is wanted")

    def _together(self, batch: dict[str, Any]) -> Array:
        """Return named columns side by side; a single tensor of all columns is that already."""
        if len(batch) == 1 and (self.count != 1 or self.names[:1] != tuple(batch)):
            only = next(iter(batch.values()))
            return np.asarray(only)
        if self.names and batch.keys() != frozenset(self.names):
            raise self._misnamed(None, batch)
        columns = [batch[name] for name in self.names] or list(batch.values())
        flat = [np.asarray(column).reshape(len(column), -1) for column in columns]
        return np.concatenate(flat, axis=1, dtype=None)

    def _misnamed(self, index: int | None, row: dict[str, Any]) -> InvalidArgument:
        where = "The request" if index is None else f"instances[{index}]"
        place: dict[str, Any] = {} if index is None else {"row": str(index)}
        missing = [name for name in self.names if name not in row]
        unknown = [name for name in row if name not in set(self.names)]
        parts = []
        if missing:
            parts.append(f"lacks the column{'s' * (len(missing) > 1)} {_listed(missing)}")
        if unknown:
            parts.append(f"has {_listed(unknown)}, which the model was not fitted with")
        return InvalidArgument(
            f"{where} {' and '.join(parts)}",
            hint=f"Send every column of the model: {_listed(self.names)}",
            column=(missing or unknown)[0],
            **place,
        )

    def _wish(self) -> str:
        return f"{self.count}" + (f" ({_listed(self.names)})" if self.names else "")

    def named(self, column: int) -> str:
        """Return what a column is called in messages."""
        return f"`{self.names[column]}`" if self.names else f"column {column}"


def typed(array: Array) -> Array:
    """Return objects as numbers where they all are: null is NaN, whole numbers stay whole; else the array itself."""
    kinds = {type(value) for value in array.ravel()}
    if not kinds <= _NUMBERS:
        return array
    if kinds == {bool}:
        return array.astype(bool)
    if kinds == {int}:
        try:
            return array.astype(np.int64)
        except OverflowError:
            pass
    return array.astype(np.float64)


def not_finite(array: Any) -> tuple[int, int] | None:
    """Return row and column of the first value that is NaN or infinite; None where there is none, or no numbers."""
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f" or array.ndim != 2:
        return None
    found = np.argwhere(~np.isfinite(array))
    return (int(found[0][0]), int(found[0][1])) if len(found) else None


def described(value: Any) -> str:
    """Return what a value of JSON is, for a message."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case str():
            return f'the text "{value[:40]}"'
        case dict():
            return "an object"
        case list():
            return "a list"
        case bytes():
            return f"{len(value)} bytes"
        case _:
            return f"{value}"


def _shape(rows: Array) -> str:
    return f"{rows[0]}" if rows.ndim == 1 and len(rows) else "a list of lists"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(f"`{name}`" for name in names[:_LISTED]) + more


def _refused(index: int, what: str) -> InvalidArgument:
    return InvalidArgument(f"instances[{index}] {what}", row=str(index))
