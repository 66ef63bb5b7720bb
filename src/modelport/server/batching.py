"""The batcher: rows of concurrent requests predicted in one call, and each request handed exactly its own rows.

While the model is busy, requests gather; when it is free, as many of them as are alike and fit go in together. A
request that comes while nothing else is under way is not held back. A call never has more rows than the limit: a
request of more is predicted in pieces. Where a call fails, its requests are predicted in halves, so that a poisonous
row fails only its own. A model that is not row-wise gets each request by itself, as it came.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Protocol

from modelport.core.errors import Cancelled, Internal, ResourceExhausted
from modelport.server.batch_plan import BatchLimits, Crowd, gathered, hold_s, likeness
from modelport.server.execution import Done, Outcome, Predicted
from modelport.server.jobs import Caller, Job, Pieces, predictions_in
from modelport.server.metrics import Metrics
from modelport.server.model import Batch, ModelInfo, Parameters, joined, take
from modelport.server.recovery import Recovery, recovery

_log = logging.getLogger(__name__)

__all__ = ["BatchLimits", "Batcher", "Caller", "Job", "likeness"]


class Calls(Protocol):
    """What makes the calls; an executor is one.

    Attributes:
        slots: the number of calls that may be under way at once.
    """

    slots: int

    def run(self, batch: Batch, parameters: Parameters, done: Done) -> None:
        """Make a call and hand its outcome to `done` on the event loop, now or later."""
        ...


class Batcher:
    """Gathers jobs and gives them to the executor, no more calls at once than it takes."""

    def __init__(
        self,
        executor: Calls,
        info: ModelInfo,
        limits: BatchLimits,
        *,
        loop: asyncio.AbstractEventLoop,
        metrics: Metrics | None = None,
        clock: Callable[[], float] = time.perf_counter,
        divides: Callable[[Exception], bool] = lambda error: True,
    ) -> None:
        """Take a model's executor and how its calls are made up.

        Args:
            executor: makes the calls.
            info: what the model says about itself.
            limits: most rows, longest wait, most requests that wait.
            loop: the event loop.
            metrics: where calls are counted.
            clock: tells the time in seconds.
            divides: whether the requests of a call that failed so are tried apart; else all of them have failed so.
        """
        self._executor = executor
        self._row_wise = info.row_wise
        self._limits = limits
        self._max_rows = max(1, limits.max_rows)
        self._loop = loop
        self._metrics = metrics or Metrics()
        self._clock = clock
        self._divides = divides
        self._waiting: deque[Job] = deque()
        self._slots = executor.slots
        self._planned = False
        self._timer: asyncio.TimerHandle | None = None
        self._crowd = Crowd()

    @property
    def waiting(self) -> int:
        """Return how many requests wait for the model."""
        return len(self._waiting)

    def submit(self, job: Job) -> None:
        """Queue a request; `job.done` is called on the event loop, later.

        Raises:
            ResourceExhausted: too many wait already.
        """
        if len(self._waiting) >= self._limits.max_waiting:
            raise ResourceExhausted(
                f"{len(self._waiting)} requests wait for the model already; {self._limits.max_waiting} may",
                hint="Try again later, or add replicas",
            )
        job.queued = self._clock()
        if job.rows > self._max_rows and self._row_wise:
            job = Pieces(job, self._max_rows, self._queue).next()
        self._queue(job)

    def _queue(self, job: Job) -> None:
        waiting = self._waiting
        if waiting and self._row_wise:
            first = waiting[0]
            if first.likeness is None:
                first.likeness = _likeness(first)
            job.likeness = _likeness(job)
        waiting.append(job)
        self._metrics.came()
        self._plan()

    def _plan(self) -> None:
        if self._slots and not self._planned:
            self._planned = True
            # At the end of this turn of the loop: whatever other sockets have ready joins in, at no cost in time. And
            # between two calls the loop serves everything else.
            self._loop.call_soon(self._start)

    def _start(self) -> None:
        self._planned = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting = self._waiting
        while waiting and self._slots:
            if self._limits.max_delay_s > 0 and (hold := self._hold_s()) > 0:
                self._timer = self._loop.call_later(hold, self._start)
                return
            jobs = gathered(waiting, self._max_rows) if self._row_wise else [waiting.popleft()]
            self._metrics.went(len(jobs))
            jobs = self._wanted(jobs)
            if jobs:
                self._slots -= 1
                self._call(jobs)
                if self._slots:
                    self._plan()
                return

    def _call(self, jobs: list[Job]) -> None:
        try:
            batch = jobs[0].batch if len(jobs) == 1 else joined([job.batch for job in jobs])
        except Exception as error:  # out of memory, say: perhaps it is enough for each by itself
            self._finish(jobs, error)
            return
        self._executor.run(batch, jobs[0].parameters, partial(self._finish, jobs))

    def _hold_s(self) -> float:
        now = self._clock()
        waiting = self._waiting
        if not self._row_wise or sum(job.rows for job in waiting) >= self._max_rows:
            return 0.0
        return hold_s(
            expected=self._crowd.expected(now),
            requests=len(waiting),
            first_queued=waiting[0].queued,
            now=now,
            max_delay_s=self._limits.max_delay_s,
        )

    def _wanted(self, jobs: list[Job]) -> list[Job]:
        for job in jobs:
            if job.caller is not None and job.caller.closed:
                break
        else:
            return jobs
        wanted = []
        for job in jobs:
            if job.caller is not None and job.caller.closed:
                _tell(job, Cancelled("The caller hung up before the model was asked"))
            else:
                wanted.append(job)
        return wanted

    def _finish(self, jobs: list[Job], outcome: Outcome) -> None:
        if isinstance(outcome, Predicted):
            failure = self._share(jobs, outcome)
        else:
            failure = outcome
            self._metrics.failed()
        if self._limits.max_delay_s > 0:
            self._crowd.saw(len(jobs) + len(self._waiting), self._clock())
        if failure is None:
            self._release()
        elif self._row_wise and self._divides(failure):
            self._recover(recovery(jobs, failure, self._share), None)
        else:
            for job in jobs:
                _tell(job, failure)
            self._release()

    def _recover(self, attempts: Recovery, outcome: Outcome | None) -> None:
        """Make the next call that a recovery wants; it keeps the slot of the call that failed until its end."""
        try:
            call = next(attempts) if outcome is None else attempts.send(outcome)
        except StopIteration:
            self._release()
            return
        self._executor.run(call.batch, call.parameters, partial(self._go_on, attempts))

    def _go_on(self, attempts: Recovery, outcome: Outcome) -> None:
        self._loop.call_soon(self._recover, attempts, outcome)  # later: each turn of the loop makes one call

    def _release(self) -> None:
        # Only now that the answers are written: a model may use the memory of its outputs again in the next call.
        self._slots += 1
        if self._waiting:
            self._plan()

    def _share(self, jobs: Sequence[Job], outcome: Predicted) -> Exception | None:
        """Hand each job its own predictions; return why that cannot be where several jobs cannot be told apart."""
        batch, spans, started = outcome.batch, outcome.spans, outcome.started
        metrics = self._metrics
        if len(jobs) == 1:
            job = jobs[0]
            metrics.called(job.rows, spans.model)
            metrics.waited(started - job.queued)
            _tell(job, Predicted(batch, spans.of_request(started - job.queued), started))
            return None
        rows = sum(job.rows for job in jobs)
        metrics.called(rows, spans.model)
        if (given := predictions_in(batch)) != rows:
            return Internal(f"The model gave {given} predictions for {rows} instances")
        start = 0
        for job in jobs:
            stop = start + job.rows
            queue = started - job.queued
            metrics.waited(queue)
            _tell(job, Predicted(take(batch, start, stop), spans.of_request(queue), started))
            start = stop
        return None


def _likeness(job: Job) -> Hashable:
    try:
        return likeness(job.batch, job.parameters)
    except RecursionError:  # rows nested as deep as Python goes: like nobody's
        return object()


def _tell(job: Job, outcome: Outcome) -> None:
    try:
        job.done(outcome)
    except Exception:  # whatever fails for one caller must not keep the others of the batch from their answers
        _log.exception("An answer could not be handed over")
