"""A call of a model on a model server: rows in, predictions out."""

from __future__ import annotations

from collections.abc import Mapping

import anyio

from modelport.core.errors import (
    Error,
    InvalidArgument,
    ModelServerDown,
    ModelServerFailed,
    PayloadTooLarge,
    ResourceExhausted,
    StepTimeout,
)
from modelport.server.listener.declaration import Model
from modelport.server.listener.formats.base import Call, Format, Message
from modelport.server.listener.steps.rows_apart import columns_of
from modelport.server.listener.steps.work import Context
from modelport.server.listener.wire.model_access import ModelAccess
from modelport.server.listener.wire.upstream import Upstream
from modelport.server.model import Batch, joined, rows_of, take

_LONGEST_SAYING = 500


class ModelCall:
    """Asks one model.

    Attributes:
        access: the way to it; what is passed on as it is goes the same way.
    """

    def __init__(self, model: Model, upstream: Upstream, format: Format) -> None:
        self.access = ModelAccess(model, upstream)
        self._model = model
        self._format = format

    async def run(self, inputs: Mapping[str, Batch], context: Context) -> Batch:
        """Return the predictions for a batch; none for no rows, without asking."""
        batch = columns_of(inputs)
        rows = rows_of(batch)
        if not rows:
            return []
        if self._format.row_by_row and rows > 1:
            return await self._row_by_row(batch, rows, context)
        return await self._ask(batch, context)

    async def _row_by_row(self, batch: Batch, rows: int, context: Context) -> Batch:
        """Ask for each row by itself, for no more at once than the model takes: the rest need not wait in line."""
        found: dict[int, Batch] = {}
        failed: list[Exception] = []
        left = iter(range(rows))
        async with anyio.create_task_group() as tasks:

            async def some() -> None:
                try:
                    for index in left:
                        found[index] = await self._ask(take(batch, index, index + 1), context)
                except Exception as error:  # one failure is the whole call's; the first is told
                    failed.append(error)
                    tasks.cancel_scope.cancel()

            for _ in range(min(rows, self._model.concurrency)):
                tasks.start_soon(some)
        if failed:
            raise failed[0]
        return joined([found[index] for index in range(rows)])

    async def _ask(self, batch: Batch, context: Context) -> Batch:
        message = self._format.write_call(Call(batch, context.parameters), self._model)
        answer = await self.access.request(message)
        if not 200 <= answer.status < 300:
            raise failure(answer, self._model, self._format)
        return self._format.read_answer(answer, self._model)


def failure(answer: Message, model: Model, format: Format) -> Error:
    """Return what an answer with a bad status means to the caller, in the model server's own words."""
    failed = format.read_failure(answer)
    said = failed.words or answer.body[:_LONGEST_SAYING].decode("utf-8", "backslashreplace")
    text = f"The model `{model.name}` on `{model.server}` answered {answer.status}"
    text = f"{text}: {said}" if said else text
    kind = _MEANINGS.get(failed.status)
    if kind is not None:
        return kind(text, step=model.name)
    if 400 <= failed.status < 500:
        return InvalidArgument(text, step=model.name)
    return ModelServerFailed(text, hint="See the model server's log", step=model.name)


_MEANINGS: Mapping[int, type[Error]] = {
    413: PayloadTooLarge,
    429: ResourceExhausted,
    503: ModelServerDown,
    504: StepTimeout,
}
