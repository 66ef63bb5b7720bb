"""The acceptor: spreads connections evenly over workers that share a listening socket.

Left to the operating system, whichever process wakes first takes all that wait, and callers who keep their connections
stay where they are: one worker of two may serve everybody. So each worker tells, in memory that all share, how many
connections it has, and one with more than another leaves the next for a moment to that one.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress

from modelport.server.connections import Connections
from modelport.server.shares import Shares

_COURTESY_S = 0.001  # for a worker with fewer connections to take the next; it may be busy
_EXHAUSTED_S = 0.1  # before trying again when the process may open no more files

StartSoon = Callable[..., object]


class Acceptor:
    """Accepts for one worker."""

    def __init__(
        self,
        listener: socket.socket,
        connections: Connections,
        start_soon: StartSoon,
        shares: Shares,
        number: int,
        *,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Take what it needs; nothing is accepted before `start`.

        Args:
            listener: a listening socket that does not block.
            connections: makes the connections.
            start_soon: starts a coroutine in a task group.
            shares: of all workers.
            number: this worker's.
            loop: the event loop.
        """
        self._listener = listener
        self._connections = connections
        self._start_soon = start_soon
        self._shares = shares
        self._number = number
        self._loop = loop
        self._opening = 0
        self._gave_way = False
        self._pause: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Accept from now on."""
        self._connections.changed = self._tell
        self._tell()
        self._loop.add_reader(self._listener, self._accept)

    def stop(self) -> None:
        """Accept no more."""
        self._loop.remove_reader(self._listener)
        if self._pause is not None:
            self._pause.cancel()
        self._connections.changed = None
        self._shares.forget(self._number)
        self._listener.close()

    def _accept(self) -> None:
        if not self._gave_way and self._shares.another_has_fewer(self._number):
            self._gave_way = True
            self._wait(_COURTESY_S)
            return
        self._gave_way = False
        try:
            accepted, _ = self._listener.accept()
        except (BlockingIOError, ConnectionError):  # another worker was quicker, or the caller is gone
            return
        except OSError:
            self._wait(_EXHAUSTED_S)
            return
        accepted.setblocking(False)
        self._opening += 1
        self._tell()
        self._start_soon(self._open, accepted)

    async def _open(self, accepted: socket.socket) -> None:
        try:
            with suppress(OSError):  # the caller is gone
                await self._loop.connect_accepted_socket(self._connections, accepted)
        finally:
            self._opening -= 1
            self._tell()

    def _wait(self, seconds: float) -> None:
        self._loop.remove_reader(self._listener)
        self._pause = self._loop.call_later(seconds, self._go_on)

    def _go_on(self) -> None:
        self._pause = None
        self._loop.add_reader(self._listener, self._accept)

    def _tell(self) -> None:
        self._shares.tell(self._number, len(self._connections) + self._opening)
