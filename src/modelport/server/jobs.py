"""A request as the batcher sees it: rows, and who is told about them; one of very many rows as a series of such.

Nothing here decides when the model is called.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Protocol

from modelport.core.errors import Cancelled, Internal, InvalidArgument
from modelport.server.execution import Outcome, Predicted
from modelport.server.failures import RowFailure
from modelport.server.model import Batch, Parameters, joined, rows_of, take


class Caller(Protocol):
    """Whoever waits for an answer; a reply is one."""

    @property
    def closed(self) -> bool:
        """Return whether he has hung up."""
        ...


class Job:
    """The rows of one request and who is told about them.

    Attributes:
        batch: the rows.
        parameters: the request's parameters.
        done: called on the event loop with the predictions of these rows, or the failure.
        caller: whoever waits; when he has hung up before the call, the rows are not predicted.
        rows: their number.
        likeness: what other rows must have in common with these to be joined; None until somebody asks.
        queued: when it came, by `time.perf_counter()`.
    """

    __slots__ = ("batch", "caller", "done", "likeness", "parameters", "queued", "rows")

    def __init__(
        self, batch: Batch, parameters: Parameters, done: Callable[[Outcome], None], caller: Caller | None = None
    ) -> None:
        self.batch = batch
        self.parameters = parameters
        self.done = done
        self.caller = caller
        self.rows = rows_of(batch)
        self.likeness: Hashable = None
        self.queued = 0.0


class Pieces:
    """A request of more rows than one call may have, predicted piece by piece and put together again.

    The next piece queues when the one before is done, behind whoever has come meanwhile: a request of very many rows
    does not keep the others waiting.
    """

    def __init__(self, whole: Job, max_rows: int, queue: Callable[[Job], None]) -> None:
        self._whole = whole
        self._max_rows = max_rows
        self._queue = queue
        self._start = 0
        self._predicted: list[Predicted] = []

    def next(self) -> Job:
        """Return the next piece as a job of its own."""
        whole = self._whole
        piece = take(whole.batch, self._start, min(self._start + self._max_rows, whole.rows))
        job = Job(piece, whole.parameters, self._done, whole.caller)
        job.queued = whole.queued if self._start == 0 else time.perf_counter()
        return job

    def _done(self, outcome: Outcome) -> None:
        whole = self._whole
        if not isinstance(outcome, Predicted):
            whole.done(self._of_whole(outcome))
            return
        rows = min(self._max_rows, whole.rows - self._start)
        if (given := predictions_in(outcome.batch)) != rows:
            whole.done(Internal(f"The model gave {given} predictions for {rows} instances"))
            return
        self._predicted.append(outcome)
        self._start += rows
        if self._start < whole.rows:
            self._queue(self.next())
            return
        first = self._predicted[0]
        spans = first.spans
        for later in self._predicted[1:]:
            spans = spans.then(later.spans)
        try:
            predictions = joined([one.batch for one in self._predicted])
        except (ValueError, TypeError) as error:
            whole.done(Internal(f"The model gave predictions of different forms for the rows of one request: {error}"))
            return
        whole.done(Predicted(predictions, spans, first.started))

    def _of_whole(self, failure: Exception) -> Exception:
        """Return the failure of a piece with its row counted from the start of the request."""
        if isinstance(failure, RowFailure):
            return RowFailure(self._start + failure.row, failure.error)
        if min(self._max_rows, self._whole.rows - self._start) == 1 and not isinstance(failure, Cancelled):
            return RowFailure(self._start, failure)
        if isinstance(failure, InvalidArgument) and (row := failure.metadata.get("row", "")).isdigit():
            counted = str(self._start + int(row))
            message = failure.message.replace(f"instances[{row}]", f"instances[{counted}]")
            return InvalidArgument(message, hint=failure.hint, row=counted)
        return failure


def predictions_in(batch: Batch) -> int:
    """Return the number of predictions, or -1 where columns do not agree on it."""
    if isinstance(batch, dict):
        sizes = {len(values) for values in batch.values()}
        return sizes.pop() if len(sizes) == 1 else -1
    return len(batch)
