"""Large blocks of numbers from JSON to an array without a Python object for each number.

A reader answers only where it can give the very array that `numpy.array` makes of the parsed rows: `instances` is a
regular block of numbers, however deep, or the `data` of every tensor a flat list of numbers. Everything else, faulty
bodies too, is left to the ordinary way.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import simdjson
from numpy.typing import NDArray

# Below this the ordinary way is as fast.
WORTHWHILE_BYTES = 4096
# A parser keeps its buffers, two to eight times the largest body so far, and is twice as fast for them. After a body
# larger than this it is let go, so that one large request does not hold memory for good.
_KEPT_BYTES = 16 * 1024**2
_MAX_DEPTH = 32

# Bodies of texts and images would be parsed for nothing: the first thing in `instances` must look like a number.
_NUMBERS_FIRST = rb'"%b"\s*:\s*\[[\s\[]*[-0-9]'
_FLAT_DATA_FIRST = re.compile(rb'"data"\s*:\s*\[\s*[-0-9]')
_HEAD_BYTES = 1024

# What can stand in a block of numbers beside its brackets and commas. Taking it out leaves the structure.
_NOT_STRUCTURE = b"0123456789.eE+- \t\r\n"
_BRACKET = ord("[")

Read = TypeVar("Read")


class NumberReader:
    """Reads large bodies; not for several threads at once."""

    def __init__(self, *, rows: str = "instances", tensors: str = "inputs") -> None:
        """Take the names of the members that hold rows, and tensors."""
        self._parser = simdjson.Parser()
        self._rows = rows
        self._tensors = tensors
        self._numbers_first = re.compile(_NUMBERS_FIRST % rows.encode())

    def read(self, body: bytes) -> tuple[NDArray[Any], dict[str, Any]] | None:
        """Return the rows of `{"instances": [...], ...}` and its other members; None where that is not possible."""
        return self._through(_read, body, self._rows) if self._numbers_first.search(body, 0, _HEAD_BYTES) else None

    def read_tensors(self, body: bytes) -> dict[str, Any] | None:
        """Return `{"inputs": [{"data": [...], ...}], ...}` with arrays for `data`; None where that is not possible."""
        return (
            self._through(_read_tensors, body, self._tensors) if _FLAT_DATA_FIRST.search(body, 0, _HEAD_BYTES) else None
        )

    def _through(self, read: Callable[[Any, bytes, str], Read | None], body: bytes, name: str) -> Read | None:
        try:
            # No variable here may refer into the document: the parser would refuse the next body.
            return read(self._parser.parse(body), body, name)
        except (ValueError, RuntimeError, MemoryError):  # not JSON, too deep, or a number beyond 64 bits
            return None
        finally:
            if len(body) > _KEPT_BYTES:
                self._parser = simdjson.Parser()


def _read(document: Any, body: bytes, rows: str) -> tuple[NDArray[Any], dict[str, Any]] | None:
    members = _members(document, rows)
    if members is None:
        return None
    names, block = list(members), members[rows]
    shape = _shape(block)
    if not shape:
        return None
    values = _values(block)
    # The count first: the structure of a first row that is not like the others may take more room than there is.
    if values is None or values.size != math.prod(shape) or not _regular(shape, names, body, rows):
        return None
    others = {name: _plain(value) for name, value in members.items() if name != rows}
    return values.reshape(shape), others


def _read_tensors(document: Any, body: bytes, listed: str) -> dict[str, Any] | None:
    members = _members(document, listed)
    if members is None or not isinstance(members[listed], simdjson.Array):
        return None
    tensors = [_read_tensor(one) for one in members[listed]]
    # The brackets of the list and of each shape and data: with no more of them, data has no lists in it.
    brackets = 1 + 2 * len(tensors)
    if None in tensors or int(np.count_nonzero(np.frombuffer(body, np.uint8) == _BRACKET)) != brackets:
        return None
    return {name: tensors if name == listed else _plain(value) for name, value in members.items()}


def _read_tensor(tensor: Any) -> dict[str, Any] | None:
    members = _members(tensor, "data")
    if members is None or not isinstance(members["data"], simdjson.Array):
        return None
    data = _values(members["data"])
    if data is None:
        return None
    return {name: data if name == "data" else _plain(value) for name, value in members.items()}


def _members(holder: Any, needed: str) -> dict[str, Any] | None:
    """Return the members of an object as they are in the document; None where `needed` is not among them."""
    if not isinstance(holder, simdjson.Object):
        return None
    names = list(holder.keys())
    if needed not in names or len(set(names)) < len(names):
        return None
    return {name: holder[name] for name in names}


def _shape(block: Any) -> tuple[int, ...]:
    """Return the shape that the first row, its first entry and so on suggest; nothing where one of them is empty."""
    shape: list[int] = []
    while isinstance(block, simdjson.Array):
        size = len(block)
        if not size or len(shape) == _MAX_DEPTH:
            return ()
        shape.append(size)
        block = block[0]
    return tuple(shape)


def _values(block: Any) -> NDArray[Any] | None:
    """Return all numbers in order, whatever the brackets between them; None where there are other things too."""
    try:
        return np.frombuffer(block.as_buffer(of_type="i"), np.int64)
    except TypeError:  # not only whole numbers
        pass
    try:
        return np.frombuffer(block.as_buffer(of_type="d"), np.float64)
    except TypeError:
        return None


def _regular(shape: tuple[int, ...], names: list[str], body: bytes, rows: str) -> bool:
    """Return whether the brackets of the member `rows` are those of an array of this shape.

    There are no texts in a block of numbers, so its structure follows right upon the start of the body, or ends it.
    Neither of two complete brackets can be the mere beginning or end of the other, so comparing there is enough.
    """
    structure = body.translate(None, _NOT_STRUCTURE)
    wanted = b"[" + b"," * (shape[-1] - 1) + b"]"
    for size in reversed(shape[:-1]):
        wanted = b"[" + (wanted + b",") * (size - 1) + wanted + b"]"
    if names[0] == rows:
        return structure.startswith(b'{"%b":' % rows.encode().translate(None, _NOT_STRUCTURE) + wanted)
    return names[-1] == rows and structure.endswith(wanted + b"}")


def _plain(value: Any) -> Any:
    if isinstance(value, simdjson.Object):
        return value.as_dict()
    if isinstance(value, simdjson.Array):
        return value.as_list()
    return value
