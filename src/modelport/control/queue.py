"""The work queue: keys that want attention, each handled by one worker at a time, later or again as asked."""

from __future__ import annotations

import heapq
import math
from collections.abc import Awaitable, Callable

import anyio


class WorkQueue:
    """Keys added while their worker runs are handled once more after it; adding twice is adding once."""

    def __init__(self, *, workers: int = 32) -> None:
        self._due: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []
        self._running: set[str] = set()
        self._again: set[str] = set()
        self._limiter = anyio.CapacityLimiter(workers)
        self._wake = anyio.Event()

    def add(self, key: str, *, after_s: float = 0.0) -> None:
        """Ask for a key to be handled; of several requests the earliest counts."""
        due = anyio.current_time() + after_s
        if due < self._due.get(key, math.inf):
            self._due[key] = due
            heapq.heappush(self._heap, (due, key))
            self._wake.set()

    async def run(self, handle: Callable[[str], Awaitable[None]]) -> None:
        """Hand out keys for ever. An exception of `handle` ends the queue: guards belong into `handle`."""
        async with anyio.create_task_group() as tasks:

            async def work(key: str) -> None:
                async with self._limiter:
                    try:
                        await handle(key)
                    finally:
                        self._running.discard(key)
                        if key in self._again:
                            self._again.discard(key)
                            self.add(key)

            while True:
                self._wake = anyio.Event()
                for key in self._take():
                    self._running.add(key)
                    tasks.start_soon(work, key)
                pause = self._heap[0][0] - anyio.current_time() if self._heap else math.inf
                with anyio.move_on_after(max(0.0, pause)):
                    await self._wake.wait()

    def _take(self) -> list[str]:
        """Remove and return the keys that are due and not being handled; those come back when their worker ends."""
        now, taken = anyio.current_time(), []
        while self._heap and self._heap[0][0] <= now:
            due, key = heapq.heappop(self._heap)
            if self._due.get(key) != due:
                continue  # an earlier request for the same key was handled
            del self._due[key]
            if key in self._running:
                self._again.add(key)
            else:
                taken.append(key)
        return taken
