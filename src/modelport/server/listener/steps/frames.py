"""Python objects over a socket between processes of one listener: a pickle, and beside it the memory of its arrays.

Arrays are written from where they are and read to where they will be, with no copy but the kernel's. Memory that both
processes share would save that one too, but costs more to set up than it saves below tens of megabytes.
"""

from __future__ import annotations

import pickle
import socket
import struct
from typing import Any

_COUNT = struct.Struct("!I")
_SIZE = struct.Struct("!Q")


def packed(value: Any) -> list[bytes | memoryview]:
    """Return what is sent for an object, in order. Raises whatever its pickling raises."""
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    memory = [buffer.raw() for buffer in buffers]
    sizes = b"".join(_SIZE.pack(size) for size in (len(head), *(one.nbytes for one in memory)))
    return [_COUNT.pack(len(memory) + 1) + sizes + head, *memory]


def send(sock: socket.socket, parts: list[bytes | memoryview]) -> None:
    """Send what `packed` returned."""
    for part in parts:
        sock.sendall(part)


def receive(sock: socket.socket) -> list[bytearray]:
    """Return what `packed` returned at the other side, whole. Raises EOFError where that is gone."""
    (count,) = _COUNT.unpack(_read(sock, _COUNT.size))
    sizes = _read(sock, count * _SIZE.size)
    return [_read(sock, size) for (size,) in _SIZE.iter_unpack(sizes)]


def unpacked(parts: list[bytearray]) -> Any:
    """Return the object that was sent. Raises whatever its unpickling raises."""
    head, *memory = parts
    return pickle.loads(head, buffers=memory)


def _read(sock: socket.socket, size: int) -> bytearray:
    memory = bytearray(size)
    left = memoryview(memory)
    while left:
        read = sock.recv_into(left)
        if not read:
            raise EOFError
        left = left[read:]
    return memory
