"""Rows of concurrent requests as one call of a model or step, and each caller handed exactly his own.

The batcher of the prediction server decides what goes together; here is only what it gives its calls to.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from modelport.core.errors import Code, Error
from modelport.server.batching import Batcher, BatchLimits, Job
from modelport.server.cpu_limit import available_cpus
from modelport.server.execution import Done, Outcome, Predicted
from modelport.server.listener.declaration import Model, Step
from modelport.server.listener.steps.work import Context, Work
from modelport.server.model import Batch, ModelInfo, Parameters
from modelport.server.spans import Spans

_OF = "\0"  # between the name of an argument and that of a column of it
# Of these every row has its share: asking again for some of the rows would only add to what is too much already.
_OF_ALL = (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.RESOURCE_EXHAUSTED)


def gathered(
    work: Work, declared: Model | Step, start_soon: Callable[..., object], loop: asyncio.AbstractEventLoop
) -> Work:
    """Return the work of a model or step so that it gathers rows, where that is declared."""
    if declared.max_rows <= 1:
        return work
    limits = BatchLimits(declared.max_rows, declared.max_delay_ms / 1e3, declared.max_waiting)
    return Gathering(work, limits, calls=_calls_at_once(declared), start_soon=start_soon, loop=loop)


def _calls_at_once(declared: Model | Step) -> int:
    """Return how many calls may be under way: rows gather only while those that came before are being answered."""
    if isinstance(declared, Step):
        return declared.concurrency or declared.workers or available_cpus()
    # One that the model server works on, and one that is there when it has ended.
    return min(declared.concurrency, 2)


class Gathering:
    """Work whose rows are gathered; a request of more rows than go into a call is several.

    A call is made with the parameters of its callers, which are all the same, and without headers.
    """

    def __init__(
        self,
        work: Work,
        limits: BatchLimits,
        *,
        calls: int,
        start_soon: Callable[..., object],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Take the work, and how it is called.

        Args:
            work: what is called; rows must not depend on each other.
            limits: most rows, longest wait, most requests that wait.
            calls: most of them at once.
            start_soon: starts a coroutine in a task group.
            loop: the event loop.
        """
        self._loop = loop
        self._batcher = Batcher(
            _Calls(work, calls, start_soon), ModelInfo("LISTENER"), limits, loop=loop, divides=_divides
        )

    async def run(self, inputs: Mapping[str, Batch], context: Context) -> Batch:
        """Return what the work gives for these rows."""
        waiting = _Waiting(self._loop.create_future())
        self._batcher.submit(Job(packed(inputs), context.parameters, waiting.done, waiting))
        return await waiting.future


class _Waiting:
    """Whoever waits for his rows."""

    __slots__ = ("future",)

    def __init__(self, future: asyncio.Future[Batch]) -> None:
        self.future = future

    @property
    def closed(self) -> bool:
        return self.future.cancelled()

    def done(self, outcome: Outcome) -> None:
        if self.future.done():
            return
        if isinstance(outcome, Predicted):
            self.future.set_result(outcome.batch)
        else:
            self.future.set_exception(outcome)


class _Calls:
    """Makes calls of the work, as the executor of a model does."""

    def __init__(self, work: Work, slots: int, start_soon: Callable[..., object]) -> None:
        self.slots = slots
        self._work = work
        self._start_soon = start_soon

    def run(self, batch: Batch, parameters: Parameters, done: Done) -> None:
        self._start_soon(self._call, batch, parameters, done)

    async def _call(self, batch: Batch, parameters: Parameters, done: Done) -> None:
        started = time.perf_counter()
        try:
            given = await self._work.run(unpacked(batch), Context(parameters))
        except Exception as error:  # told to whoever waits for these rows
            done(error)
            return
        done(Predicted(given, Spans(predict=time.perf_counter() - started), started))


def packed(inputs: Mapping[str, Batch]) -> Batch:
    """Return the batches of a call as one, whose rows can be joined and parted; columns keep whose they are."""
    columns: dict[str, Any] = {}
    for name, batch in inputs.items():
        if isinstance(batch, dict):
            columns |= {f"{name}{_OF}{column}": values for column, values in batch.items()}
        elif not name:
            return batch
        else:
            columns[name] = batch
    return columns


def unpacked(batch: Batch) -> Mapping[str, Batch]:
    """Return the batches that were packed as this one."""
    if not isinstance(batch, dict):
        return {"": batch}
    inputs: dict[str, Any] = {}
    for key, values in batch.items():
        name, nested, column = key.partition(_OF)
        if nested:
            inputs.setdefault(name, {})[column] = values
        else:
            inputs[name] = values
    return inputs


def _divides(error: Exception) -> bool:
    return not (isinstance(error, Error) and error.code in _OF_ALL)
