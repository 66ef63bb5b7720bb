"""The executor: runs the model's three calls, on the event loop where they are short, else in a thread.

Handing work to a thread and back costs about as much as predicting one row with a small model. So a call that is
expected to be short runs where it is; one that is not, or not known, goes to a thread, and health checks and other
connections are served meanwhile. A model with an `async` predict is awaited in a task.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any

from modelport.core.errors import Error, Internal, ModelUnusable
from modelport.server.foreign import as_batch
from modelport.server.model import Batch, Calls, Model, Parameters, awaited, rows_of
from modelport.server.spans import Spans

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

_INLINE_S = 0.001
_WEIGHT = 0.25  # of the newest call in the moving average
_ASYNC_CALLS = 64  # that are awaited at once
_SIZES = 40  # powers of two of rows


@dataclass(slots=True)
class Predicted:
    """What the model gave for a batch, and where the time went."""

    batch: Batch
    spans: Spans
    started: float


Outcome = Predicted | Exception
Done = Callable[[Outcome], None]


class Pace:
    """What calls of the model take, by the number of their rows: moving averages, one for each power of two."""

    __slots__ = ("_usual_s",)

    def __init__(self) -> None:
        self._usual_s = [0.0] * _SIZES

    def saw(self, rows: int, seconds: float) -> None:
        """Take note of a call."""
        size = rows.bit_length()
        usual = self._usual_s[size]
        self._usual_s[size] = usual + _WEIGHT * (seconds - usual) if usual else seconds

    def expected_s(self, rows: int) -> float:
        """Return what a call of so many rows will take: as the like took, else in proportion to the rows.

        Without any experience that is for ever. A call of less rows than any seen is expected to take as long as the
        smallest seen: a call has costs that do not depend on rows.
        """
        size = rows.bit_length()
        known = self._usual_s[size]
        if known:
            return known
        for smaller in range(size - 1, -1, -1):
            if self._usual_s[smaller]:
                return self._usual_s[smaller] * float(2 ** (size - smaller))
        return next((usual for usual in self._usual_s[size:] if usual), float("inf"))


class Executor:
    """Runs calls of the model and hands their outcomes to `done`, on the event loop.

    It does not hold calls back: whoever asks keeps to `slots` at a time.

    Attributes:
        slots: the number of calls that may be under way at once.
    """

    def __init__(
        self,
        model: Model,
        *,
        loop: asyncio.AbstractEventLoop,
        threads: int = 1,
        tasks: TaskGroup | None = None,
        give_up: Callable[[], None] = lambda: None,
    ) -> None:
        """Take a model and what runs it.

        Args:
            model: what is called.
            loop: the event loop that everything here is used on.
            threads: for the calls that are not short; a model whose rows can be joined is called by one at a time.
            tasks: where calls of an asynchronous model are awaited; others need none.
            give_up: called on the event loop when the model says that it can predict nothing more in this process.
        """
        self._model = model
        self._loop = loop
        self._tasks = tasks
        self._give_up = give_up
        self._started = False
        self._orders: SimpleQueue[tuple[Batch, Parameters, Done] | None] = SimpleQueue()
        self._pace = Pace()
        self._is_async = model.info.calls is Calls.ASYNC
        if self._is_async:
            self.slots = _ASYNC_CALLS
        else:
            self.slots = 1 if model.info.row_wise else max(1, threads)

    def run(self, batch: Batch, parameters: Parameters, done: Done) -> None:
        """Predict a batch and hand the outcome to `done`, before this returns where the call is short."""
        if self._is_async:
            assert self._tasks is not None, "an asynchronous model needs a task group"
            self._tasks.start_soon(self._await, batch, parameters, done)
        elif self._pace.expected_s(rows_of(batch)) < _INLINE_S:
            done(self._call(batch, parameters))
        else:
            if not self._started:
                self._start()
            self._orders.put((batch, parameters, done))

    def close(self) -> None:
        """Let the threads end when they have done what they were given."""
        if self._started:
            for _ in range(self.slots):
                self._orders.put(None)

    def _start(self) -> None:
        # Not a ThreadPoolExecutor: its bookkeeping for each call costs more than handing the call over, and a call
        # that hangs would keep the process from ending.
        self._started = True
        for number in range(self.slots):
            Thread(target=self._work, name=f"predict-{number}", daemon=True).start()

    def _work(self) -> None:
        while (order := self._orders.get()) is not None:
            batch, parameters, done = order
            outcome = self._call(batch, parameters)
            try:
                self._loop.call_soon_threadsafe(done, outcome)
            except RuntimeError:  # the loop has ended, and with it whoever waited
                return
            del order, batch, parameters, done, outcome  # not to be kept until the next call

    def _call(self, batch: Batch, parameters: Parameters) -> Outcome:
        model = self._model
        clock = time.perf_counter
        started = clock()
        try:
            inputs = model.preprocess(batch, parameters)
            prepared = clock()
            outputs = model.predict(inputs, parameters)
            predicted = clock()
            predictions = _batch(model.postprocess(outputs, parameters))
        except BaseException as error:  # the model's own code may raise anything
            return self._failure(error)
        finally:
            ended = clock()
            self._pace.saw(rows_of(batch), ended - started)
        return Predicted(predictions, _spans(started, prepared, predicted, ended), started)

    async def _await(self, batch: Batch, parameters: Parameters, done: Done) -> None:
        done(await self._awaited(batch, parameters))

    async def _awaited(self, batch: Batch, parameters: Parameters) -> Outcome:
        model = self._model
        clock = time.perf_counter
        started = clock()
        try:
            inputs = await awaited(model.preprocess(batch, parameters))
            prepared = clock()
            outputs = await model.predict(inputs, parameters)
            predicted = clock()
            predictions = await awaited(model.postprocess(outputs, parameters))
        except asyncio.CancelledError:  # the server ends
            raise
        except BaseException as error:  # the model's own code may raise anything
            return self._failure(error)
        return Predicted(predictions, _spans(started, prepared, predicted, clock()), started)

    def _failure(self, error: BaseException) -> Exception:
        """Return what the model raised; what would end the process or the thread unseen, as an ordinary failure.

        `sys.exit()` in a predictor and the panics of libraries written in Rust are no `Exception`. An interrupt from
        the keyboard is not the model's doing.
        """
        if isinstance(error, ModelUnusable):
            self._loop.call_soon_threadsafe(self._give_up)
        if isinstance(error, Exception):
            return error
        if isinstance(error, KeyboardInterrupt):
            raise error
        failure = Internal(f"The model's code raised {type(error).__name__}: {error}", hint="See the server's log")
        failure.__cause__ = error
        return failure


def _batch(outputs: Any) -> Batch:
    """Return outputs as rows that can be parted, here as it may take its time; what fails then is the model's fault."""
    try:
        return as_batch(outputs)
    except Error:
        raise
    except Exception as error:  # the outputs are the model's own objects and may raise anything
        text = f"The predictions cannot be read: {type(error).__name__}: {error}"
        raise Internal(text, hint="See the server's log") from error


def _spans(started: float, prepared: float, predicted: float, ended: float) -> Spans:
    return Spans(0.0, prepared - started, predicted - prepared, ended - predicted)
