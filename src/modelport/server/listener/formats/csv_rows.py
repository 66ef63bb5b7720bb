"""Rows as comma-separated values without a header: numbers straight into an array, everything else as texts."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelport.core.errors import InvalidArgument
from modelport.server.encoding import json_body
from modelport.server.model import Batch
from modelport.server.rows import faithful_batch_of

_WHOLE = b"0123456789-,\r\n"
_NUMBERS = _WHOLE + b"+.eE \t"
_NUMBER = re.compile(r"\s*[+-]?(?:[0-9]+(?P<broken>\.[0-9]*)?|(?P<fraction>\.[0-9]+))(?P<exponent>[eE][+-]?[0-9]+)?\s*")
_MOST_DIGITS = 24  # of a whole number; what is longer is beyond 64 bits by far


def read(body: bytes) -> Batch:
    """Return a row for each line.

    Raises:
        InvalidArgument: the body is no text in UTF-8, or a quote is not closed.
    """
    if not body.strip():
        return []
    if not body.translate(None, _NUMBERS):
        dtype = np.float64 if body.translate(None, _WHOLE) else np.int64
        try:
            return np.loadtxt(io.BytesIO(body), dtype, delimiter=",", ndmin=2, comments=None)
        except (ValueError, OverflowError):  # of unequal length, missing values, or beyond 64 bits
            pass
    try:
        text = body.decode("utf-8-sig")
        rows = [
            [_value(field) for field in row] for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row
        ]
    except UnicodeDecodeError as error:
        raise InvalidArgument(f"The body is not UTF-8: {error}", hint="Send CSV as UTF-8") from error
    except csv.Error as error:
        raise InvalidArgument(f"The body is not CSV: {error}", hint="Quote texts with a comma or a quote") from error
    return faithful_batch_of(rows)


def written(rows: Sequence[Any] | NDArray[Any]) -> bytes:
    """Return a line for each row, which is a value or a list of values.

    Raises:
        InvalidArgument: a row has values of other kinds, such as lists; names the row.
    """
    if isinstance(rows, np.ndarray) and rows.dtype.kind in "biuf" and rows.ndim <= 2 and rows.size:
        return _numbers(rows)
    lines = [row.tolist() if isinstance(row, (np.ndarray, np.generic)) else row for row in rows]
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    for number, line in enumerate(lines):
        values = line if isinstance(line, list) else list(line.values()) if isinstance(line, dict) else [line]
        writer.writerow([_field(value, number) for value in values])
    try:
        return text.getvalue().encode()
    except UnicodeEncodeError as error:
        raise InvalidArgument(f"A text is not UTF-8: {error}", hint="Send text as UTF-8") from error


def _numbers(rows: NDArray[Any]) -> bytes:
    """Return numbers by way of JSON, which is written faster by far."""
    array = rows.astype(np.uint8) if rows.dtype.kind == "b" else rows
    text = json_body(array.reshape(len(array), -1))[2:-2]
    return text.replace(b"],[", b"\n").replace(b"null", b"nan") + b"\n"


def _value(field: str) -> Any:
    number = _NUMBER.fullmatch(field)
    if number is None:
        return field if field else None
    return (
        float(field)
        if number["broken"] or number["fraction"] or number["exponent"] or len(field) > _MOST_DIGITS
        else int(field)
    )


def _field(value: Any, number: int) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (str, int, float)):
        return value
    raise InvalidArgument(
        f"instances[{number}] has `{str(value)[:40]}`, which CSV cannot hold",
        hint="Send it as application/json",
        row=str(number),
    )
