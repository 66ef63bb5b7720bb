"""One worker: loads the model, proves that it predicts, then serves until it is told to end.

Here, and only here, the parts of a server are put together.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import uvloop
from anyio.abc import TaskGroup

from modelport.server.acceptor import Acceptor, StartSoon
from modelport.server.access_log import AccessLog, to_stdout
from modelport.server.app import App, with_heads
from modelport.server.config import ServerConfig
from modelport.server.connections import Connections
from modelport.server.exchange import Handler, Reply, Request, Response
from modelport.server.metrics import Metrics, ServedModel, ServerMetrics, Tally
from modelport.server.notices import notice
from modelport.server.one_model import Routes, load_model, serve_model
from modelport.server.request_reader import Limits
from modelport.server.shares import Shares
from modelport.server.supervisor import BACKLOG, GO, READY

if TYPE_CHECKING:
    from modelport.server.rpc.service import RpcServer

_READY = Response(200, b'{"status":"ready"}')


@dataclass(frozen=True)
class Place:
    """Where a worker stands: which one it is, its link to the supervisor, and what it shares with the others."""

    number: int
    link: socket.socket
    listener: socket.socket
    shares: Shares
    tally: Tally


@dataclass(frozen=True)
class Ready:
    """What a worker serves: what answers its requests, and what ends it."""

    handler: Handler
    close: Callable[[], None]


def loaded(config: ServerConfig) -> object:
    """Return what the settings name: a model, or the names and places of several.

    Raises:
        ModelCannotBeLoaded: it cannot be loaded, or there is none.
    """
    if config.multi_model:
        from modelport.server.multi_model.catalogue import catalogue

        return catalogue(config.model_dir or Path())
    return load_model(config)


def work(config: ServerConfig, subject: Any, place: Place) -> int:
    """Serve what was loaded in this process until SIGTERM; return the exit code.

    Raises:
        ModelCannotBeLoaded: the model cannot predict its own example.
    """
    try:
        uvloop.run(serve(config, subject, place))
    except ExceptionGroup as group:  # the task group's: what is of interest is the one error in it
        raise group.exceptions[0] from None
    return 0


async def serve(config: ServerConfig, subject: Any, place: Place) -> None:
    """Warm up, tell that it is ready, serve until SIGTERM, and let what is running end.

    Raises:
        ModelCannotBeLoaded: the model cannot predict its own example.
    """
    loop = asyncio.get_running_loop()
    told_to_end = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, told_to_end.set)
    async with anyio.create_task_group() as tasks:
        ready = await _ready(config, subject, place, tasks, told_to_end.set)
        log = AccessLog(ready.handler, to_stdout, loop=loop) if config.access_log else None
        handler = log or ready.handler
        connections = Connections(handler, Limits.of(config), loop=loop)
        rpc = await _rpc_server(config, handler)
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
            if rpc is not None:
                tasks.start_soon(rpc.stop, config.drain_s)
            cut_off = await connections.drain(config.drain_s)
            if cut_off:
                notice(f"{cut_off} connections cut off: their requests took longer than {config.drain_s:g} s")
        if rpc is not None:
            await rpc.stop(config.drain_s)
        ready.close()
        tasks.cancel_scope.cancel()
    if log is not None:
        log.flush()


async def _ready(
    config: ServerConfig, subject: Any, place: Place, tasks: TaskGroup, give_up: Callable[[], None]
) -> Ready:
    """Return what is served, when it may be asked."""
    metrics = Metrics(place.tally, place.number)
    if config.multi_model:
        from modelport.server.multi_model.serving import serve_models

        several = serve_models(subject, config, tasks, metrics, _own_routes(config, place), give_up)
        notice(f"worker {place.number} is ready; {len(subject)} models are loaded when they are asked for")
        return Ready(several.dispatch, several.close)
    served = await serve_model(subject, config, tasks, metrics, give_up)
    if served.warm_up_s is None:
        told = "the model names no example to try, so its first request may be slow"
    else:
        told = f"its first prediction took {served.warm_up_s * 1e3:.0f} ms"
    where = f" on {subject.info.device}" if subject.info.device else ""
    notice(f"worker {place.number} is ready{where}; {told}")
    framework = subject.info.framework
    return Ready(App(with_heads(served.routes | _own_routes(config, place, framework))), served.close)


def _own_routes(config: ServerConfig, place: Place, framework: str = "") -> Routes:
    """Return what is answered whatever the model: the health route wins over others of its path."""
    model = ServedModel(config.model_name, config.model_version, framework)
    return {
        (b"GET", b"/metrics"): ServerMetrics(place.tally, model),
        (b"GET", config.health_route.encode()): _health,
    }


async def _rpc_server(config: ServerConfig, handler: Handler) -> RpcServer | None:
    """Return what answers gRPC from now on, where it is wanted."""
    if not config.grpc_port:
        return None
    from modelport.server.rpc.service import RpcServer

    rpc = RpcServer(handler, max_body_bytes=config.max_body_bytes, idle_timeout_s=config.idle_timeout_s)
    await rpc.start(config.host, config.grpc_port)
    return rpc


async def _accept(place: Place, connections: Connections, start_soon: StartSoon) -> Callable[[], None]:
    """Accept connections from now on; return what ends that."""
    loop = asyncio.get_running_loop()
    if place.shares.workers == 1:  # nobody to share with: left to the event loop, opening one costs less
        server = await loop.create_server(connections, sock=place.listener, backlog=BACKLOG)
        return server.close
    acceptor = Acceptor(place.listener, connections, start_soon, place.shares, place.number, loop=loop)
    acceptor.start()
    return acceptor.stop


def _health(request: Request, reply: Reply) -> None:
    # There is a worker to answer only while the model is loaded and warm: before that it is the doorkeeper who does.
    reply.send(_READY)
