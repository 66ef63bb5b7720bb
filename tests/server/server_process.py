"""`python -m modelport.server` as a process of a test, and what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[2]


class ServerProcess:
    """A server that listens; it is ready later.

    Attributes:
        output: the file of its stdout.
        log: the file of its stderr.
        client: for requests to it.
    """

    def __init__(self, folder: Path, *flags: str, **variables: str) -> None:
        self.output, self.log = folder / "stdout", folder / "stderr"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "modelport.server", "--host", "127.0.0.1", "--port", "0", *flags],
            env={**os.environ, "PYTHONPATH": str(ROOT / "src"), **variables},
            cwd=folder,
            stdout=self.output.open("wb"),
            stderr=self.log.open("wb"),
        )
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self._port()}", timeout=30)

    def _port(self) -> str:
        until = time.monotonic() + 30
        while not (found := re.search(r"listening on 127\.0\.0\.1:(\d+)", self.log.read_text())):
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.02)
        return found[1]

    def ready(self, route: str = "/health") -> None:
        """Wait until the health route says so."""
        until = time.monotonic() + 60
        while self.client.get(route).status_code != 200:
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.05)

    def says(self, text: str, times: int = 1) -> None:
        """Wait until it has said a text so often."""
        until = time.monotonic() + 120
        while self.log.read_text().count(text) < times:
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.05)

    def end(self) -> None:
        """Tell it to end, and wait for that."""
        self.client.close()
        self.process.terminate()
        self.process.wait(20)


@pytest.fixture
def start() -> Iterator[Callable[..., ServerProcess]]:
    """Starts servers, which end with the test."""
    servers: list[ServerProcess] = []

    def begin(folder: Path, *flags: str, **variables: str) -> ServerProcess:
        servers.append(ServerProcess(folder, *flags, **variables))
        return servers[-1]

    yield begin
    for server in servers:
        server.end()
