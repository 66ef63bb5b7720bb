"""From the rows of a request, as JSON gives them, to a batch.

Rows of numbers become the array that `numpy.array` makes of them, in which null is NaN: int64, float64 where some are
broken, null or beyond 64 bits, uint64 where all are 2**63 or more, bool where all are true or false. Rows of anything
else, texts and objects above all, stay the list that they are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from modelport.core.errors import InvalidArgument
from modelport.server.bytes_in_json import place
from modelport.server.model import Batch

_OBJECT = np.dtype(object)
_EXACT = 2.0**53  # whole numbers up to here are a double
_NUMBERS = {int, float, bool, type(None)}


def batch_of(rows: list[Any], *, texts: bool = True) -> Batch:
    """Return an array where all rows are numbers, else the rows themselves.

    Args:
        rows: what was sent.
        texts: there may be texts in them; False saves looking for some.

    Raises:
        InvalidArgument: all rows are numbers, but not all are of one shape; names the first that differs.
    """
    # Never an array of texts: each would take the room of the longest.
    if not rows or (texts and not _only_numbers(rows)):
        return rows
    try:
        array = np.array(rows)
        if array.dtype is _OBJECT:  # null
            array = np.array(rows, np.float64)
    except TypeError:  # an empty object
        return rows
    except ValueError:
        if _only_numbers(rows):
            _shape(rows, ())
        return rows
    return array


def faithful_batch_of(rows: list[Any], *, texts: bool = True) -> Batch:
    """Return what `batch_of` does where that loses nothing, else the rows themselves; for what is only passed on.

    Rows of unequal length stay a list, and so do whole numbers that an array would round.
    """
    try:
        batch = batch_of(rows, texts=texts)
    except InvalidArgument:
        return rows
    if not rounds(batch):
        return batch
    numbers = np.array(rows, _OBJECT)
    flat = numbers.ravel()
    if all(type(one) is int and one >= 0 for one in flat):
        return numbers.astype(np.uint64)
    return rows if any(type(one) is int and abs(one) > _EXACT for one in flat) else batch


def rounds(batch: Batch) -> bool:
    """Return whether whole numbers may have been rounded when the array was made."""
    return isinstance(batch, np.ndarray) and batch.dtype == np.float64 and bool((np.abs(batch) >= _EXACT).any())


def _only_numbers(rows: list[Any]) -> bool:
    kinds = set(map(type, rows))
    return all(map(_is_numbers, rows)) if list in kinds else kinds <= _NUMBERS


def _is_numbers(value: Any) -> bool:
    return _only_numbers(value) if type(value) is list else type(value) in _NUMBERS


def _shape(value: Any, path: tuple[int, ...]) -> tuple[int, ...]:
    if type(value) is not list:
        return ()
    first: tuple[int, ...] = ()
    for number, entry in enumerate(value):
        shape = _shape(entry, (*path, number))
        if number == 0:
            first = shape
        elif shape != first:
            others = "the rows before" if not path else "those before"
            raise InvalidArgument(
                f"{place((*path, number))} {_words(shape, 'has')}, {others} {_words(first, 'have')}",
                hint="Send rows of one length; null stands for a missing number",
                row=str((*path, number)[0]),
            )
    return (len(value), *first)


def _words(shape: tuple[int, ...], have: str) -> str:
    if not shape:
        return "is a number" if have == "has" else "are numbers"
    if len(shape) == 1:
        return f"{have} {shape[0]} value{'' if shape[0] == 1 else 's'}"
    return f"{have} {' x '.join(map(str, shape))} values"
