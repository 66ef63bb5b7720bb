"""Predictions in the form of AI Platform and Vertex AI: `{"instances": [...]}` in, `{"predictions": [...]}` out."""

from __future__ import annotations

import time

from modelport.core.errors import Error, Internal
from modelport.server import failures
from modelport.server.batching import Batcher, Job
from modelport.server.decoding import Decoder, too_deep
from modelport.server.encoding import encode
from modelport.server.exchange import Reply, Request, Response
from modelport.server.execution import Outcome, Predicted
from modelport.server.foreign import as_batch
from modelport.server.model import Batch, ModelInfo

_NOTHING = Response(200, b'{"predictions":[]}')


class Prediction:
    """The handler of the predict route."""

    def __init__(self, info: ModelInfo, batcher: Batcher, *, nan: str = "null") -> None:
        """Take a model's queue.

        Args:
            info: what the model says about itself.
            batcher: where its requests queue.
            nan: what becomes of NaN and infinity among the predictions: "null" or "error".
        """
        self._batcher = batcher
        self._decode = Decoder(info.form)
        self._finite = nan == "error"

    def __call__(self, request: Request, reply: Reply) -> None:
        """Decode, queue, and answer when the model has predicted."""
        instances = self._decode(request.body)
        batch = instances.batch
        request.rows = rows = len(batch)
        if not rows:
            reply.send(_NOTHING)
            return
        parsed = time.perf_counter()

        def done(outcome: Outcome) -> None:
            if reply.closed:
                reply.abort()
                return
            if isinstance(outcome, Predicted):
                reply.send(self._answer(outcome, rows, parsed - request.received))
            else:
                reply.send(failures.response(outcome))

        try:
            self._batcher.submit(Job(batch, instances.parameters, done, reply))
        except RecursionError:  # when it was compared with those that wait
            raise too_deep() from None

    def _answer(self, outcome: Predicted, rows: int, parse: float) -> Response:
        before = time.perf_counter()
        try:
            body = encode(counted(outcome.batch, rows), finite=self._finite)
        except Error as error:
            return failures.response(error)
        except Exception as error:  # the predictions are the model's own objects and may raise anything
            return failures.response(unwritable(error))
        spans = outcome.spans
        spans.parse = parse
        spans.serialise = time.perf_counter() - before
        return Response(200, body, headers={b"server-timing": spans.header()})


def counted(batch: Batch, rows: int) -> Batch:
    """Return predictions as a batch with one for each instance.

    Raises:
        Internal: there are more or fewer of them.
    """
    batch = as_batch(batch)
    if isinstance(batch, dict):
        given = next((size for size in map(len, batch.values()) if size != rows), rows if batch else 0)
    else:
        given = len(batch)
    if given != rows:
        raise Internal(
            f"The model gave {given} predictions for {rows} instances",
            hint="Give one prediction for each instance, in their order",
        )
    return batch


def unwritable(error: Exception) -> Internal:
    """Return what it means that predictions cannot be written, for a reason of their own."""
    return Internal(f"The predictions cannot be written: {type(error).__name__}: {error}", hint="See the server's log")
