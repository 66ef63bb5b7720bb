"""A whole platform for a test: `modelport serve` as its own process, killed and started again as the test wants."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.ports import free_port

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "tests" / "images"
FAST = {
    "MODELPORT_PROBE_PERIOD_S": "0.5",
    "MODELPORT_STOP_GRACE_S": "2",
    "MODELPORT_DRAIN_S": "5",
    "MODELPORT_CREATE_DEADLINE_S": "30",
}


def eventually(check: Callable[[], Any], *, within_s: float = 20, what: str = "") -> Any:
    """Return the first true value of `check`; the last exception or a plain failure when time is up."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            if value := check():
                return value
            problem: Exception = AssertionError(what or "it did not become true in time")
        except (AssertionError, httpx.HTTPError, LookupError) as error:
            problem = error
        if time.monotonic() > deadline:
            raise problem
        time.sleep(0.02)


class Platform:
    """One data directory and the control plane on it; the gateway and the replicas outlive `kill`."""

    def __init__(self, directory: Path, driver: str, environ: dict[str, str]) -> None:
        self.directory = directory
        self.driver = driver
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environ = {**os.environ, **FAST, **environ}
        self.process: subprocess.Popen[bytes] | None = None
        self.client = httpx.Client(base_url=self.url, timeout=30, trust_env=False)

    @property
    def arguments(self) -> list[str]:
        return ["--data-dir", str(self.directory), "--listen", f"127.0.0.1:{self.port}", "--driver", self.driver]

    @property
    def log(self) -> str:
        return (self.directory.parent / "serve.log").read_text()

    def start(self) -> None:
        with (self.directory.parent / "serve.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "modelport", "serve", *self.arguments],
                env=self.environ,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        eventually(self._up, within_s=60, what="the control plane did not come up")

    def _up(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise RuntimeError(f"modelport serve ended with {self.process.returncode}:\n{self.log}")
        return self.client.get("/modelport/v1/status").status_code == 200

    def kill(self) -> None:
        """kill -9 of the control plane."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(20)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
        subprocess.run(
            [sys.executable, "-m", "modelport", "shutdown", "--yes", *self.arguments[:2], *self.arguments[4:]],
            env=self.environ,
            capture_output=True,
            timeout=60,
            check=True,
        )
        self.client.close()

    # What tests do all the time.

    def post(self, path: str, body: Any = None) -> dict[str, Any]:
        return self._checked(self.client.post(f"/v1/projects/p/{path}", json=body if body is not None else {}))

    def get(self, path: str) -> dict[str, Any]:
        return self._checked(self.client.get(f"/v1/projects/p/{path}"))

    def delete(self, path: str) -> dict[str, Any]:
        return self._checked(self.client.delete(f"/v1/projects/p/{path}"))

    @staticmethod
    def _checked(answer: httpx.Response) -> dict[str, Any]:
        assert answer.status_code == 200, answer.text
        return answer.json()

    def create(self, model: str, version: str, image: str, **fields: Any) -> dict[str, Any]:
        """Create a version of the echo image, with its routes; return the operation."""
        container = {"image": image, **fields.pop("container", {})}
        spec = {"name": version, "container": container, "routes": {"predict": "/predict", "health": "/health"}}
        return self.post(f"models/{model}/versions", {**spec, **fields})

    def wait(self, operation: dict[str, Any], *, within_s: float = 30) -> dict[str, Any]:
        """Return the operation once it is done."""
        name = operation["name"].split("/", 2)[2]

        def done() -> dict[str, Any] | None:
            answer = self.get(name)
            return answer if answer.get("done") else None

        return eventually(done, within_s=within_s, what=f"{name} is not done")

    def ready(self, model: str, version: str, image: str, **fields: Any) -> None:
        """Create the model where it is missing, and a version; return when it is READY."""
        if self.client.get(f"/v1/projects/p/models/{model}").status_code == 404:
            self.post("models", {"name": model})
        operation = self.wait(self.create(model, version, image, **fields))
        assert "error" not in operation, operation["error"]

    def predict(self, name: str, body: Any = None) -> httpx.Response:
        return self.client.post(f"/v1/projects/p/{name}:predict", json=body or {"instances": [[1]]})

    def inspect(self, model: str, version: str) -> dict[str, Any]:
        answer = self.client.get(f"/modelport/v1/projects/p/models/{model}/versions/{version}:inspect")
        return self._checked(answer)

    def haproxy(self) -> psutil.Process:
        """The gateway's process, found by the directory it runs in."""
        for process in psutil.process_iter(["name"]):
            with suppress(psutil.Error):  # one that is just ending
                if process.info["name"] == "haproxy" and Path(process.cwd()) == self.directory / "gateway":
                    return process
        raise AssertionError("HAProxy does not run")


@contextmanager
def platform(driver: str = "process", **environ: str) -> Iterator[Platform]:
    """Yield a running platform in a fresh directory, short enough for sockets."""
    directory = Path(tempfile.mkdtemp(prefix="mp-"))
    one = Platform(directory / "data", driver, environ)
    try:
        one.start()
        yield one
    finally:
        try:
            one.close()
        finally:
            shutil.rmtree(directory, ignore_errors=True)
