"""The prediction server beside its peers: the same models, the same rows, one worker each, in one run."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import numpy as np
import psutil

from bench.report import Finding, Part, Table, median
from bench.server_compared import MODELPORT, SERVERS, DoesNotServe, Server
from bench.server_environments import CannotInstall, libraries
from bench.wrk import Load, measure

_ROOT = Path(__file__).parents[1]
_MIB = 1024 * 1024
_WARM_UP_S = 1


@dataclass(frozen=True)
class Work:
    """A model, and what is asked of it; `quickly` is over how many connections with --quick."""

    title: str
    model: str
    rows: int
    columns: int
    connections: tuple[int, ...]
    quickly: tuple[int, ...]
    ratio: float  # how many times the best peer's throughput is aimed at

    def instances(self) -> list[list[float]]:
        """Return the rows of a request: always the same ones, six digits each."""
        numbers = np.random.default_rng(1).uniform(0.1, 7.9, (self.rows, self.columns))
        return [[round(number, 6) for number in row] for row in numbers.tolist()]


WORKS = (
    Work("iris, one row", "iris", 1, 4, (1, 16, 64), (1, 16, 64), 3),
    Work("embeddings, 100 KB", "linear", 11, 1024, (1, 16), (16,), 2),
    Work("embeddings, 10 MB", "linear", 1100, 1024, (1, 4), (4,), 2),
    Work("XGBoost, one row", "xgboost", 1, 4, (1, 16, 64), (16,), 3),
    Work("ONNX, one row", "onnx", 1, 4, (1, 16, 64), (16,), 3),
)


@dataclass
class Found:
    """All that was measured of the servers that serve; why the others do not."""

    requests_s: dict[tuple[str, str, int], list[float]] = field(default_factory=dict)
    p50_ms: dict[tuple[str, str, int], list[float]] = field(default_factory=dict)
    p99_ms: dict[tuple[str, str, int], list[float]] = field(default_factory=dict)
    idle_mib: dict[str, float] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    absent: dict[tuple[str, str], str] = field(default_factory=dict)

    def throughput(self, server: Server, work: Work, connections: int) -> float:
        """Return the median of the rounds, or 0 where there is none."""
        return median(self.requests_s.get((server.name, work.title, connections), [0.0]))


def server(folder: Path, *, quick: bool, only: Sequence[str] = (), seconds: int = 0) -> Part:
    """Measure modelport's server and its peers."""
    seconds = seconds or (2 if quick else 6)
    chosen = [one for one in SERVERS if not only or one.own or one.package in only]
    works = tuple(replace(work, connections=work.quickly) for work in WORKS) if quick else WORKS
    _say("making the models")
    models = folder / "models"
    subprocess.run([libraries(), "-m", "bench.server_models", models], cwd=_ROOT, check=True)
    in_process = {work.title: _in_process(models / work.model, work) for work in works}
    found = Found()
    chosen = [one for one in chosen if _installed(one, found)]
    for work in works:
        # There and back, so that a machine that grows slower or faster meanwhile favours none of them.
        for order in [chosen] if quick else [chosen, chosen[::-1]]:
            for one in order:
                if (one.name, work.title) not in found.absent:
                    _measure(one, work, models, folder, seconds, found)
    return _part(found, chosen, works, in_process)


def _installed(one: Server, found: Found) -> bool:
    try:
        one.interpreter()
    except CannotInstall as reason:
        found.absent[one.name, "everything"] = f"cannot be installed: {reason}"
        return False
    return True


def _measure(one: Server, work: Work, models: Path, folder: Path, seconds: int, found: Found) -> None:
    instances = work.instances()
    own = folder / f"{one.name}-{time.monotonic_ns()}".replace(" ", "-")
    try:
        with one.serving(models / work.model, own, instances) as (url, process):
            if work.model == WORKS[0].model and one.name not in found.idle_mib:
                found.idle_mib[one.name] = _pss_mib(process)
            body = one.body(instances)
            _compare(one, url, body, models / work.model, instances)
            for connections in work.connections:
                measure(url, Load(len(body), connections, _WARM_UP_S), own, body=body)
                seen = measure(url, Load(len(body), connections, seconds), own, body=body)
                key = one.name, work.title, connections
                found.requests_s.setdefault(key, []).append(seen.requests_s)
                found.p50_ms.setdefault(key, []).append(seen.p50_ms)
                found.p99_ms.setdefault(key, []).append(seen.p99_ms)
                found.failed[one.name] = found.failed.get(one.name, 0) + seen.failed
                _say(f"{one.name}: {work.title}, {connections}: {seen.requests_s:.0f}/s, p50 {seen.p50_ms} ms")
    except (DoesNotServe, RuntimeError) as reason:
        _say(f"{one.name}: {work.title}: {reason}")
        found.absent[one.name, work.title] = str(reason)


def _compare(one: Server, url: str, body: bytes, model: Path, instances: list[list[float]]) -> None:
    """Be sure that the server does the job that is measured."""
    answer = httpx.post(url, content=body, headers={"content-type": "application/json"}, timeout=60).content
    code = "import json,sys,pathlib; from bench.server_job import answers, load;"
    code += "print(json.dumps(answers(load(pathlib.Path(sys.argv[1])), json.load(sys.stdin))))"
    right = json.loads(
        subprocess.run(
            [libraries(), "-c", code, model],
            cwd=_ROOT,
            input=json.dumps(instances),
            text=True,
            capture_output=True,
            check=True,
        ).stdout
    )
    if not np.allclose(one.predictions(answer), right, rtol=1e-5):
        raise DoesNotServe(f"its predictions are not the model's: {answer[:100]!r}")


