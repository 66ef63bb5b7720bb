"""From predictions to the JSON of an answer.

Numbers keep their type: a float32 is written with the digits that single it out among the float32. NaN and infinity,
which JSON lacks, are null, or an error where the server is told so. Bytes are {"b64": ...}; sets are lists; decimals
and whole numbers are written with all their digits. Named columns become one object for each row.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from modelport.core.errors import Internal
from modelport.server.bytes_in_json import written
from modelport.server.foreign import as_array, as_batch
from modelport.server.model import Batch

_OPTIONS = orjson.OPT_SERIALIZE_NUMPY
_DEEPEST = 200


def encode(batch: Batch, *, finite: bool = False, member: str = "predictions") -> bytes:
    """Return `{"predictions": [...]}`.

    Args:
        batch: one prediction for each instance.
        finite: NaN and infinity are an error.
        member: the name that they stand under.

    Raises:
        Internal: a prediction cannot be written as JSON; says which one.
    """
    ready = type(batch) is list or (type(batch) is np.ndarray and batch.dtype.kind in "biuf" and batch.ndim)
    rows: Any = batch if ready else records(batch)
    if finite:
        require_finite(rows)
    try:
        return orjson.dumps({member: rows}, _plain, _OPTIONS)
    except TypeError:
        # Something that is rarely there, such as names that are no texts: once more, row by row.
        return orjson.dumps({member: [json_of(number, row) for number, row in enumerate(rows)]})


def json_body(value: Any, *, base64: bool = False) -> bytes:
    """Return any value as JSON, in the words that predictions are written in.

    Args:
        value: what may be in a prediction, such as columns by name.
        base64: bytes are a plain text in base64, as of servers that know from elsewhere where they have bytes.

    Raises:
        Internal: it cannot be written; says why.
    """
    try:
        return orjson.dumps(value, _plain_base64 if base64 else _plain, _OPTIONS)
    except TypeError:
        pass
    try:
        return _text(value, 0)
    except (TypeError, ValueError, RecursionError) as error:
        raise Internal(
            f"The rows cannot be written as JSON: {error}", hint="Give numbers, texts, lists, and objects of these"
        ) from error


def records(batch: Batch) -> list[Any] | NDArray[Any]:
    """Return one entry for each row, ready for `orjson` where that is quick to tell."""
    batch = as_batch(batch)
    if isinstance(batch, np.ndarray):
        return writable(batch)
    if not isinstance(batch, dict):
        return batch
    columns = [list(writable(values)) if isinstance(values, np.ndarray) else values for values in batch.values()]
    return [dict(zip(batch, row, strict=True)) for row in zip(*columns, strict=True)]


def writable(array: NDArray[Any]) -> NDArray[Any] | list[Any]:
    """Return an array that `orjson` writes as it is meant, or the list of its entries."""
    kind = array.dtype.kind
    if kind in "biuf" and array.dtype.itemsize <= 8:
        if array.flags.c_contiguous and array.dtype.isnative:
            return array
        return np.ascontiguousarray(array, array.dtype.newbyteorder("="))
    if kind == "M" and not np.isnat(array).any():
        return np.ascontiguousarray(array)
    if kind == "M":  # or the smallest of all dates would be written
        dates = array.astype("M8[us]").astype(object)
        dates[np.isnat(array)] = None
        return dates.tolist()  # type: ignore[no-any-return]
    if kind == "f":  # more digits than a double has are nothing that JSON's readers would keep
        return array.astype(np.float64)
    if kind == "V" and array.dtype.names is None:  # bfloat16 and other small floats
        return array.astype(np.float32)
    return array.tolist()  # type: ignore[no-any-return]


def _plain(value: Any) -> Any:
    """Return something that JSON has a word for; `orjson` asks for what it does not know."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return written(value)
    if isinstance(value, np.generic):
        return float(value) if isinstance(value, np.floating) else value.item()
    if isinstance(value, Decimal):
        return orjson.Fragment(str(value)) if value.is_finite() else None
    if isinstance(value, (set, frozenset)):
        try:
            return sorted(value)
        except TypeError:
            return list(value)
    if isinstance(value, tuple):
        return value._asdict() if hasattr(value, "_asdict") else list(value)
    if hasattr(value, "model_dump"):  # pydantic
        return value.model_dump()
    if hasattr(value, "isoformat"):  # kinds of datetime; the missing one differs from itself
        return value.isoformat() if value == value else None
    if type(value).__name__ == "NAType":  # pandas
        return None
    if isinstance(value, Mapping):
        return dict(value)
    array = as_array(value)
    if isinstance(array, np.ndarray):
        return writable(array)
    if array is None:
        raise TypeError(type(value).__name__)
    return array


