"""One tensor of the Open Inference Protocol: from JSON or the binary extension to an array, and back.

Whole numbers are not rounded and nothing is cut off: a value that the datatype cannot hold is refused. FP16 is taken
and given in JSON too, as numbers; BF16, which numpy lacks, is float32 here and takes binary form only. The bytes of
BYTES are texts in JSON, or base64 where the tensor's `content_type` says so.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelport.core.errors import InvalidArgument
from modelport.server import bytes_in_json
from modelport.server.rows import batch_of

BYTES = "BYTES"
DTYPES = {
    "BOOL": np.dtype(np.bool_),
    **{f"UINT{bits}": np.dtype(f"uint{bits}") for bits in (8, 16, 32, 64)},
    **{f"INT{bits}": np.dtype(f"int{bits}") for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": np.dtype(f"float{bits}") for bits in (16, 32, 64)},
    BYTES: np.dtype(object),
}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}
BF16 = "BF16"
_MOST_AXES = 32
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor with its name; elements of BYTES are str or bytes, and float32 is sent as BF16 where `bf16` says so."""

    name: str
    array: NDArray[Any]
    parameters: dict[str, Any] = field(default_factory=dict)
    bf16: bool = False

    @property
    def datatype(self) -> str:
        """Return the protocol's word for the type of the elements."""
        return BF16 if self.bf16 else _NAMES[self.array.dtype]


def from_json(name: str, datatype: str, shape: tuple[int, ...], data: object, *, base64: bool = False) -> Tensor:
    """Return the tensor of `data`: a flat list in row-major order, nested lists, or an array of numbers read already.

    Raises:
        InvalidArgument: the data does not fill the shape, or holds something that is not of the datatype.
    """
    if isinstance(data, np.ndarray) and datatype in DTYPES and datatype != BYTES:
        return Tensor(name, _shaped(name, cast(name, data, datatype), shape))
    if not isinstance(data, list):
        raise _refused(name, "has no list `data`")
    if datatype == BYTES:
        array = _texts(name, data, base64=base64)
    elif datatype in DTYPES:
        array = cast(name, _numbers(name, data, datatype), datatype)
    else:
        raise _unknown(name, datatype)
    return Tensor(name, _shaped(name, array.ravel(), shape))


def from_binary(name: str, datatype: str, shape: tuple[int, ...], data: memoryview) -> Tensor:
    """Return the tensor of little-endian elements; those of BYTES have their length in front.

    Raises:
        InvalidArgument: the data does not fill the shape.
    """
    if datatype == BYTES:
        elements = list(_elements(name, data))
        array = np.empty(len(elements), dtype=object)
        array[:] = elements
    elif datatype == BF16:
        array = (_words(name, data, np.dtype("<u2")).astype(np.uint32) << 16).view(np.float32)
    elif datatype in DTYPES:
        array = _words(name, data, DTYPES[datatype].newbyteorder("<")).astype(DTYPES[datatype], copy=False)
    else:
        raise _unknown(name, datatype)
    return Tensor(name, _shaped(name, array, shape))


def cast(name: str, array: NDArray[Any], datatype: str) -> NDArray[Any]:
    """Return numbers as those of a datatype; `name` is that of their tensor.

    Raises:
        InvalidArgument: one of them is none of the datatype's.
    """
    dtype = DTYPES[datatype]
    if array.dtype == dtype or not array.size:
        return array.astype(dtype, copy=False)
    with np.errstate(over="ignore", invalid="ignore"):
        numbers = array.astype(dtype)
    bad = _lost(array, numbers)
    if bad.any():
        raise _refused(name, f"holds {array[bad].ravel()[0]}, which is no {datatype}")
    return numbers


def to_json(tensor: Tensor) -> dict[str, Any]:
    """Return a tensor as `orjson` writes it; bytes that are no text as base64, which the parameters then tell."""
    if tensor.bf16:
        raise _unknown(tensor.name, BF16)
    data: Any = np.ascontiguousarray(tensor.array.ravel())
    parameters = tensor.parameters
    if tensor.datatype == BYTES:
        data = data.tolist()
        try:
            data = [element.decode() if isinstance(element, bytes) else element for element in data]
        except UnicodeDecodeError:
            data = [bytes_in_json.written(_encoded(element))["b64"] for element in data]
            parameters = {**parameters, "content_type": "base64"}
    return _head(tensor, parameters) | {"data": data}


def to_binary(tensor: Tensor) -> tuple[dict[str, Any], bytes]:
    """Return what JSON tells about a tensor, and its data in binary form."""
    flat = tensor.array.ravel()
    if tensor.datatype == BYTES:
        encoded = [_encoded(element) for element in flat.tolist()]
        data = b"".join(part for element in encoded for part in (_LENGTH.pack(len(element)), element))
    else:
        flat = _bf16(flat) if tensor.bf16 else flat
        data = flat.astype(flat.dtype.newbyteorder("<"), copy=False).tobytes()
    return _head(tensor, {**tensor.parameters, "binary_data_size": len(data)}), data


