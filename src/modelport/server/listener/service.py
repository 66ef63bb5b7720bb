"""A listener at work: its servers started, its routes answered, until it is told to end; then all of it ended in order.

Requests that are under way are answered first, then the model servers are ended. Being told a second time cuts both
short.
"""

from __future__ import annotations

import asyncio
import math
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import anyio

from modelport.core.errors import Error
from modelport.server.access_log import AccessLog, to_stdout
from modelport.server.connections import Connections
from modelport.server.listener import composition
from modelport.server.listener.children.model_server import ModelServer
from modelport.server.listener.composition import Handlers
from modelport.server.listener.declaration import Listener
from modelport.server.listener.front import the_one
from modelport.server.listener.listener_config import ListenerConfig
from modelport.server.listener.metrics import ListenerMetrics
from modelport.server.listener.notices import notice
from modelport.server.listener.routes import Routes
from modelport.server.notices import complaint
from modelport.server.request_reader import Limits
from modelport.server.supervisor import BACKLOG

_ENDING = (signal.SIGTERM, signal.SIGINT)
_ONE_ORDER_S = 0.2
_CLOSING_S = 2.0  # for the processes and connections of Python steps
_FOR_THE_SERVERS = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


class Ending:
    """Whether the listener is to end, with which code, and how soon.

    Attributes:
        told: it is to end.
        hurried: it is to end at once.
        code: the exit code.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.told = asyncio.Event()
        self.hurried = asyncio.Event()
        self.code = 0
        self._clock = clock
        self._signalled = -math.inf

    def signalled(self) -> None:
        """End, and where that was said before, at once."""
        now = self._clock()
        # Some send a signal to a process and to its group: that is one order.
        if self.told.is_set() and now - self._signalled > _ONE_ORDER_S:
            notice("told to end a second time: running requests are cut off")
            self.hurried.set()
        self._signalled = now
        self.told.set()

    def over(self, code: int) -> None:
        """End with this code, unless it is ending anyway."""
        if not self.told.is_set():
            self.code = code
            self.told.set()


async def serve(
    listener: Listener, config: ListenerConfig, listening: socket.socket, environ: Mapping[str, str], folder: Path
) -> int:
    """Serve until SIGTERM, or until a model server's end is the listener's; return the exit code.

    Args:
        listener: what was declared, checked.
        config: the settings.
        listening: the listening socket; closed at the end.
        environ: the variables of the listener.
        folder: that model servers are started in, and what files of Python steps are relative to.
    """
    loop = asyncio.get_running_loop()
    ending = Ending(loop.time)
    metrics = ListenerMetrics(config.model_name, config.model_version)
    async with anyio.create_task_group() as tasks:
        parts = composition.model_servers(listener, tasks.start_soon, loop, environ, ending.over, folder)
        servers = [server for server, _ in parts.values()]
        metrics.servers = servers
        _hear_signals(loop, ending, servers)
        routes = Routes(listener, config, servers, metrics)
        log = AccessLog(routes.app(), to_stdout, loop=loop) if config.access_log else None
        connections = Connections(log or routes.app(), Limits.of(config), loop=loop)
        accepting = await loop.create_server(connections, sock=listening, backlog=BACKLOG)
        notice("listening on {}:{}".format(*listening.getsockname()[:2]))
        for server in servers:
            tasks.start_soon(server.run)
        handlers = composition.handlers(
            listener,
            {name: upstream for name, (_, upstream) in parts.items()},
            tasks.start_soon,
            loop=loop,
            metrics=metrics,
            folder=folder,
        )
        tasks.start_soon(_open, routes, handlers, ending)
        await ending.told.wait()
        accepting.close()
        await _drain(connections, config.drain_s, ending)
        for _, upstream in parts.values():
            upstream.close()
        await _stop(servers, ending)
        with anyio.move_on_after(_CLOSING_S):
            await handlers.code.close()
        tasks.cancel_scope.cancel()
    if log is not None:
        log.flush()
    return ending.code


async def _open(routes: Routes, handlers: Handlers, ending: Ending) -> None:
    """Let predictions be made when the code of all steps is there, or end the listener where it cannot be had."""
    try:
        await handlers.code.start()
    except Exception as group:  # of a task group, whose own errors are those that `start` names
        error = the_one(group)
        if not isinstance(error, Error):
            raise
        sys.stderr.write(complaint(error))
        ending.over(1)
    else:
        routes.open(handlers)


async def _drain(connections: Connections, drain_s: float, ending: Ending) -> None:
    """Let running requests be answered, as long as there is time."""
    async with anyio.create_task_group() as tasks:

        async def hurry() -> None:
            await ending.hurried.wait()
            tasks.cancel_scope.cancel()

        tasks.start_soon(hurry)
        cut_off = await connections.drain(drain_s)
        if cut_off:
            notice(f"{cut_off} connections cut off: their requests took longer than {drain_s:g} s")
        tasks.cancel_scope.cancel()
    await connections.drain(0)


async def _stop(servers: Sequence[ModelServer], ending: Ending) -> None:
    """End the model servers that are children, side by side."""

    async def hurry() -> None:
        await ending.hurried.wait()
        for server in servers:
            server.kill()

    async with anyio.create_task_group() as watch:
        watch.start_soon(hurry)
        async with anyio.create_task_group() as stopping:
            for server in servers:
                stopping.start_soon(server.stop)
        watch.cancel_scope.cancel()


def _hear_signals(loop: asyncio.AbstractEventLoop, ending: Ending, servers: Sequence[ModelServer]) -> None:
    for number in _ENDING:
        loop.add_signal_handler(number, ending.signalled)

    def pass_on(number: int) -> None:
        for server in servers:
            server.signal(number)

    for number in _FOR_THE_SERVERS:
        loop.add_signal_handler(number, pass_on, number)
