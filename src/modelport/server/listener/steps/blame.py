"""Which step of a stack an error is of, and which row of the caller's; pure."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

from modelport.core.errors import Error
from modelport.server.failures import RowFailure, as_error


def blamed(error: Exception, step: str, rows: Sequence[int]) -> Exception:
    """Return an error as that of a step, its rows counted as the caller counts them.

    Args:
        error: what the step raised.
        step: its name.
        rows: the numbers that the rows which the step was given have in the request.
    """
    if isinstance(error, RowFailure):
        return renumbered(RowFailure(error.row, _of(error.error, step)), rows)
    return renumbered(_of(error, step), rows)


def renumbered(error: Exception, rows: Sequence[int]) -> Exception:
    """Return an error of some rows of a request as one of the whole request; what names no row is left as it is."""
    if isinstance(error, RowFailure):  # whoever writes it puts the row's number into the text
        return RowFailure(_at(error.row, rows), error.error)
    if not isinstance(error, Error) or not (seen := error.metadata.get("row", "")).isdigit():
        return error
    row = _at(int(seen), rows)
    here, there = f"instances[{seen}]", f"instances[{row}]"
    told = copy.copy(error)  # several callers may have been told the same one
    told.message = error.message.replace(here, there)
    told.args = (told.message,)
    told.metadata = {**error.metadata, "row": str(row)}
    told.violations = tuple(replace(one, field=one.field.replace(here, there, 1)) for one in error.violations)
    return told


def _of(error: Exception, step: str) -> Error:
    known = as_error(error, who=f"The step `{step}`", wants="what it takes")
    told = copy.copy(known)
    told.metadata = {**known.metadata, "step": step}
    return told


def _at(row: int, rows: Sequence[int]) -> int:
    return rows[row] if row < len(rows) else row