def _plain_base64(value: Any) -> Any:
    plain = _plain(value)
    return plain["b64"] if isinstance(value, (bytes, bytearray, memoryview)) else plain


def json_of(number: int, row: Any) -> orjson.Fragment:
    """Return the prediction of a row as JSON.

    Raises:
        Internal: it cannot be written; names the row.
    """
    try:
        return orjson.Fragment(_text(row, 0))
    except (TypeError, ValueError, RecursionError) as error:
        raise Internal(
            f"predictions[{number}] cannot be written as JSON: {error}",
            hint="Give numbers, texts, lists, and objects of these",
            row=str(number),
        ) from error


def _text(value: Any, depth: int) -> bytes:
    if depth > _DEEPEST:
        raise TypeError(f"it is nested deeper than {_DEEPEST} levels")
    if isinstance(value, Mapping):
        members = (orjson.dumps(_name(name)) + b":" + _text(entry, depth + 1) for name, entry in value.items())
        return b"{" + b",".join(members) + b"}"
    if isinstance(value, (list, tuple)) and not hasattr(value, "_asdict"):
        return b"[" + b",".join(_text(entry, depth + 1) for entry in value) + b"]"
    if isinstance(value, int) and not isinstance(value, bool):
        return b"%d" % value
    try:
        return orjson.dumps(value, _plain, _OPTIONS)
    except TypeError as error:
        if isinstance(value, str):
            raise
        try:
            plain = _fields(value) if dataclasses.is_dataclass(value) else _plain(value)
        except TypeError:
            kind = type(value)
            raise TypeError(f"there is a `{kind.__module__}.{kind.__qualname__}` in it") from error
        return _text(plain, depth + 1)


def _fields(record: Any) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}


def _name(name: Any) -> str:
    if isinstance(name, (str, np.str_)):
        return str(name)
    plain = name.item() if isinstance(name, np.generic) else name
    if isinstance(plain, (int, float)) or plain is None:
        return orjson.dumps(plain).decode()
    return str(plain)


def require_finite(rows: list[Any] | NDArray[Any]) -> None:
    """Raise Internal where NaN or infinity is among predictions; names the first row with one."""
    if isinstance(rows, np.ndarray):
        if rows.dtype.kind != "f":
            return
        finite = np.isfinite(rows).all(axis=tuple(range(1, rows.ndim)))
        row = len(rows) if finite.all() else int(finite.argmin())
    else:
        row = next((number for number, entry in enumerate(rows) if not _finite(entry)), len(rows))
    if row < len(rows):
        raise Internal(
            f"predictions[{row}] is or holds NaN or infinity, which JSON cannot hold",
            hint="Correct the model, or let the server write null with --nan null",
            row=str(row),
        )


def _finite(value: Any) -> bool:
    if isinstance(value, (float, np.floating)):
        return math.isfinite(value)
    if isinstance(value, (list, tuple)):
        return all(map(_finite, value))
    if isinstance(value, Mapping):
        return all(map(_finite, value.values()))
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return bool(np.isfinite(value).all())
    return True
