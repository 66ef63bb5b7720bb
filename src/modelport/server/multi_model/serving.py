"""Puts a server of several models together; each of them is served as if it were alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import anyio
from anyio.abc import TaskGroup

from modelport.server import memory_limit, open_inference
from modelport.server.app import App, with_heads
from modelport.server.config import ServerConfig
from modelport.server.metrics import Metrics
from modelport.server.multi_model.dispatch import Dispatch, index
from modelport.server.multi_model.residents import Opened, Residents
from modelport.server.one_model import Routes, load_model, serve_model


@dataclass(frozen=True)
class Several:
    """A server of several models: what answers its requests, and what ends the models in memory."""

    dispatch: Dispatch
    close: Callable[[], None]


def serve_models(
    models: Mapping[str, Path],
    config: ServerConfig,
    tasks: TaskGroup,
    metrics: Metrics,
    own: Routes,
    give_up: Callable[[], None],
) -> Several:
    """Return what serves the models; none is loaded yet.

    Args:
        models: where each of them is, by name.
        config: of the server; but for name and place it holds for each model.
        tasks: where models are loaded and asked.
        metrics: counts for all models together.
        own: the routes that are for no model.
        give_up: ends this process, when a model can predict nothing more in it.
    """

    async def open_model(name: str, path: Path) -> Opened:
        alone = replace(config, model_dir=path, model_name=name, model_version="", multi_model=False)
        model = await anyio.to_thread.run_sync(load_model, alone)
        served = await serve_model(model, alone, tasks, metrics, give_up)
        return Opened(App(with_heads(served.routes)), served.close)

    residents = Residents(models, open_model, budget(config), config.max_queue, time.monotonic, metrics)
    protocol = open_inference.server_routes(lambda: True)
    routes = {
        **protocol,
        **own,
        (b"POST", b"/v2/repository/index"): index(residents),
        (b"GET", b"/models"): index(residents),
    }
    dispatch = Dispatch(
        residents,
        App(with_heads(routes)),
        tasks.start_soon,
        header=config.model_header,
        predict_route=config.predict_route.encode(),
    )
    return Several(dispatch, residents.close)


def budget(config: ServerConfig) -> int:
    """Return the bytes that all models together may have."""
    return config.memory_budget_mb * 2**20 or memory_limit.budget_for_models(memory_limit.memory_limit())
