"""A listener as a process of its own, before servers of `chaos_server`, and what can be seen of it."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
CHAOS = Path(__file__).parent / "chaos_server.py"
# Quick to find out, and patient where this machine is slow.
SERVER = {"health": "/health", "start_timeout_s": 20, "probe_period_s": 0.2, "stop_timeout_s": 5}


def chaos(folder: Path, name: str = "s", *words: str, **more: object) -> dict[str, object]:
    """Return the declaration of a misbehaving server."""
    command = [sys.executable, "-S", str(CHAOS), str(folder), name, *words]
    return {"command": command, "url": f"unix:{folder / name}.sock", **SERVER, **more}


def declared(folder: Path, *words: str, model: dict[str, object] | None = None, **more: object) -> dict[str, Any]:
    """Return the declaration of a listener with one such server and one model."""
    server = chaos(folder, "s", *words, **more)
    return {"servers": {"s": server}, "models": {"m": {"server": "s", "path": "/predict", **(model or {})}}}


class ListenerProcess:
    """A running listener."""

    def __init__(
        self, folder: Path, declaration: dict[str, Any], *flags: str, environ: dict[str, str] | None = None
    ) -> None:
        self.folder = folder
        self.log = folder / "log"
        (folder / "listener.yaml").write_text(yaml.safe_dump(declaration))
        flags = ("--host", "127.0.0.1", "--port", "0", *flags)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "modelport.server.listener", *flags],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src"), **(environ or {})},
            stdout=self.log.open("wb"),
            stderr=subprocess.STDOUT,
        )
        self._port = 0

    @property
    def port(self) -> int:
        """Return the port that it listens on, when it does."""
        if not self._port:
            until(lambda: "listening on" in self.said or self.process.poll() is not None)
            found = re.search(r"listening on \S+:(\d+)", self.said)
            assert found, self.said
            self._port = int(found[1])
        return self._port

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def ask(
        self, method: str, path: str, body: object = None, timeout_s: float = 10
    ) -> tuple[int, Any, dict[str, str]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None)
            answer = connection.getresponse()
            text = answer.read()
            is_json = answer.headers["content-type"] == "application/json" and text
            headers = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, json.loads(text) if is_json else text.decode(), headers
        finally:
            connection.close()

    def health(self) -> int:
        try:
            return self.ask("GET", "/health")[0]
        except OSError:
            return 0

    def ready(self) -> ListenerProcess:
        """Wait until it is ready."""
        until(lambda: self.health() == 200 or self.process.poll() is not None)
        assert self.process.poll() is None, self.said
        return self

    def predict(self, row: object, timeout_s: float = 10) -> tuple[int, Any]:
        """Return the status and what was predicted for a row, or the error."""
        status, body, _ = self.ask("POST", "/predict", {"instances": [row]}, timeout_s)
        return status, body["predictions"][0] if status == 200 else body["error"]

    def pid(self) -> int:
        """Return the process that predicts."""
        status, (_, pid) = self.predict("x")
        assert status == 200
        return int(pid)

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(15)

    def clear_up(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def until(true: Callable[[], object], timeout_s: float = 20) -> None:
    end = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.02)


def runs(pid: int) -> bool:
    """Return whether a process runs; one that nobody has asked about the end of does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
