"""The open connections of a worker: their limits, one timer that finds the slow ones, and closing them all at the end.

One sweep over all connections, a few times within the shortest timeout, costs far less than a timer for each request.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from modelport.server.connection import Connection
from modelport.server.exchange import Handler
from modelport.server.request_reader import Limits

_LONGEST_PERIOD_S = 1.0
_SWEEPS_IN_A_TIMEOUT = 4


class Connections:
    """Makes the connections of a server and knows all that are open.

    Attributes:
        changed: called when one has gone.
    """

    def __init__(self, handler: Handler, limits: Limits, *, loop: asyncio.AbstractEventLoop) -> None:
        self._handler = handler
        self._limits = limits
        self._loop = loop
        self._open: set[Connection] = set()
        self._period_s = min(
            _LONGEST_PERIOD_S,
            limits.read_timeout_s / _SWEEPS_IN_A_TIMEOUT,
            limits.idle_timeout_s / _SWEEPS_IN_A_TIMEOUT,
        )
        self.changed: Callable[[], None] | None = None
        self._none_left: asyncio.Event | None = None
        self._timer = loop.call_later(self._period_s, self._sweep)

    def __call__(self) -> Connection:
        """Return the protocol of a new connection."""
        return Connection(self._handler, self._limits, self._open, loop=self._loop, lost=self._lost)

    def __len__(self) -> int:
        """Return how many connections are open."""
        return len(self._open)

    async def drain(self, timeout_s: float) -> int:
        """Let running requests be answered, take no others, and close every connection.

        What is not answered within `timeout_s` is cut off; returned is how many that were.
        """
        self._none_left = asyncio.Event()
        self._let_go()
        self._lost()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._none_left.wait()
        left = list(self._open)
        for connection in left:
            connection.abort()
        self._timer.cancel()
        return len(left)

    def _let_go(self) -> None:
        for connection in list(self._open):
            connection.drain()

    def _lost(self) -> None:
        if self.changed is not None:
            self.changed()
        if self._none_left is not None and not self._open:
            self._none_left.set()

    def _sweep(self) -> None:
        now = self._loop.time()
        for connection in list(self._open):
            connection.sweep(now)
        if self._none_left is not None:
            self._let_go()  # of what was being accepted when draining began
        self._timer = self._loop.call_later(self._period_s, self._sweep)
