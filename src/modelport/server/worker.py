"""One worker: loads the model, proves that it predicts, then serves until it is told to end.

Here, and only here, the parts of a server are put together.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio
import uvloop
from anyio.abc import TaskGroup

from modelport.server import open_inference, openapi
from modelport.server.acceptor import Acceptor, StartSoon
from modelport.server.access_log import AccessLog
from modelport.server.app import App
from modelport.server.batching import Batcher, BatchLimits
from modelport.server.config import ServerConfig
from modelport.server.connections import Connections
from modelport.server.counted import counted
from modelport.server.encoding import encode
from modelport.server.exchange import Handler, Reply, Request, Response
from modelport.server.execution import Executor
from modelport.server.loaders.base import LoadOptions, load
from modelport.server.metrics import Exposition, Metrics, ServedModel, Tally
from modelport.server.model import Calls, Model
from modelport.server.notices import notice
from modelport.server.prediction import Prediction
from modelport.server.request_reader import Limits
from modelport.server.shares import Shares
from modelport.server.streaming import StreamPrediction
from modelport.server.supervisor import BACKLOG, GO, READY
from modelport.server.warm_up import warm_up

_READY = Response(200, b'{"status":"ready"}')
_STREAMS = 64  # that may be under way at once


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
    )
    return load(config.model_dir or Path(), config.framework, options)


@dataclass(frozen=True)
class Place:
    """Where a worker stands: which one it is, its link to the supervisor, and what it shares with the others."""

    number: int
    link: socket.socket
    listener: socket.socket
    shares: Shares
    tally: Tally


def work(config: ServerConfig, model: Model, place: Place) -> int:
    """Serve a loaded model in this process until SIGTERM; return the exit code.

    Raises:
        ModelCannotBeLoaded: the model cannot predict its own example.
    """
    try:
        uvloop.run(serve(config, model, place))
    except ExceptionGroup as group:  # the task group's: what is of interest is the one error in it
        raise group.exceptions[0] from None
    return 0


async def serve(config: ServerConfig, model: Model, place: Place) -> None:
    """Warm up, tell that it is ready, serve until SIGTERM, and let what is running end.

    Raises:
        ModelCannotBeLoaded: the model cannot predict its own example.
    """
    loop = asyncio.get_running_loop()
    told_to_end = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, told_to_end.set)
    async with anyio.create_task_group() as tasks:
        # Code of the user's says itself how many calls of it may run at once; frameworks may be called by each thread.
        threads = model.info.threads if config.predictor else config.threads or 1
        executor = Executor(model, loop=loop, threads=threads, tasks=tasks)
        limits = BatchLimits(config.batch_max_rows, config.batch_max_delay_ms / 1e3, config.max_queue)
        metrics = Metrics(place.tally, place.number)
        batcher = Batcher(executor, model.info, limits, loop=loop, metrics=metrics)
        predict = predict_handler(model, batcher, tasks, config)
        await _warm_up(predict, model, place.number)
        handler: Handler = App(routes(model, batcher, predict, metrics, place.tally, config))
        log = AccessLog(handler, _to_stdout, loop=loop) if config.access_log else None
        connections = Connections(log or handler, _limits(config), loop=loop)
        place.link.send(READY)
        # The answer comes when the doorkeeper has left the door, within a millisecond; its end, should the supervisor
        # be gone, as well.
        if place.link.recv(1) == GO:
            # It says nothing more; that it can be read is its end. Where the kernel does not kill the workers of a dead
            # supervisor, they end like this.
            loop.add_reader(place.link, told_to_end.set)
            stop_accepting = await _accept(place, connections, tasks.start_soon)
            await told_to_end.wait()
            loop.remove_reader(place.link)
            stop_accepting()
            cut_off = await connections.drain(config.drain_s)
            if cut_off:
                notice(f"{cut_off} connections cut off: their requests took longer than {config.drain_s:g} s")
        executor.close()
        tasks.cancel_scope.cancel()
    if log is not None:
        log.flush()


async def _accept(place: Place, connections: Connections, start_soon: StartSoon) -> Callable[[], None]:
    """Accept connections from now on; return what ends that."""
    loop = asyncio.get_running_loop()
    if place.shares.workers == 1:  # nobody to share with: left to the event loop, opening one costs less
        server = await loop.create_server(connections, sock=place.listener, backlog=BACKLOG)
        return server.close
    acceptor = Acceptor(place.listener, connections, start_soon, place.shares, place.number, loop=loop)
    acceptor.start()
    return acceptor.stop


def predict_handler(model: Model, batcher: Batcher, tasks: TaskGroup, config: ServerConfig) -> Handler:
    """Return what makes predictions: together with other requests, or item by item where the model yields."""
    if not yields(model):
        return Prediction(model.info, batcher, nan=config.nan)
    finite = partial(encode, finite=config.nan == "error")
    return StreamPrediction(model, tasks, at_once=_STREAMS, max_waiting=config.max_queue, encode=finite)


def yields(model: Model) -> bool:
    """Return whether the model gives its predictions item by item."""
    return model.info.calls in (Calls.STREAM, Calls.ASYNC_STREAM)


def routes(
    model: Model, batcher: Batcher, predict: Handler, metrics: Metrics, tally: Tally, config: ServerConfig
) -> Mapping[tuple[bytes, bytes], Handler]:
    """Return what is answered where; the two routes of the container contract win over the others."""
    info, name, version = model.info, config.model_name, config.model_version
    found: dict[tuple[bytes, bytes], Handler] = {
        (b"GET", b"/metrics"): Exposition(tally, ServedModel(name, version, info.framework)),
        (b"GET", b"/openapi.json"): openapi.handler(info, config),
    }
    if not yields(model):  # its infer requests know no streams
        found |= open_inference.routes(info, name, version, batcher, lambda: True, nan=config.nan)
    found |= {
        (b"GET", config.health_route.encode()): _health,
        (b"POST", config.predict_route.encode()): predict,
    }
    counting = {key: counted(handler, metrics) for key, handler in found.items() if key[0] == b"POST"}
    # The connection leaves the body of an answer to HEAD out.
    heads = {(b"HEAD", path): handler for (method, path), handler in found.items() if method == b"GET"}
    return found | counting | heads


def _health(request: Request, reply: Reply) -> None:
    # There is a worker to answer only while the model is loaded and warm: before that it is the doorkeeper who does.
    reply.send(_READY)


async def _warm_up(handler: Handler, model: Model, number: int) -> None:
    rows = model.info.warm_up
    before = time.perf_counter()
    if len(rows):
        await warm_up(handler, rows)
        notice(f"worker {number} is ready; its first prediction took {(time.perf_counter() - before) * 1e3:.0f} ms")
    else:
        notice(f"worker {number} is ready; the model names no example to try, so its first request may be slow")


def _to_stdout(lines: bytes) -> None:
    sys.stdout.buffer.write(lines)
    sys.stdout.buffer.flush()


def _limits(config: ServerConfig) -> Limits:
    return Limits(
        max_body_bytes=config.max_body_bytes,
        read_timeout_s=config.read_timeout_s,
        idle_timeout_s=config.idle_timeout_s,
    )
