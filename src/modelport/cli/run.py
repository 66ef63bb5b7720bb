"""`modelport run`: serves a predictor, a model folder or a listener on this machine, anew whenever its files change."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

import httpx
import typer

from modelport.check.samples import encoded, first_sample
from modelport.cli.extras import server_extra
from modelport.cli.local_model import (
    FrameworkOption,
    LocalModel,
    ModelDirOption,
    ServedArgument,
    read_served,
    snapshot,
)
from modelport.cli.output import Format, Output
from modelport.core.errors import FailedPrecondition
from modelport.doctor import openapi

_TICK_S, _STARTING_TICK_S = 0.2, 0.05
_END_S = 5.0
_WRONG_SETTING = 2
_ROUTE = "/predict"

HostOption = Annotated[str, typer.Option("--host", metavar="HOST", help="Address to listen on.")]
PortOption = Annotated[int, typer.Option("--port", metavar="PORT", min=1, max=65535, help="Port to listen on.")]
ReloadOption = Annotated[bool, typer.Option("--reload/--no-reload", help="Start anew when files change.")]


def run(
    target: ServedArgument,
    model_dir: ModelDirOption = None,
    framework: FrameworkOption = "",
    host: HostOption = "127.0.0.1",
    port: PortOption = 8080,
    reload: ReloadOption = True,
) -> None:
    """Serve a predictor, a model folder or a listener on this machine.

    Needs no running platform. The folder of --model-dir is AIP_STORAGE_URI for the servers of a listener. When a file
    changes, the server starts anew; where that fails, it says why and waits for the next change.
    """
    model = read_served(target, model_dir, framework)
    with server_extra("The prediction server"):
        import modelport.server.predictor
        import modelport.server.worker  # noqa: F401 - all that the child needs, or the error
    _require_free(host, port)
    out = Output(Format.TEXT)
    out.progress(f"serving {model}; Ctrl-C ends it")
    with _ended_by_signals():
        while True:
            _serve_until_change(model, host, port, out, reload=reload)
            out.progress("changed; starting anew")


def environment(model: LocalModel, host: str, port: int, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of the server's process: one worker, short draining, the contract's routes as they were."""
    inherited = {name: value for name, value in environ.items() if not name.startswith("AIP_")}
    if model.listener is not None:
        return inherited | _of_listener(model, host, port)
    own = {
        "PREDICTOR": model.predictor,
        "MODEL_DIR": str(model.model_dir or ""),
        "FRAMEWORK": model.framework,
        "HOST": host,
        "PORT": str(port),
        "PREDICT_ROUTE": _ROUTE,
        "HEALTH_ROUTE": "/health",
        "WORKERS": "1",
        "DRAIN_S": "2",
    }
    return inherited | {f"MODELPORT_SERVER_{name}": value for name, value in own.items() if value}


def _of_listener(model: LocalModel, host: str, port: int) -> dict[str, str]:
    own = {"TARGET": str(model.listener), "HOST": host, "PORT": str(port), "DRAIN_S": "2"}
    own |= {"PREDICT_ROUTE": _ROUTE, "HEALTH_ROUTE": "/health"}
    given = {f"MODELPORT_LISTENER_{name}": value for name, value in own.items()}
    return given | ({"AIP_STORAGE_URI": str(model.model_dir.resolve())} if model.model_dir else {})


def curl_line(url: str, document: dict[str, Any] | None) -> str:
    """Return a command that predicts, with an example of the server's own where its OpenAPI document has one."""
    body = encoded({"instances": first_sample(None, document, _ROUTE).instances}).decode()
    return f"curl -X POST {url}{_ROUTE} -H 'Content-Type: application/json' -d {shlex.quote(body)}"


def _require_free(host: str, port: int) -> None:
    """Refuse a port where something listens: its answers would be taken for the model's."""
    try:
        socket.create_server((host, port)).close()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise FailedPrecondition(
            f"The server cannot listen on `{host}:{port}`: {reason.lower()}",
            hint="Name another with --port, or end what listens there",
        ) from error


def _serve_until_change(model: LocalModel, host: str, port: int, out: Output, *, reload: bool) -> None:
    """Serve until a file changes, also where the server cannot start as they are now.

    Raises:
        FailedPrecondition: the server ended, and no change of a file would make it start.
    """
    seen = snapshot(model)
    program = "modelport.server" if model.listener is None else "modelport.server.listener"
    with _server(program, environment(model, host, port, os.environ)) as child, httpx.Client(trust_env=False) as client:
        url = f"http://{'127.0.0.1' if host in ('0.0.0.0', '') else host}:{port}"
        answered = ended = False
        while not (reload and snapshot(model) != seen):
            time.sleep(_TICK_S if answered or ended else _STARTING_TICK_S)
            if ended:
                continue
            if child.poll() is not None:
                ended = True
                if not reload or child.returncode == _WRONG_SETTING:
                    raise FailedPrecondition("The server has ended", hint="See what it wrote above")
                out.note(f"the server ended with code {child.returncode}; waiting for a change in {model.watched}")
            elif not answered and _healthy(client, url):
                answered = True
                out.progress(f"ready at {url}\n{curl_line(url, _document(client, url))}")


@contextmanager
def _server(program: str, environ: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    # A process group of its own: Ctrl-C reaches this command alone, which then ends the server in order.
    child = subprocess.Popen([sys.executable, "-m", program], env=environ, process_group=0)
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(_END_S)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end this command as Ctrl-C does, so that the server does not outlive it."""

    def end(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _healthy(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(f"{url}/health", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


def _document(client: httpx.Client, url: str) -> dict[str, Any] | None:
    try:
        return openapi.parsed(client.get(f"{url}/openapi.json", timeout=2).text)
    except httpx.HTTPError:
        return None