def _head(tensor: Tensor, parameters: dict[str, Any]) -> dict[str, Any]:
    head = {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.array.shape)}
    return head | ({"parameters": parameters} if parameters else {})


def _numbers(name: str, data: list[Any], datatype: str) -> NDArray[Any]:
    try:
        array = batch_of(data)
    except InvalidArgument:
        raise _refused(name, "has nested lists of unequal length") from None
    if not data:
        return np.empty(0)
    if not isinstance(array, np.ndarray):
        raise _refused(name, "holds something that is not a number")
    if datatype == "UINT64" and array.dtype.kind == "f":
        # numpy knows no type for numbers on both sides of 2**63 and rounds them.
        exact = np.array(data, object).ravel()
        if all(type(one) is int and one >= 0 for one in exact):
            return exact.astype(np.uint64)
    return array


def _lost(array: NDArray[Any], cast: NDArray[Any]) -> Any:
    """Return where a number is another one after the cast; digits that a floating-point type lacks are not missed."""
    if cast.dtype.kind == "f":
        return np.isinf(cast) & np.isfinite(array.astype(np.float64))
    if cast.dtype.kind == "b":
        return (array != 0) & (array != 1)
    limits = np.iinfo(cast.dtype)
    if array.dtype.kind == "f":
        # The largest of 64 bits rounds up to a float that is beyond it.
        return (array != np.floor(array)) | (array < limits.min) | (array >= float(limits.max) + 1)
    return (array < limits.min) | (array > limits.max)


def _texts(name: str, data: list[Any], *, base64: bool) -> NDArray[Any]:
    flat = list(_flattened(data, _MOST_AXES))
    array = np.empty(len(flat), dtype=object)
    for index, element in enumerate(flat):
        if not isinstance(element, str):
            raise _refused(name, f"holds {element!r:.40} at position {index}, where texts are wanted")
        try:
            array[index] = bytes_in_json.read(element) if base64 else element
        except ValueError as error:
            raise _refused(name, f"is not base64 at position {index}: {error}") from None
    return array


def _flattened(data: list[Any], axes: int) -> Iterator[Any]:
    for element in data:
        if isinstance(element, list) and axes:
            yield from _flattened(element, axes - 1)
        else:
            yield element


def _elements(name: str, data: memoryview) -> Iterator[bytes]:
    start = 0
    while start < len(data):
        stop = start + _LENGTH.size
        if stop <= len(data):
            (length,) = _LENGTH.unpack(data[start:stop])
            start, stop = stop, stop + length
        if stop > len(data):
            raise _refused(name, f"ends in the middle of an element: {len(data)} bytes are there, {stop} are announced")
        yield bytes(data[start:stop])
        start = stop


def _words(name: str, data: memoryview, dtype: np.dtype[Any]) -> NDArray[Any]:
    if len(data) % dtype.itemsize:
        raise _refused(name, f"has {len(data)} bytes, no multiple of the {dtype.itemsize} of an element")
    return np.frombuffer(data, dtype).copy()  # in its own memory: aligned, and free to be changed


def _shaped(name: str, flat: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    wanted = math.prod(shape)
    if flat.size != wanted:
        raise _refused(name, f"has {flat.size} elements; its shape {list(shape)} wants {wanted}")
    return flat.reshape(shape)


def _bf16(numbers: NDArray[Any]) -> NDArray[Any]:
    """Return the upper halves of float32, rounded to the nearest, and to even where two are as near."""
    bits = numbers.view(np.uint32)
    rounded = (bits + (((bits >> 16) & 1) + 0x7FFF)) >> 16
    # Rounding could carry the bits of a NaN over into those of infinity.
    return np.where(np.isnan(numbers), (bits >> 16) | 0x40, rounded).astype(np.uint16)


def _encoded(element: str | bytes) -> bytes:
    return element.encode() if isinstance(element, str) else element


def _unknown(name: str, datatype: str) -> InvalidArgument:
    if datatype == BF16:
        return InvalidArgument(
            f"The input `{name}` is BF16, which JSON cannot hold", hint="Send it in binary form, or as FP32"
        )
    known = ", ".join(DTYPES)
    return InvalidArgument(
        f"The input `{name}` has the datatype `{datatype}`, which is not known", hint=f"Known: {known}"
    )


def _refused(name: str, what: str) -> InvalidArgument:
    return InvalidArgument(f"The input `{name}` {what}", input=name)
