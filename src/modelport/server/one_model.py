"""One model as the server serves it: loaded, warmed up, and answered for on all of its routes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from anyio.abc import TaskGroup

from modelport.core.errors import ModelUnusable
from modelport.server import open_inference, openapi
from modelport.server.batching import Batcher, BatchLimits
from modelport.server.config import ServerConfig
from modelport.server.counted import counted
from modelport.server.encoding import encode
from modelport.server.exchange import Handler
from modelport.server.execution import Executor
from modelport.server.loaders.base import LoadOptions, load
from modelport.server.loaders.device import Device
from modelport.server.metrics import Metrics
from modelport.server.model import Calls, Model
from modelport.server.prediction import Prediction
from modelport.server.streaming import StreamPrediction
from modelport.server.warm_up import warm_up

_STREAMS = 64  # that may be under way at once

Routes = dict[tuple[bytes, bytes], Handler]


def load_model(config: ServerConfig) -> Model:
    """Load what the settings name: a predictor, or the files of a framework.

    Raises:
        ModelCannotBeLoaded: it cannot be.
    """
    if config.predictor:
        from modelport.server.predictor import load_predictor

        return load_predictor(config.predictor, config.model_dir)
    options = LoadOptions(
        method=config.method,
        signature=config.signature,
        threads=config.threads,
        model_file=config.model_file,
        trusted_types=config.trusted_types,
        device=Device(config.device),
    )
    return load(config.model_dir or Path(), config.framework, options)


@dataclass(frozen=True)
class Served:
    """A model that is ready.

    Attributes:
        routes: what is answered where, by method and path.
        warm_up_s: what its first prediction took; None where it names no example to try.
        close: lets its threads end.
    """

    routes: Routes
    warm_up_s: float | None
    close: Callable[[], None]


async def serve_model(
    model: Model, config: ServerConfig, tasks: TaskGroup, metrics: Metrics, give_up: Callable[[], None]
) -> Served:
    """Return a loaded model as it is served, after it has predicted the example that it names.

    Args:
        model: what is served.
        config: the settings.
        tasks: where its calls are awaited.
        metrics: counts its calls.
        give_up: ends this process, when the model can predict nothing more in it.

    Raises:
        ModelCannotBeLoaded: it cannot predict its own example.
    """
    loop = asyncio.get_running_loop()
    # Code of the user's says itself how many calls of it may run at once; frameworks may be called by each thread.
    threads = model.info.threads if config.predictor else config.threads or 1
    executor = Executor(model, loop=loop, threads=threads, tasks=tasks, give_up=give_up)
    limits = BatchLimits(config.batch_max_rows, config.batch_max_delay_ms / 1e3, config.max_queue)
    batcher = Batcher(executor, model.info, limits, loop=loop, metrics=metrics, divides=_may_be_a_rows_fault)
    predict = _predict_handler(model, batcher, tasks, config)
    took = await warm_up(predict, model.info.warm_up) if len(model.info.warm_up) else None
    return Served(_routes(model, batcher, predict, metrics, config), took, executor.close)


def _predict_handler(model: Model, batcher: Batcher, tasks: TaskGroup, config: ServerConfig) -> Handler:
    """Return what makes predictions: together with other requests, or item by item where the model yields."""
    if not _yields(model):
        return Prediction(model.info, batcher, nan=config.nan)
    finite = partial(encode, finite=config.nan == "error")
    return StreamPrediction(model, tasks, at_once=_STREAMS, max_waiting=config.max_queue, encode=finite)


def _may_be_a_rows_fault(error: Exception) -> bool:
    return not isinstance(error, ModelUnusable)


def _yields(model: Model) -> bool:
    """Return whether the model gives its predictions item by item."""
    return model.info.calls in (Calls.STREAM, Calls.ASYNC_STREAM)


def _routes(model: Model, batcher: Batcher, predict: Handler, metrics: Metrics, config: ServerConfig) -> Routes:
    """Return what is answered where; a predict route that is one of the protocol's is answered in the protocol."""
    info, name, version = model.info, config.model_name, config.model_version
    found: Routes = {(b"GET", b"/openapi.json"): openapi.handler(info, config)}
    if not _yields(model):  # its infer requests know no streams
        found |= open_inference.routes(info, name, version, batcher, lambda: True, nan=config.nan)
    found.setdefault((b"POST", config.predict_route.encode()), predict)
    return found | {key: counted(handler, metrics) for key, handler in found.items() if key[0] == b"POST"}
