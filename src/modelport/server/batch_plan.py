"""What goes into one call of the model and when: pure decisions over requests that wait."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np

from modelport.server.model import Batch, Parameters

_LOOK_AHEAD = 64  # waiting requests that are looked at for a batch
_CROWD_MEMORY_S = 0.1  # after so long without company, nobody is waited for
_WEIGHT = 0.3  # of the newest call in the moving average


class Waiting(Protocol):
    """A request that waits, as far as it matters for deciding."""

    rows: int
    likeness: Hashable


Job = TypeVar("Job", bound=Waiting)


@dataclass(frozen=True)
class BatchLimits:
    """Most rows in one call, longest wait for more of them, most requests waiting."""

    max_rows: int = 256
    max_delay_s: float = 0.0
    max_waiting: int = 1024


def likeness(batch: Batch, parameters: Parameters) -> Hashable:
    """Return what two batches must have in common to be joined without changing either's values.

    Arrays must be of one type and shape of row: an array of whole and of broken numbers would make all of them broken.
    Lists must have rows of the same structure and types, as whatever the model makes of a list (a table, an array)
    chooses its types by all rows together. Parameters are part of the call.
    """
    asked = repr(sorted(parameters.items())) if parameters else ""
    if isinstance(batch, dict):
        return (tuple((name, _kind(values)) for name, values in sorted(batch.items())), asked)
    return (_kind(batch), asked)


def gathered(waiting: deque[Job], max_rows: int) -> list[Job]:
    """Take from the queue what goes into the next call: the first request, and those like it that fit beside it.

    Requests further back may pass unlike ones, among a bounded number; the first one always goes, so none waits for
    ever.
    """
    first = waiting.popleft()
    jobs, rows = [first], first.rows
    passed: list[Job] = []
    for _ in range(min(len(waiting), _LOOK_AHEAD)):
        if rows >= max_rows:
            break
        job = waiting.popleft()
        if rows + job.rows <= max_rows and job.likeness == first.likeness:
            jobs.append(job)
            rows += job.rows
        else:
            passed.append(job)
    waiting.extendleft(reversed(passed))
    return jobs


class Crowd:
    """How many requests have lately been there at once, which says whether waiting for more is worth it."""

    __slots__ = ("_size", "_until")

    def __init__(self) -> None:
        self._size = 1.0
        self._until = 0.0

    def saw(self, requests: int, now: float) -> None:
        """Take note of a call: how many requests were in it or had come by its end."""
        if requests > 1:
            self._until = now + _CROWD_MEMORY_S
            self._size += _WEIGHT * (requests - self._size)
        else:
            self._size = 1.0  # at once: the next one is likely to be alone as well

    def expected(self, now: float) -> float:
        """Return the number of requests to expect at once; 1 when each has lately been alone."""
        return self._size if now < self._until else 1.0


def hold_s(*, expected: float, requests: int, first_queued: float, now: float, max_delay_s: float) -> float:
    """Return how long a call waits for more requests: not at all unless as many are still missing as came lately.

    Args:
        expected: requests that were there at once lately.
        requests: those that wait now.
        first_queued: when the first of them came.
        now: the time.
        max_delay_s: the longest that the first may be kept.
    """
    if max_delay_s <= 0 or requests + 0.5 >= expected:
        return 0.0
    return max(0.0, first_queued + max_delay_s - now)


def _kind(values: Any) -> Hashable:
    """Return the type and structure of the rows, not their number."""
    if isinstance(values, np.ndarray):
        return (values.dtype, values.shape[1:])
    return _kinds(values)


def _kinds(values: Any) -> Hashable:
    types = set(map(type, values))
    if types.isdisjoint((list, dict, np.ndarray)):
        return frozenset(types)
    return frozenset(map(_structure, values))


def _structure(value: Any) -> object:
    if isinstance(value, dict):
        return tuple((name, _structure(one)) for name, one in value.items())
    if isinstance(value, list):
        return (len(value), _kinds(value))
    if isinstance(value, np.ndarray):
        return (value.dtype, value.shape)
    return type(value)
