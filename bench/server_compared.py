"""The servers that are compared: what each needs, and how it is started for one model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from bench.processes import child, free_port
from bench.server_environments import environment, server_requirements

_ROOT = Path(__file__).parents[1]
_PATIENCE_S = 90.0
_PEERS = "bench.server_peers"


class DoesNotServe(Exception):
    """A server does not start here, or does not give the answers that it should; says why."""


@dataclass(frozen=True)
class Start:
    """What a server is started with: the folder of its programs, the model's, an empty one of its own, the port."""

    programs: Path
    model: Path
    folder: Path
    port: int

    def filled(self, flags: tuple[str, ...]) -> list[str]:
        """Return the flags with `{port}` and `{model}` filled in."""
        return [flag.format(port=self.port, model=self.model) for flag in flags]


Command = Callable[[Start], list[str]]


@dataclass(frozen=True)
class Server:
    """One of the servers in one configuration.

    Attributes:
        name: as in the tables.
        requirements: what pip installs for it, beside the libraries of the models.
        command: makes its command line.
        path: where predictions are asked for.
        bare: a function on an HTTP server, no model server: shown, but no peer.
        batch: rows that its own batching may put together; 1 is none.
        tensors: it speaks the Open Inference Protocol only.
        own: it is modelport's.
    """

    name: str
    requirements: tuple[str, ...]
    command: Command
    path: str = "/predict"
    bare: bool = False
    batch: int = 1
    tensors: bool = False
    own: bool = False

    @property
    def package(self) -> str:
        """Return the name of its environment."""
        return self.name.split()[0].lower().rstrip(",")

    def body(self, instances: list[list[float]]) -> bytes:
        """Return the rows as this server wants them."""
        if not self.tensors:
            return _json({"instances": instances})
        data = [number for row in instances for number in row]
        shape = [len(instances), len(instances[0])]
        return _json({"inputs": [{"name": "rows", "shape": shape, "datatype": "FP64", "data": data}]})

    def predictions(self, answer: bytes) -> list[float]:
        """Return what is in an answer."""
        document = json.loads(answer)
        if isinstance(document, list):
            return document
        return document["outputs"][0]["data"] if self.tensors else document["predictions"]

    def interpreter(self) -> Path:
        """Return its Python, installed where need be."""
        return environment(self.package, self.requirements)

    @contextmanager
    def serving(self, model: Path, folder: Path, instances: list[list[float]]) -> Iterator[tuple[str, psutil.Process]]:
        """Run it while the body runs, from its first answer to these rows on; yield the URL and its process.

        Raises:
            DoesNotServe: it gives no answer within a patient while.
        """
        port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        environ = os.environ | {
            "PYTHONPATH": f"{_ROOT}:{_ROOT}/src",
            "JOB": str(model),
            "BATCH": str(self.batch),
            "OMP_NUM_THREADS": "1",
            "BENTOML_DO_NOT_TRACK": "true",
            "BENTOML_HOME": str(folder / "bentoml"),
        }
        start = Start(self.interpreter().parent, model, folder, port)
        with child(self.command(start), folder=folder, environ=environ) as process:
            try:
                url = f"http://127.0.0.1:{port}{self.path}"
                deadline = time.monotonic() + _PATIENCE_S
                while not _answers(url, self.body(instances)):
                    if process.poll() is not None or time.monotonic() > deadline:
                        raise DoesNotServe(f"it gives no answer: {_end_of(folder / 'output.log')}")
                    time.sleep(0.1)
                yield url, psutil.Process(process.pid)
            finally:
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(10)
                with suppress(ProcessLookupError):  # what it may have left of its own
                    os.killpg(process.pid, signal.SIGKILL)


