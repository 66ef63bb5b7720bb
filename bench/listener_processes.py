"""The processes that measurements of servers are of: model servers, and listeners in front of them."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from bench.processes import child, cpu_s, free_port

_ROOT = Path(__file__).parents[1]
_PATIENCE_S = 30.0
_ENVIRON = os.environ | {"PYTHONPATH": f"{_ROOT}:{_ROOT}/src"}

# Answers without looking: as little as a server on this event loop can do.
_BARE = """\
import asyncio, sys, uvloop
ANSWER = b'HTTP/1.1 200 OK\\r\\ncontent-type: application/json\\r\\ncontent-length: 21\\r\\n\\r\\n{"predictions":[5.1]}'
class Bare(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
    def data_received(self, data):  # one request in one piece, which is what is sent here
        self.transport.write(ANSWER)
async def serve():
    await (await asyncio.get_running_loop().create_server(Bare, "127.0.0.1", int(sys.argv[1]))).serve_forever()
uvloop.run(serve())
"""


@dataclass(frozen=True)
class Running:
    """A process, perhaps with workers, that answers at a port of loopback."""

    port: int
    process: psutil.Process

    @property
    def url(self) -> str:
        """Return where it predicts."""
        return f"http://127.0.0.1:{self.port}/predict"

    def cpu_s(self) -> float:
        """Return the CPU time that it and its workers have used so far."""
        return sum(cpu_s(one) for one in (self.process, *self.process.children(recursive=True)))


@contextmanager
def bare_server(folder: Path) -> Iterator[Running]:
    """Run a server that gives one fixed answer."""
    (folder / "bare.py").write_text(_BARE)
    port = free_port()
    with running([sys.executable, "bare.py", str(port)], folder, port, "/") as one:
        yield one


@contextmanager
def model_server(folder: Path, predictor: str, *flags: str) -> Iterator[Running]:
    """Run modelport's server with a class of `listener_code`."""
    port = free_port()
    name = f"{_ROOT}/bench/listener_code.py:{predictor}"
    command = [sys.executable, "-m", "modelport.server", "--predictor", name, "--workers", "1", *flags]
    with running([*command, "--host", "127.0.0.1", "--port", str(port)], folder, port, "/health") as one:
        yield one


@contextmanager
def listener(folder: Path, declaration: str) -> Iterator[Running]:
    """Run a listener as it is declared."""
    port = free_port()
    (folder / "listener.yaml").write_text(declaration)
    (folder / "steps.py").write_bytes((_ROOT / "bench/listener_code.py").read_bytes())
    command = [sys.executable, "-m", "modelport.server.listener", "listener.yaml"]
    with running([*command, "--host", "127.0.0.1", "--port", str(port)], folder, port, "/health") as one:
        yield one


@contextmanager
def running(command: list[str], folder: Path, port: int, health: str) -> Iterator[Running]:
    """Run a program that answers at the port while the body runs; begin when its health route says so."""
    with child(command, folder=folder, environ=_ENVIRON) as process:
        deadline = time.monotonic() + _PATIENCE_S
        while not _healthy(f"http://127.0.0.1:{port}{health}"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command} is not ready: {(folder / 'output.log').read_text()[-1000:]}")
            time.sleep(0.05)
        yield Running(port, psutil.Process(process.pid))


def _healthy(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.HTTPError:
        return False
