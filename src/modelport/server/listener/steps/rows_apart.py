"""Rows that go different ways: picked out of a batch, and put together again, each in its place; pure.

Arrays stay arrays wherever that leaves every value and its type as it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelport.core.errors import Internal
from modelport.server.model import Batch, rows_of

Rows = Sequence[int]  # numbers of rows in a request, ascending


@dataclass(frozen=True, slots=True)
class Part:
    """What was given for some rows of a request: entry i of the batch is for row `rows[i]`."""

    rows: Rows
    batch: Batch


def whole(batch: Batch) -> Part:
    """Return a batch as the part that has all rows of the request."""
    return Part(range(rows_of(batch)), batch)


def picked(batch: Batch, places: Rows) -> Batch:
    """Return the entries of a batch at these places; without copying arrays where they follow one another."""
    if isinstance(batch, dict):
        return {name: _picked(values, places) for name, values in batch.items()}
    return _picked(batch, places)  # type: ignore[no-any-return]


def narrowed(part: Part, rows: Rows) -> Batch:
    """Return what a part has for these rows, which are among its own."""
    if len(rows) == len(part.rows):
        return part.batch
    if part.rows == range(len(part.rows)):
        return picked(part.batch, rows)
    place = {row: index for index, row in enumerate(part.rows)}
    return picked(part.batch, [place[row] for row in rows])


def common(parts: Sequence[Part]) -> Rows:
    """Return the rows that are in all of the parts."""
    smallest = min(parts, key=lambda part: len(part.rows)).rows
    others = [set(part.rows) for part in parts if len(part.rows) > len(smallest) or part.rows != smallest]
    return [row for row in smallest if all(row in other for other in others)] if others else smallest


def matching(part: Part, wanted: Sequence[Any]) -> Rows:
    """Return the rows of a part for which one of these values was given.

    A row of one value counts as that value, whether it stands in a list, an array or the only column; bytes are
    compared as UTF-8.
    """
    batch = part.batch
    if isinstance(batch, dict) and len(batch) == 1 and not any(isinstance(one, Mapping) for one in wanted):
        (batch,) = batch.values()
    values = rows_in(batch)
    return [row for row, value in zip(part.rows, values, strict=True) if any(_is(value, one) for one in wanted)]


def first_of(parts: Sequence[Part]) -> Part:
    """Return for each row what the first part gives that has it."""
    taken: set[int] = set()
    kept = []
    for part in parts:
        rows = [row for row in part.rows if row not in taken]
        if rows:
            kept.append(Part(rows, narrowed(part, rows)))
            taken.update(rows)
    return together(kept)


def together(parts: Sequence[Part]) -> Part:
    """Return parts that have no row in common as one, rows ascending."""
    if not parts:
        return Part((), [])
    if len(parts) == 1:
        return parts[0]
    rows = [row for part in parts for row in part.rows]
    order = sorted(range(len(rows)), key=rows.__getitem__)
    return Part([rows[index] for index in order], picked(_joined([part.batch for part in parts]), order))


def columns_of(inputs: Mapping[str, Batch]) -> Batch:
    """Return what several sources give as the named columns that a model takes.

    A source that has columns itself, and more than one, gives them by their own names.

    Raises:
        Internal: two columns have one name.
    """
    if "" in inputs:
        return inputs[""]
    columns: dict[str, Any] = {}
    for name, batch in inputs.items():
        of_source = {name: batch}
        if isinstance(batch, dict):
            of_source = batch if len(batch) > 1 else dict.fromkeys([name], next(iter(batch.values()), []))
        for column, values in of_source.items():
            if column in columns:
                raise Internal(
                    f"Two of the sources give a column `{column}`", hint="Name the sources: `from: {INPUT: STEP}`"
                )
            columns[column] = values
    return columns


def rows_in(batch: Batch) -> list[Any]:
    """Return the rows one by one: of columns, an object for each."""
    if isinstance(batch, dict):
        columns = [rows_in(values) for values in batch.values()]
        return [dict(zip(batch, row, strict=True)) for row in zip(*columns, strict=True)]
    return batch.tolist() if isinstance(batch, np.ndarray) else batch


def _picked(values: Any, places: Rows) -> Any:
    if not places:
        return values[:0]
    start, stop = places[0], places[-1] + 1
    if len(places) == stop - start and all(map(int.__eq__, places, range(start, stop))):
        return values if len(places) == len(values) else values[start:stop]
    return values[np.asarray(places)] if isinstance(values, np.ndarray) else [values[place] for place in places]


def _joined(batches: list[Batch]) -> Batch:
    first = batches[0]
    if isinstance(first, dict) and all(isinstance(one, dict) and one.keys() == first.keys() for one in batches):
        return {name: _one_after_another([one[name] for one in batches]) for name in first}  # type: ignore[call-overload]
    if any(isinstance(one, dict) for one in batches):
        return [row for one in batches for row in rows_in(one)]
    return _one_after_another(batches)  # type: ignore[no-any-return]


def _one_after_another(parts: list[Any]) -> Any:
    kinds = {(one.dtype, one.shape[1:]) if isinstance(one, np.ndarray) else None for one in parts}
    if len(kinds) == 1 and None not in kinds:
        return np.concatenate(parts)
    # Not one array of what is whole here and broken there: each value stays what its branch gave.
    return [row for one in parts for row in rows_in(one)]


def _is(value: Any, wanted: Any) -> bool:
    if not isinstance(wanted, list):
        while isinstance(value, list) and len(value) == 1:
            (value,) = value
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, bytes) and isinstance(wanted, str):
        return value == wanted.encode()
    return bool(value == wanted)