def _json(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()  # mosec takes 10 MiB, and has no setting for it


def _answers(url: str, body: bytes) -> bool:
    try:
        answer = httpx.post(url, content=body, headers={"content-type": "application/json"}, timeout=10)
    except httpx.HTTPError:
        return False
    if answer.is_client_error and answer.status_code != httpx.codes.NOT_FOUND:  # that may be one who still loads
        raise DoesNotServe(f"it answers {answer.status_code}: {answer.text[:200]}")
    return answer.is_success


def _end_of(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it printed nothing"


def _python(module: str, *flags: str) -> Command:
    return lambda start: [str(start.programs / "python"), "-m", module, *start.filled(flags)]


def _program(name: str, *flags: str) -> Command:
    return lambda start: [str(start.programs / name), *start.filled(flags)]


def _mlserver(start: Start) -> list[str]:
    settings = {
        "host": "127.0.0.1",
        "http_port": start.port,
        "grpc_port": free_port(),
        "metrics_port": free_port(),
        "parallel_workers": 0,  # in its own process, which is the faster way for one model
        "debug": False,
    }
    model = {
        "name": "job",
        "implementation": f"{_PEERS}.mlserver.Job",
        "max_batch_size": 64,
        "max_batch_time": 0.001,
    }
    (start.folder / "settings.json").write_text(json.dumps(settings))
    (start.folder / "model-settings.json").write_text(json.dumps(model))
    return [str(start.programs / "mlserver"), "start", str(start.folder)]


_QUIET = ("--host", "127.0.0.1", "--port", "{port}", "--no-access-log", "--log-level", "warning")
_UVICORN = ("uvicorn[standard]", "orjson")
_MOSEC = _python(f"{_PEERS}.mosec", "--address", "127.0.0.1", "--port", "{port}", "--log-level", "warning")
_BENTOML = _program("bentoml", "serve", f"{_PEERS}.bentoml:Job", "--host", "127.0.0.1", "--port", "{port}")

_MODELPORT = ("{model}", "--host", "127.0.0.1", "--port", "{port}", "--workers")

MODELPORT = Server("modelport", server_requirements(), _python("modelport.server", *_MODELPORT, "1"), own=True)
SERVERS = (
    MODELPORT,
    # mosec reads HTTP in a process beside its worker; this is what two processes do here.
    Server("modelport, two workers", server_requirements(), _python("modelport.server", *_MODELPORT, "2"), own=True),
    Server("mosec", ("mosec", "numpy", "orjson"), _MOSEC, path="/inference"),
    Server("mosec batching", ("mosec", "numpy", "orjson"), _MOSEC, path="/inference", batch=16),
    Server("FastAPI", ("fastapi", *_UVICORN), _program("uvicorn", f"{_PEERS}.fastapi:app", *_QUIET)),
    Server(
        "Flask",
        ("flask", "gunicorn", "orjson"),
        _program(
            "gunicorn", f"{_PEERS}.flask:app", "--bind", "127.0.0.1:{port}", "--threads", "16", "--keep-alive", "60"
        ),
    ),
    Server("KServe", ("kserve",), _python(f"{_PEERS}.kserve", "{port}"), path="/v1/models/job:predict"),
    Server("MLServer batching", ("mlserver",), _mlserver, path="/v2/models/job/infer", batch=64, tensors=True),
    Server("LitServe", ("litserve", "numpy"), _python(f"{_PEERS}.litserve", "{port}")),
    Server("LitServe batching", ("litserve", "numpy"), _python(f"{_PEERS}.litserve", "{port}"), batch=16),
    Server("BentoML batching", ("bentoml", "numpy"), _BENTOML, batch=64),
    Server("uvicorn, bare ASGI", _UVICORN, _program("uvicorn", f"{_PEERS}.asgi:app", *_QUIET), bare=True),
    Server(
        "Granian, bare RSGI",
        ("granian[uvloop]", "orjson"),
        _program(
            "granian",
            "--interface",
            "rsgi",
            "--host",
            "127.0.0.1",
            "--port",
            "{port}",
            "--log-level",
            "warning",
            f"{_PEERS}.rsgi:app",
        ),
        bare=True,
    ),
)
