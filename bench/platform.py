"""A platform to measure: `modelport serve` with its defaults and the process driver, as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

from bench.processes import child, free_port, haproxy_in

TINY = Path(__file__).parent / "images" / "tiny"
_UP_S = 60.0


class Platform:
    """The API of a running control plane, and its processes."""

    project = "bench"

    def __init__(self, data_dir: Path, port: int, process: subprocess.Popen[bytes], client: httpx.Client) -> None:
        self.data_dir = data_dir
        self.url = f"http://127.0.0.1:{port}"
        self.environ = _environ()
        self.client = client
        self._process = process

    def post(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the answer to a POST below the project."""
        return _checked(self.client.post(f"/v1/projects/{self.project}/{path}", json=body or {}))

    def get(self, path: str) -> dict[str, Any]:
        """Return the answer to a GET below the project."""
        return _checked(self.client.get(f"/v1/projects/{self.project}/{path}"))

    def create(
        self, model: str, version: str, *, image: str = str(TINY), env: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """Create a version and return its operation."""
        variables = [{"name": name, "value": value} for name, value in (env or {}).items()]
        spec = {
            "name": version,
            "container": {"image": image, "env": variables},
            "routes": {"predict": "/predict", "health": "/health"},
        }
        return self.post(f"models/{model}/versions", spec)

    def path_of(self, resource: dict[str, Any]) -> str:
        """Return a resource's path below the project."""
        return str(resource["name"]).removeprefix(f"projects/{self.project}/")

    def wait(self, operations: list[dict[str, Any]], *, within_s: float = 240) -> list[dict[str, Any]]:
        """Return the operations once all of them are done."""
        deadline = time.monotonic() + within_s
        done = []
        for operation in operations:
            while not (answer := self.get(self.path_of(operation))).get("done"):
                if time.monotonic() > deadline:
                    raise RuntimeError(f"{operation['name']} is not done in {within_s:g} s")
                time.sleep(0.05)
            done.append(answer)
        return done

    def inspect(self, model: str, version: str) -> dict[str, Any]:
        """Return a version with its replicas."""
        path = f"/modelport/v1/projects/{self.project}/models/{model}/versions/{version}:inspect"
        return _checked(self.client.get(path))

    def control_plane(self) -> psutil.Process:
        """Return the process of `modelport serve`."""
        return psutil.Process(self._process.pid)

    def haproxy(self) -> psutil.Process:
        """Return the gateway's process."""
        return haproxy_in(self.data_dir / "gateway")


@contextmanager
def platform(folder: Path) -> Iterator[Platform]:
    """Yield a running platform; afterwards everything of it is stopped."""
    data_dir, port = folder / "data", free_port()
    arguments = ["--data-dir", str(data_dir), "--driver", "process"]
    program = [sys.executable, "-m", "modelport"]
    try:
        with (
            child(
                [*program, "serve", *arguments, "--listen", f"127.0.0.1:{port}"], folder=folder, environ=_environ()
            ) as process,
            httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client,
        ):
            _wait_until_up(client, process, folder)
            yield Platform(data_dir, port, process, client)
    finally:
        # The gateway and the replicas outlive the control plane.
        stop = [*program, "shutdown", "--yes", *arguments]
        subprocess.run(stop, env=_environ(), capture_output=True, timeout=120, check=True)


def _environ() -> dict[str, str]:
    """Return the environment without settings of modelport: what is measured are its defaults."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MODELPORT_")}


def _wait_until_up(client: httpx.Client, process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + _UP_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if client.get("/modelport/v1/status").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise RuntimeError(f"modelport serve did not come up: {(folder / 'output.log').read_text()[-2000:]}")


def _checked(answer: httpx.Response) -> dict[str, Any]:
    if answer.status_code != 200:
        raise RuntimeError(f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text}")
    message: dict[str, Any] = answer.json()
    return message
