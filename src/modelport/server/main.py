"""The command line of the server: `modelport-server` and `python -m modelport.server`."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import os
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Any

from modelport.core.errors import Error, InvalidArgument, ModelCannotBeLoaded
from modelport.core.frameworks import Framework, framework_named
from modelport.server.config import ServerConfig
from modelport.server.configure import configure
from modelport.server.cpu_limit import available_cpus, division, loaded_before_fork, own_threads, thread_variables
from modelport.server.loaders.files import detected
from modelport.server.metrics import Tally
from modelport.server.notices import complaint, notice
from modelport.server.shares import Shares
from modelport.server.supervisor import BACKLOG, Plan, Supervisor

Load = Callable[[ServerConfig], Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to end; return the exit code: 0, 1 where the model cannot be served, 2 for a wrong setting."""
    try:
        config = configure(sys.argv[1:] if arguments is None else arguments, os.environ)
        listener = listen(config.host, config.port)
        held = hold_rpc_port(config.host, config.grpc_port) if config.grpc_port else None
    except Error as error:
        sys.stderr.write(complaint(error))
        return 2
    with held or contextlib.nullcontext():
        return supervise(config, listener)


def supervise(config: ServerConfig, listener: socket.socket, load: Load | None = None) -> int:
    """Serve on a listening socket until SIGTERM or SIGINT; return the exit code.

    Args:
        config: the settings.
        listener: closed at the end.
        load: makes the model; by default what the settings name. It is called in the workers, or before they are
            forked where their framework allows it.
    """
    framework = None if config.predictor or config.multi_model else framework_in(config)
    cpus = available_cpus()
    divided = division(cpus, own_threads=own_threads(framework), workers=config.workers, threads=config.threads)
    config = dataclasses.replace(config, workers=divided.workers, threads=divided.threads)
    os.environ.update(thread_variables(config.threads, os.environ))
    host, port = listener.getsockname()[:2]
    notice(f"listening on {host}:{port}; {config.workers} workers with {config.threads} threads on {cpus} CPUs")

    shares, tally = Shares(config.workers), Tally(config.workers)

    def preload() -> object:
        return (load or _load)(config)

    def work(*, number: int, listener: socket.socket, link: socket.socket, loaded: object) -> int:
        from modelport.server import worker

        shares.forget(number)  # what a dead predecessor told
        return worker.work(config, loaded or preload(), worker.Place(number, link, listener, shares, tally))

    early = loaded_before_fork(framework, divided)
    plan = Plan(config.workers, config.health_route, config.drain_s)
    return Supervisor(plan, listener, work, preload if early else None).run()


def framework_in(config: ServerConfig) -> Framework | None:
    """Return the framework that the settings name or the files tell; None where neither does."""
    if config.framework:
        return framework_named(config.framework)
    folder = config.model_dir
    if folder is None:
        return None
    try:
        return detected(folder.parent, folder.name) if folder.is_file() else detected(folder, config.model_file)
    except ModelCannotBeLoaded:  # which the worker will find, and say
        return None


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket, which the processes of the server share.

    Raises:
        InvalidArgument: the address cannot be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        reason = error.strerror or str(error)
        hint = "Name another with --port, or end what listens there" if error.errno else ""
        raise InvalidArgument(f"The server cannot listen on `{host}:{port}`: {reason}", hint=hint) from error
    # All wait on it, one gets the connection: the others must not block on accepting it.
    listener.setblocking(False)
    # Its connections have this from it: an answer's last packet must not wait for the one before to be acknowledged.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def hold_rpc_port(host: str, port: int) -> socket.socket:
    """Return a socket that holds the port for gRPC until the workers, each with a socket of its own, listen on it.

    Raises:
        InvalidArgument: the address cannot be used, or gRPC is not installed.
    """
    if importlib.util.find_spec("grpc") is None:
        raise InvalidArgument("gRPC is not installed", hint="Install modelport[grpc], or leave --grpc-port out")
    held = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        held.bind((host, port))
    except OSError as error:
        held.close()
        raise InvalidArgument(
            f"The server cannot listen on `{host}:{port}` for gRPC: {error.strerror or error}",
            hint="Name another with --grpc-port, or end what listens there",
        ) from error
    return held


def _load(config: ServerConfig) -> object:
    from modelport.server import worker

    return worker.loaded(config)
