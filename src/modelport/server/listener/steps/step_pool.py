"""The threads of a step: each makes one call at a time, here or in a process of its own.

They are no anyio threads: a call that hangs keeps its thread, and only that, and does not keep the listener from
ending. What hangs is therefore never more than there are threads.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any, Protocol

from modelport.core.errors import Error
from modelport.server.failures import as_error
from modelport.server.model import Batch

_LOG = logging.getLogger("modelport.server")


class Worker(Protocol):
    """What a thread makes its calls through. Used by this thread only, but for `stop`."""

    def start(self) -> None:
        """Get ready for calls, or do nothing where it is. Raises Error where that cannot be."""
        ...

    def call(self, inputs: Mapping[str, Batch], extras: Mapping[str, Any]) -> Any:
        """Return what a call gives, or raise what it raises, an Error always."""
        ...

    def stop(self) -> None:
        """End for good, with the call that is under way where that is possible. For any thread."""
        ...


@dataclass(frozen=True, slots=True)
class _Order:
    inputs: Mapping[str, Batch]
    extras: Mapping[str, Any]
    future: asyncio.Future[Any]


class StepPool:
    """Hands calls to whichever thread is free."""

    def __init__(self, name: str, workers: Sequence[Worker], loop: asyncio.AbstractEventLoop) -> None:
        self._name = name
        self._workers = workers
        self._loop = loop
        self._orders: SimpleQueue[_Order | None] = SimpleQueue()
        self._closed = False

    async def start(self) -> None:
        """Start the threads; returns when all workers are ready. Raises what the first of them cannot start for."""
        begun: list[asyncio.Future[Any]] = []
        for number, worker in enumerate(self._workers):
            begun.append(self._loop.create_future())
            name = f"{self._name}-{number}"
            Thread(target=self._work, args=(worker, begun[-1]), name=name, daemon=True).start()
        failures: list[Error] = []
        for one in begun:
            try:
                await one
            except Error as error:
                failures.append(error)
        if failures:
            raise failures[0]

    async def call(self, inputs: Mapping[str, Batch], extras: Mapping[str, Any]) -> Any:
        """Return what a call gives; where this is cancelled before its turn, the call is not made."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self._orders.put(_Order(inputs, extras, future))
        return await future

    def close(self) -> None:
        """Let the threads end when they have done what they are at, and end their processes."""
        self._closed = True
        for _ in self._workers:
            self._orders.put(None)
        for worker in self._workers:
            worker.stop()

    def _work(self, worker: Worker, begun: asyncio.Future[Any]) -> None:
        self._settle(begun, worker.start)
        while (order := self._orders.get()) is not None:
            if not order.future.cancelled():
                self._settle(order.future, partial(worker.call, order.inputs, order.extras))
                self._mend(worker)
            del order  # its rows are not to be kept until the next call

    def _settle(self, future: asyncio.Future[Any], call: Callable[[], Any]) -> None:
        outcome: Any
        try:
            outcome, failed = call(), False
        except Exception as error:  # a thread that ended would take its place among the others along
            outcome, failed = as_error(error, who=f"The step `{self._name}`"), True
        with suppress(RuntimeError):  # the loop has ended, and with it whoever waited
            self._loop.call_soon_threadsafe(_tell, future, outcome, failed)

    def _mend(self, worker: Worker) -> None:
        try:
            worker.start()
        except Exception as error:  # the next call tries again, and tells its caller
            if not self._closed:
                _LOG.error("The step `%s` cannot be started again: %s", self._name, error)


def _tell(future: asyncio.Future[Any], outcome: Any, failed: bool) -> None:
    if future.done():  # whoever waited has given up
        return
    if failed:
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
