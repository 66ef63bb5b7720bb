"""How many connections each worker has: told by each, read by all. Imports nothing heavy."""

from __future__ import annotations

import mmap

_NONE = -1


class Shares:
    """How many connections each worker has, in memory that processes share when they are forked from the maker's."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._counts: memoryview[int] = memoryview(mmap.mmap(-1, workers * 4)).cast("i")
        for number in range(workers):
            self._counts[number] = _NONE

    def tell(self, number: int, count: int) -> None:
        """Note how many a worker has."""
        self._counts[number] = count

    def forget(self, number: int) -> None:
        """Note that a worker takes none."""
        self._counts[number] = _NONE

    def another_has_fewer(self, number: int) -> bool:
        """Return whether a worker that takes connections has fewer than this one."""
        mine = self._counts[number]
        return any(0 <= count < mine for count in self._counts)
