"""The values of rows, whatever they are made of, as one array: of numbers, or of texts and bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelport.server import tensors
from modelport.server.encoding import writable
from modelport.server.foreign import as_array
from modelport.server.listener.validation.tensor_types import ANY, TensorType
from modelport.server.model import Batch
from modelport.server.rows import batch_of
from modelport.server.tensors import BYTES


class NoTensor(Exception):
    """Values make no tensor; `row` is the first that does not, where it can be told."""

    def __init__(self, what: str, row: int | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.row = row


def array_of(values: Any, type: TensorType) -> NDArray[Any]:
    """Return values, one for each row, as an array of numbers, or one of texts and bytes.

    Raises:
        NoTensor: they are neither, or not of one shape.
        InvalidArgument: they are numbers, but not of one shape.
    """
    if isinstance(values, np.ndarray) and values.dtype.kind in "biuf" and type.datatype != BYTES:
        return values
    if isinstance(values, np.ndarray) and values.dtype.kind not in "USO":
        plain: Any = writable(values)
        if isinstance(plain, np.ndarray) and plain.dtype.kind in "biuf" and type.datatype != BYTES:
            return plain
        values = plain
    rows = values.tolist() if isinstance(values, np.ndarray) else list(values)
    rows = [_plain(row) for row in rows]
    if not rows:
        return np.empty((0, *(max(size, 0) for size in type.shape or ())), tensors.DTYPES.get(type.datatype))
    if type.datatype == BYTES or (not type.datatype and _has_text(rows[0])):
        return _texts(rows)
    array = _numbers(rows, type)
    if not isinstance(array, np.ndarray):
        for number, row in enumerate(rows):
            if not isinstance(batch_of([row]), np.ndarray):
                raise NoTensor(f"holds {_seen(row)}, which is no number", number)
        raise NoTensor("are not numbers of one shape")
    return array


def _plain(row: Any) -> Any:
    """Return an entry without arrays in it."""
    if isinstance(row, (np.ndarray, np.generic)):
        return row.tolist()
    if isinstance(row, (list, tuple)):
        return (
            [_plain(one) for one in row] if any(isinstance(one, (np.ndarray, np.generic)) for one in row) else list(row)
        )
    if isinstance(row, (str, bytes, int, float, Mapping)) or row is None:
        return row
    array = as_array(row)
    return array.tolist() if isinstance(array, np.ndarray) else row if array is None else array


def _numbers(rows: list[Any], type: TensorType) -> Batch:
    array = batch_of(rows)
    if type.datatype == "UINT64" and isinstance(array, np.ndarray) and array.dtype.kind == "f":
        # numpy knows no type for numbers on both sides of 2**63 and rounds them.
        exact = np.array(rows, object)
        if all(isinstance(one, int) and 0 <= one < 2**64 for one in exact.ravel()):
            return exact.astype(np.uint64)
    return array


def _has_text(row: Any) -> bool:
    while isinstance(row, list) and row:
        row = row[0]
    return isinstance(row, (str, bytes))


def _texts(rows: list[Any]) -> NDArray[Any]:
    shape = _shape_of(rows[0])
    elements: list[Any] = []
    for number, row in enumerate(rows):
        if _shape_of(row) != shape:
            raise NoTensor(f"has {_sized(_shape_of(row))}, the rows before have {_sized(shape)}", number)
        flat = _flat(row, len(shape), number)
        for element in flat:
            if not isinstance(element, (str, bytes)):
                raise NoTensor(f"holds {_seen(element)}, which is no text", number)
        elements.extend(flat)
    if any(isinstance(one, str) and not _encodable(one) for one in elements):
        raise NoTensor("hold a text with half a surrogate pair, which is not UTF-8")
    array = np.empty(len(elements), object)
    array[:] = elements
    return array.reshape(len(rows), *shape)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shape_of(row: Any) -> tuple[int, ...]:
    shape = []
    while isinstance(row, list):
        shape.append(len(row))
        row = row[0] if row else None
    return tuple(shape)


def _flat(row: Any, axes: int, number: int) -> list[Any]:
    values = [row]
    for _ in range(axes):
        if not all(isinstance(one, list) and len(one) == len(values[0]) for one in values):
            raise NoTensor("has lists of unequal length in it", number)
        values = [one for inner in values for one in inner]
    return values


def fitting(array: NDArray[Any], type: TensorType) -> NDArray[Any]:
    """Return an array with the axes of the type; a single value is one with and without an axis of its own.

    Raises:
        NoTensor: its rows have another shape.
    """
    if type.shape is None:
        return array
    row = array.shape[1:]
    if len(row) == len(type.shape) and all(want in (ANY, size) for size, want in zip(row, type.shape, strict=True)):
        return array
    if not row and all(size in (ANY, 1) for size in type.shape):
        return array.reshape(len(array), *(1 for _ in type.shape))
    if not type.shape and all(size == 1 for size in row):
        return array.reshape(len(array))
    raise NoTensor(f"has {_sized(row)}", 0)


def _sized(shape: tuple[int, ...]) -> str:
    if not shape:
        return "a single value"
    return f"{' x '.join(map(str, shape))} value{'' if shape == (1,) else 's'}"


def _seen(value: Any) -> str:
    text = repr(value)
    return f"`{text[:40]}{'…' if len(text) > 40 else ''}`"
