"""Calls of models on real model servers, as a step of a listener makes them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anyio
import numpy as np

from modelport.core.errors import Error
from modelport.server.listener.declaration import Model
from modelport.server.listener.formats.base import Message
from modelport.server.listener.formats.known import format_named
from modelport.server.listener.steps.work import Context
from modelport.server.listener.wire.model_call import ModelCall
from modelport.server.model import Batch
from tests.server.listener.model_servers import pool

T = TypeVar("T")


async def predicted(url: str, model: Model, rows: Batch, **parameters: Any) -> Any:
    """Return the predictions for rows as plain values; raise the error that the caller of a listener is told."""
    return _plain(await _called(url, model, lambda call: call.run({"": rows}, Context(parameters))))


async def answered(url: str, model: Model, message: Message) -> Message:
    """Return what the model server answers to a request that no format of ours would write."""
    return await _called(url, model, lambda call: call.access.request(message))


async def _called(url: str, model: Model, ask: Callable[[ModelCall], Awaitable[T]]) -> T:
    failed: Error | None = None
    async with pool(url) as upstream:
        try:
            with anyio.fail_after(60):
                return await ask(ModelCall(model, upstream, format_named(model.format)))
        except Error as error:
            failed = error  # else it would leave in a group
    assert failed is not None
    raise failed


def _plain(batch: Any) -> Any:
    if isinstance(batch, dict):
        return {name: _plain(column) for name, column in batch.items()}
    return batch.tolist() if isinstance(batch, np.ndarray) else batch