def _in_process(model: Path, work: Work) -> dict[str, float]:
    command = [libraries(), "-m", "bench.server_inprocess", model, str(work.rows), str(work.columns)]
    environ = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=_ROOT, env=environ, text=True, capture_output=True, check=True)
    seen: dict[str, float] = json.loads(done.stdout)
    return seen


def _import_ms() -> float:
    """Return what importing the server takes beyond starting Python."""

    def run(code: str) -> float:
        before = time.perf_counter()
        environ = os.environ | {"PYTHONPATH": f"{_ROOT}/src"}
        subprocess.run([MODELPORT.interpreter(), "-c", code], env=environ, check=True)
        return time.perf_counter() - before

    pairs = [(run("import modelport.server.main"), run("pass")) for _ in range(7)]
    return statistics.median(one - bare for one, bare in pairs) * 1e3


def _pss_mib(process: psutil.Process) -> float:
    time.sleep(1)  # what loading left behind is given back
    sizes = [one.memory_full_info().pss for one in (process, *process.children(recursive=True))]
    return sum(sizes) / _MIB


def _part(
    found: Found, chosen: Iterable[Server], works: Sequence[Work], in_process: dict[str, dict[str, float]]
) -> Part:
    served = [one for one in chosen if any(key[0] == one.name for key in found.requests_s)]
    tables = [_table(found, served, work, in_process[work.title]["median_ms"]) for work in works]
    model_mib = in_process[works[0].title]["model_mib"]
    tables.append(
        Table(
            f"server: memory when idle, the model and its libraries being {model_mib:.0f} MiB of it",
            ("server", "PSS MiB", "beyond the model MiB"),
            tuple((one.name, found.idle_mib[one.name], found.idle_mib[one.name] - model_mib) for one in served),
        )
    )
    import_ms = _import_ms()
    tables.append(Table("server: import time", ("what", "ms"), (("modelport.server, beyond Python's own", import_ms),)))
    if any(found.failed.values()):
        rows = tuple((name, count) for name, count in found.failed.items() if count)
        tables.append(Table("server: failed requests", ("server", "failed"), rows))
    if found.absent:
        tables.append(
            Table(
                "server: not in this run",
                ("server", "with", "why"),
                tuple((*key, why) for key, why in found.absent.items()),
            )
        )
    return Part("server", tuple(tables), _findings(found, served, works, in_process))


def _table(found: Found, served: list[Server], work: Work, in_process_ms: float) -> Table:
    columns = ["server"]
    for connections in work.connections:
        columns += [f"{connections}: {what}" for what in ("/s", "ratio", "p50 ms", "p99 ms")]
    rows = []
    for one in served:
        cells: list[str | float] = [one.name]
        for connections in work.connections:
            own, key = found.throughput(one, work, connections), (one.name, work.title, connections)
            if not own:
                cells += ["-", "-", "-", "-"]
                continue
            ratio = found.throughput(MODELPORT, work, connections) / own
            cells += [own, ratio, median(found.p50_ms[key]), median(found.p99_ms[key])]
        rows.append(tuple(cells))
    title = (
        f"server: {work.title}, by connections (ratio: modelport's requests/s to these);"
        f" predict in process takes {in_process_ms:.3f} ms"
    )
    return Table(title, tuple(columns), tuple(rows))


def _findings(
    found: Found, served: list[Server], works: Sequence[Work], in_process: dict[str, dict[str, float]]
) -> tuple[Finding, ...]:
    findings = []
    peers = [one for one in served if not one.own and not one.bare]
    for work in works:
        alone = found.p50_ms.get((MODELPORT.name, work.title, 1))
        if work.rows == 1 and alone:
            added = median(alone) - in_process[work.title]["median_ms"]
            findings.append(Finding(f"{work.title}: 1 connection, median beyond in process", added, "ms", 0.2))
        for connections in work.connections:
            own = found.throughput(MODELPORT, work, connections)
            if not own or (work.rows == 1 and connections == 1):
                continue
            findings += _ratios(found, work, connections, own, peers)
    if MODELPORT.name in found.idle_mib:
        beyond = found.idle_mib[MODELPORT.name] - in_process[works[0].title]["model_mib"]
        findings.append(Finding("memory when idle, beyond the model", beyond, "MiB", 60))
    return tuple(findings)


def _ratios(found: Found, work: Work, connections: int, own: float, peers: list[Server]) -> list[Finding]:
    findings = []
    what = f"{work.title}: {connections} connections, requests/s beside"
    others = {one.name: found.throughput(one, work, connections) for one in peers}
    if best := max(others.values(), default=0.0):
        name = next(name for name, throughput in others.items() if throughput == best)
        findings.append(Finding(f"{what} the best peer ({name})", own / best, "x", work.ratio, at_least=True))
    if others.get("mosec") and work.rows == 1:
        alone = Finding(f"{what} mosec without batching", own / others["mosec"], "x", work.ratio, at_least=True)
        findings.append(alone)
    lit = max((value for name, value in others.items() if name.startswith("LitServe")), default=0.0)
    if lit and work.rows == 1:
        findings.append(Finding(f"{what} LitServe", own / lit, "x", 8, at_least=True))
    return findings


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
