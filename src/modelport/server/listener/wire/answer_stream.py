"""An answer of a model server that is passed on while it comes; the model server waits for a reader who is slow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from modelport.server.listener.formats.base import Message

_MOST_BYTES = 256 * 1024  # above this no more is read before some of it has been taken


class AnswerStream:
    """A body on its way: filled by a connection, emptied by one reader.

    Attributes:
        head: the answer without its body.
        on_end: called once, when the answer is whole, cut off or given up.
    """

    def __init__(self, head: Message, transport: asyncio.Transport, *, loop: asyncio.AbstractEventLoop) -> None:
        self.head = head
        self.on_end: Callable[[], None] | None = None
        self._transport = transport
        self._loop = loop
        self._pieces: list[bytes] = []
        self._size = 0
        self._paused = False
        self._over = False
        self._error: Exception | None = None
        self._stirred: asyncio.Future[None] | None = None

    # What the connection calls.

    def put(self, piece: bytes) -> None:
        """Take a piece of the body."""
        if not piece or self._over:
            return
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > _MOST_BYTES and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        self._stir()

    def end(self, error: Exception | None = None) -> None:
        """Note that the body is whole, or why it is not."""
        if self._over:
            return
        self._resume()  # the connection may serve others now
        self._over = True
        self._error = error
        self._stir()
        if self.on_end is not None:
            self.on_end()

    # What the reader calls.

    async def next(self) -> bytes:
        """Return what has come, as soon as there is some of it; empty at the end.

        Raises:
            ModelServerDown: it was cut off.
            ModelServerGarbled: it ended in something that is not HTTP.
            ConnectionAbortedError: it was given up.
        """
        while not self._pieces and not self._over:
            self._stirred = self._loop.create_future()
            await self._stirred
        pieces, self._pieces, self._size = self._pieces, [], 0
        self._resume()
        if not pieces and self._error is not None:
            raise self._error
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def give_up(self) -> None:
        """Want no more of it; where it is not whole its connection is cut, as more would come."""
        if not self._over:
            self._pieces = []
            self._transport.abort()
            self.end(ConnectionAbortedError())

    def _resume(self) -> None:
        if self._paused and not self._over:
            self._paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def _stir(self) -> None:
        if self._stirred is not None and not self._stirred.done():
            self._stirred.set_result(None)
