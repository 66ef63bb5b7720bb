"""The places of a step: so many calls at once, so many that wait for one, and no more."""

from __future__ import annotations

import anyio

from modelport.core.errors import ResourceExhausted


class Places:
    """A context round each call."""

    def __init__(self, most: int, max_waiting: int, whose: str) -> None:
        """Take how many calls there may be at once, how many may wait, and whose they are: such as "the step `x`"."""
        self._free = anyio.Semaphore(most, fast_acquire=True)
        self._most = most
        self._max_waiting = max_waiting
        self._whose = whose
        self._waiting = 0

    async def __aenter__(self) -> None:
        if self._free.value == 0 and self._waiting >= self._max_waiting:
            raise ResourceExhausted(
                f"{self._waiting} calls wait for {self._whose} already, which takes {self._most} at once; "
                f"{self._max_waiting} may wait",
                hint="Try again later, or raise `concurrency` or `max_waiting`",
            )
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1

    async def __aexit__(self, *error: object) -> None:
        self._free.release()
