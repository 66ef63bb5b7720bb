"""What is tried after a call has failed: its requests in halves, and within a failing request the row at fault.

A recovery is a generator: it yields the calls of the model that it wants made, one after the other, is sent their
outcomes, and tells the callers. It knows neither loop nor thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from modelport.core.errors import Error
from modelport.server.execution import Outcome, Predicted
from modelport.server.failures import RowFailure
from modelport.server.model import Batch, Parameters, joined, take

_SEARCH_S = 1.0  # how long the row at fault is searched for


class Failing(Protocol):
    """A request, as far as recovery deals with it."""

    batch: Batch
    parameters: Parameters
    rows: int
    done: Callable[[Outcome], None]


Job = TypeVar("Job", bound=Failing)


@dataclass(slots=True)
class Call:
    """A call of the model that is wanted."""

    batch: Batch
    parameters: Parameters


Recovery = Generator[Call, Outcome, None]
Share = Callable[[Sequence[Job], Predicted], Exception | None]


def recovery(
    jobs: Sequence[Job], error: Exception, share: Share[Job], clock: Callable[[], float] = time.perf_counter
) -> Recovery:
    """Find out which of the requests of a failed call fail, and answer all of them.

    Args:
        jobs: the requests of the call, all like one another.
        error: what it failed with.
        share: hands the predictions of a call to its requests, or returns why they cannot be theirs.
        clock: tells the time in seconds.

    Yields:
        Calls of the model.
    """
    if len(jobs) == 1:
        job = jobs[0]
        job.done((yield from _at_row(job, error, clock)))
        return
    middle = len(jobs) // 2
    for half in (jobs[:middle], jobs[middle:]):
        outcome = yield Call(joined([job.batch for job in half]), half[0].parameters)
        failure = share(half, outcome) if isinstance(outcome, Predicted) else outcome
        if failure is not None:
            yield from recovery(half, failure, share, clock)


def _at_row(job: Failing, error: Exception, clock: Callable[[], float]) -> Generator[Call, Outcome, Exception]:
    """Return the failure of a request with the first row that fails by itself, or as it is where none does."""
    if job.rows < 2 or isinstance(error, RowFailure | Error):  # the server's own errors say all that there is to say
        return error
    until = clock() + _SEARCH_S
    start, stop = 0, job.rows
    while stop - start > 1:
        if clock() > until:
            return error
        middle = (start + stop) // 2
        outcome = yield Call(take(job.batch, start, middle), job.parameters)
        if isinstance(outcome, Exception):
            stop = middle
        else:
            start = middle
    outcome = yield Call(take(job.batch, start, stop), job.parameters)
    return RowFailure(start, outcome) if isinstance(outcome, Exception) else error
