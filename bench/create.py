"""Part `create`: how soon after a container is ready the API says so, and what a whole `modelport deploy` takes."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from bench.platform import TINY, Platform, platform
from bench.report import SUMMARY_COLUMNS, Finding, Part, Table, median, summary

_START_S = 0.2  # until then the tiny server says that it is not ready, as one that loads a model does
_POLL_S = 0.003


@dataclass(frozen=True)
class Creation:
    """Moments of one version, on the clock that all processes of the machine share."""

    asked: float
    started: float
    ready: float
    answered: float
    seen: float


def create(folder: Path, *, quick: bool) -> Part:
    """Create versions one after the other, then deploy some from the command line."""
    with platform(folder) as one:
        one.post("models", {"name": "m"})
        creations = [_create(one, f"v{number}") for number in range(20 if quick else 30)]
        deploys = [_deploy(one, f"d{number}") for number in range(3 if quick else 7)]
        bare = [_command_line(one) for _ in deploys]
    after_answer = [one.seen - one.answered for one in creations]
    rows = (
        summary("create called -> server's process started", [one.started - one.asked for one in creations]),
        summary("server's process started -> ready", [one.ready - one.started for one in creations]),
        summary("ready -> its first healthy answer (the probe comes)", [one.answered - one.ready for one in creations]),
        summary("first healthy answer -> READY in operations.get", after_answer),
        summary("ready -> READY in operations.get", [one.seen - one.ready for one in creations]),
        summary("deploy: whole command", [whole for whole, _ in deploys]),
        summary("deploy: without the server's own start", [whole - own for whole, own in deploys]),
        summary("of that, a command that asks one thing (models list)", bare),
    )
    return Part(
        "create",
        (Table("create: process versions, one after the other", SUMMARY_COLUMNS, rows),),
        (
            Finding("first healthy answer -> READY, median", 1000 * median(after_answer), "ms", 100),
            Finding("ready -> READY, median", 1000 * median([one.seen - one.ready for one in creations]), "ms", 100),
            Finding("deploy without the server's own start, median", median([w - own for w, own in deploys]), "s", 2),
        ),
    )


def _create(one: Platform, version: str) -> Creation:
    asked = time.monotonic()
    operation = one.create("m", version, env={"START_S": str(_START_S)})
    path = one.path_of(operation)
    while not (answer := one.get(path)).get("done"):
        if time.monotonic() - asked > 60:
            raise RuntimeError(f"{version} is not READY after a minute")
        time.sleep(_POLL_S)
    seen = time.monotonic()
    if "error" in answer:
        raise RuntimeError(f"{version} failed: {answer['error']}")
    times = _times(one, "m", version)
    return Creation(asked, times["started"], times["ready"], times["answered"], seen)


def _times(one: Platform, model: str, version: str) -> dict[str, float]:
    (replica,) = one.inspect(model, version)["replicas"]
    times: dict[str, float] = httpx.get(f"http://{replica['address']}/times", trust_env=False).json()
    return times


def _deploy(one: Platform, model: str) -> tuple[float, float]:
    """Return the time of the whole command, and of the server's own start: from its process's birth to ready."""
    arguments = ["deploy", str(TINY), "--model", model, "--version", "v1"]
    arguments += ["--health-route", "/health", "--predict-route", "/predict", "--project", one.project]
    whole = _timed(one, arguments)
    times = _times(one, model, "v1")
    return whole, times["ready"] - times["born"]


def _command_line(one: Platform) -> float:
    return _timed(one, ["models", "list", "--project", one.project])


def _timed(one: Platform, arguments: list[str]) -> float:
    start = time.monotonic()
    process = subprocess.run(
        [sys.executable, "-m", "modelport", *arguments, "--endpoint", one.url],
        env=one.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    end = time.monotonic()
    if process.returncode:
        raise RuntimeError(f"modelport {' '.join(arguments)} ended with {process.returncode}: {process.stderr}")
    return end - start
