"""From rows to named tensors: arrays of the names, types and shapes that a model of a deep-learning framework wants.

What does not fit is refused here, with the row and the input at fault, before the framework sees it: its own messages
speak of graph nodes and kernels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelport.core.errors import InvalidArgument
from modelport.server.model import Array, Batch, TensorInfo

TEXT = np.dtype(object)  # of tensors of strings: every element is bytes

_DATATYPES = {
    "bool": "BOOL",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "float16": "FP16",
    "bfloat16": "BF16",
    "float32": "FP32",
    "float64": "FP64",
    "object": "BYTES",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """An input as the model declares it.

    Attributes:
        name: its name; callers may leave it out where it is the only input.
        dtype: the element type; `TEXT` for strings, None where the model takes what it is given.
        shape: with the axis of the rows in front, -1 is any size; None where the model does not tell, and empty where
            the input is one value for all rows.
    """

    name: str
    dtype: np.dtype[Any] | None
    shape: tuple[int, ...] | None

    @property
    def row_shape(self) -> tuple[int, ...] | None:
        """Return the shape of one row."""
        return None if self.shape is None else self.shape[1:]


def tensor_info(tensor: Wanted) -> TensorInfo:
    """Return an input or output as the Open Inference Protocol names it; what is not known is rows of numbers."""
    return TensorInfo(tensor.name, _datatype(tensor.dtype), (-1,) if tensor.shape is None else tensor.shape)


def _datatype(dtype: np.dtype[Any] | None) -> str:
    return "FP32" if dtype is None else _DATATYPES.get(dtype.name, dtype.name.upper())


def named_tensors(batch: Batch, wanted: Sequence[Wanted]) -> dict[str, Array]:
    """Return an array for each wanted input, of its type, with one entry for each row.

    Rows are objects with a value for each name, or the bare values where there is one input.

    Raises:
        InvalidArgument: a row lacks an input, or has a value of another type or shape.
    """
    only = wanted[0] if len(wanted) == 1 else None
    if isinstance(batch, dict):
        _same_names(batch, wanted)
        if len({len(column) for column in batch.values()}) > 1:
            lengths = ", ".join(f"`{name}` {len(column)}" for name, column in batch.items())
            raise InvalidArgument(f"The inputs have different numbers of rows: {lengths}")
        return {one.name: _tensor(batch[one.name], one) for one in wanted}
    if isinstance(batch, list) and batch and any(isinstance(row, dict) for row in batch):
        for index, row in enumerate(batch):
            if not isinstance(row, dict):
                raise _refused(index, "", f"is {_described(row)}, and others are objects")
            _same_names(row, wanted, index)
        return {one.name: _tensor([row[one.name] for row in batch], one) for one in wanted}
    if only is None:
        names = ", ".join(f"`{one.name}`" for one in wanted)
        what = _described(batch[0]) if len(batch) else "nothing"
        raise _refused(0, "", f"is {what}; an object with {names} is wanted")
    return {only.name: _tensor(batch, only)}


def _same_names(row: dict[str, Any], wanted: Sequence[Wanted], index: int | None = None) -> None:
    if len(row) == len(wanted) and all(one.name in row for one in wanted):
        return
    names = {one.name for one in wanted}
    absent = next((name for name in names if name not in row), None)
    if absent is not None:
        there = ", ".join(f"`{name}`" for name in row) or "nothing"
        what, name = f"lacks the input `{absent}`; it has {there}", absent
    else:
        name = next(name for name in row if name not in names)
        what = f"has `{name}`, which is no input of the model"
    hint = f"Send {', '.join(f'`{one.name}`' for one in wanted)}"
    if index is None:
        raise InvalidArgument(f"The request {what}", hint=hint, input=name)
    raise InvalidArgument(f"instances[{index}] {what}", hint=hint, input=name, row=str(index))


def _tensor(column: Any, wanted: Wanted) -> Array:
    array = column if isinstance(column, np.ndarray) else _array(column, wanted)
    if wanted.shape == ():
        return _one_value(_cast(array, wanted), wanted)
    row_shape = wanted.row_shape
    if row_shape is not None and array.shape[1:] != row_shape and not _fits(array.shape[1:], row_shape):
        raise _refused(0, wanted.name, f"has shape {_shape(array.shape[1:])}; {_wish(wanted)} is wanted")
    return array if array.dtype == wanted.dtype else _cast(array, wanted)


def _fits(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return len(shape) == len(wanted) and all(want in (-1, size) for size, want in zip(shape, wanted, strict=True))


def _array(column: Sequence[Any], wanted: Wanted) -> Array:
    """Return the rows as one array; where they do not make one, find the row that is to blame."""
    text = wanted.dtype == TEXT or (wanted.dtype is None and _first_leaf(column, (str, bytes)))
    try:
        array = np.array(column, dtype=object) if text else np.array(column)
    except (ValueError, OverflowError):
        array = None
    if array is not None and (array.dtype.kind in "biuf" or text):
        return array
    first = None
    for index, value in enumerate(column):
        try:
            row = np.array(value, dtype=object) if text else np.array(value)
        except (ValueError, OverflowError):
            raise _refused(index, wanted.name, f"holds lists of unequal length; {_wish(wanted)} is wanted") from None
        if row.dtype.kind not in "biuf" and not text:
            leaf = next(_odd_leaves(value), value)
            raise _refused(index, wanted.name, f"holds {_described(leaf)}; {_wish(wanted)} is wanted")
        if first is None:
            first = row.shape
        if wanted.row_shape is not None and not _fits(row.shape, wanted.row_shape):
            raise _refused(index, wanted.name, f"has shape {_shape(row.shape)}; {_wish(wanted)} is wanted")
        if row.shape != first:
            raise _refused(index, wanted.name, f"has shape {_shape(row.shape)}, and the rows before it {_shape(first)}")
    raise _refused(0, wanted.name, f"makes no tensor with the other rows; {_wish(wanted)} is wanted")


def _cast(array: Array, wanted: Wanted) -> Array:
    dtype, kind = wanted.dtype, array.dtype.kind
    if array.dtype == TEXT and (dtype is None or dtype == TEXT):
        return _encoded(array, wanted)
    if dtype is None:
        return array
    if dtype == TEXT or (kind not in "biuf") or (dtype.kind == "b") != (kind == "b"):
        leaf = array.ravel()[0] if array.size else array.dtype.name
        raise _refused(0, wanted.name, f"holds {_described(leaf)}; {_wish(wanted)} is wanted")
    if dtype.kind in "iu":
        return _whole(array, wanted, dtype)
    with np.errstate(over="raise"):
        try:
            return array.astype(dtype)
        except FloatingPointError:
            largest = float(np.finfo(dtype).max)
            index = _row_of(np.isfinite(array) & (np.abs(array) > largest))
            what = f"holds a number beyond {largest:.3g}, the largest of {_wish(wanted)}"
            raise _refused(index, wanted.name, what) from None


def _whole(array: Array, wanted: Wanted, dtype: np.dtype[Any]) -> Array:
    if array.dtype.kind == "f":
        broken = array != np.floor(array)
        if broken.any():
            value = array[broken].ravel()[0]
            raise _refused(_row_of(broken), wanted.name, f"holds {value}; whole numbers ({_wish(wanted)}) are wanted")
    if not np.can_cast(array.dtype, dtype):
        limits = np.iinfo(dtype)
        beyond = (array < limits.min) | (array > limits.max)
        if beyond.any():
            value = array[beyond].ravel()[0]
            raise _refused(_row_of(beyond), wanted.name, f"holds {value}, which {_wish(wanted)} cannot hold")
    return array.astype(dtype)


def _encoded(array: Array, wanted: Wanted) -> Array:
    flat = array.ravel()
    values = np.empty(len(flat), dtype=object)
    for position, value in enumerate(flat):
        if isinstance(value, str):
            values[position] = value.encode()
        elif isinstance(value, bytes):
            values[position] = value
        else:
            row = position // max(1, len(flat) // max(1, len(array)))
            raise _refused(row, wanted.name, f'holds {_described(value)}; a text or {{"b64": …}} is wanted')
    return values.reshape(array.shape)


def _one_value(array: Array, wanted: Wanted) -> Array:
    if array.ndim != 1:
        raise _refused(0, wanted.name, f"has shape {_shape(array.shape[1:])}; a single value is wanted")
    differing = array != array[0]
    if differing.any():
        raise _refused(
            _row_of(differing), wanted.name, "differs from that of instances[0]; one value for all rows is wanted"
        )
    return np.asarray(array[0], dtype=array.dtype)


def _row_of(found: Array) -> int:
    return int(np.argwhere(found)[0][0])


def _first_leaf(value: Any, kinds: tuple[type, ...]) -> bool:
    while isinstance(value, (list, tuple)) and value:
        value = value[0]
    return isinstance(value, kinds)


def _odd_leaves(value: Any) -> Iterator[Any]:
    """Give what in nested lists is no number."""
    if isinstance(value, list):
        for one in value:
            yield from _odd_leaves(one)
    elif not isinstance(value, (int, float)):
        yield value


def _described(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, (list, np.ndarray)):
        return "a list"
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, str):
        return f'the text "{value[:40]}"'
    return f"`{value}`" if not isinstance(value, bool | np.bool_) else f"`{str(value).lower()}`"


def _wish(wanted: Wanted) -> str:
    datatype = "a tensor" if wanted.dtype is None else _datatype(wanted.dtype)
    return datatype if wanted.row_shape is None else f"{datatype} of shape {_shape(wanted.row_shape)}"


def _shape(shape: tuple[int, ...]) -> str:
    return "[" + ", ".join("any" if size == -1 else str(size) for size in shape) + "]"


def _refused(index: int, name: str, what: str) -> InvalidArgument:
    if not name:
        return InvalidArgument(f"instances[{index}] {what}", row=str(index))
    return InvalidArgument(f"instances[{index}]: the input `{name}` {what}", row=str(index), input=name)
