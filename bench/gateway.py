"""Part `gateway`: what the gateway costs, beside the upstream itself and beside HAProxy with two lines."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import psutil

from bench.machine import tool
from bench.nginx import SIZES, nginx
from bench.processes import cpu_s
from bench.proxies import published, two_line_haproxy
from bench.report import Finding, Part, Table, median, shown
from bench.wrk import Load, Measured, measure
from modelport.core.replicas import Address
from modelport.core.routes import RouteTable, Server, Split, VersionRoute

DIRECT, TWO_LINES, MODELPORT = "direct", "two-line HAProxy", "modelport"
CONNECTIONS = (1, 32)

_PROJECT = "projects/bench/models"


@dataclass(frozen=True)
class Target:
    """What is asked, and the proxy that works for it."""

    url: str
    proxy: psutil.Process | None = None


@dataclass(frozen=True)
class Run:
    """One run, and the CPU time that the proxy took for a request of it."""

    measured: Measured
    cpu_us: float


Rounds = list[dict[str, Run]]


def gateway(folder: Path, *, quick: bool) -> Part:
    """Measure every size with every number of connections, the three targets in turn, round after round."""
    tool("wrk")
    cells: dict[tuple[str, int], Rounds] = {}
    with (
        nginx(folder) as upstream,
        two_line_haproxy(folder, upstream) as (plain, plain_process),
        published(folder, _table(upstream)) as (port, process),
    ):
        for connections, (name, size) in product(CONNECTIONS, SIZES.items()):
            if quick and (connections, size) == (max(CONNECTIONS), max(SIZES.values())):
                continue  # a round in which every connection gets its turn takes long
            targets = {
                DIRECT: Target(f"http://127.0.0.1:{upstream}/{size}"),
                TWO_LINES: Target(f"http://127.0.0.1:{plain}/{size}", plain_process),
                MODELPORT: Target(f"http://127.0.0.1:{port}/v1/{_PROJECT}/m{size}:predict", process),
            }
            load = Load(size, connections, _seconds(size, connections, quick))
            cells[name, connections] = _rounds(targets, load, 2 if quick else 5, folder)
    return Part("gateway", (_all_runs(cells), _ratios(cells)), _findings(cells))


def _seconds(size: int, connections: int, quick: bool) -> int:
    """Return how long a run takes: of the largest bodies too few would pass in the time that is enough for others."""
    if size < max(SIZES.values()):
        return 1 if quick else 2
    return 3 if connections == 1 else 10


def _rounds(targets: dict[str, Target], load: Load, rounds: int, folder: Path) -> Rounds:
    """Take the targets in turn, each round in the opposite order of the last: drift of the machine cancels out."""
    found = []
    measure(targets[DIRECT].url, load, folder)  # the first run would pay for memory that the others find in place
    for number in range(rounds):
        order = list(targets) if number % 2 == 0 else list(reversed(targets))
        found.append({name: _run(targets[name], load, folder) for name in order})
    return found


def _run(target: Target, load: Load, folder: Path) -> Run:
    before = cpu_s(target.proxy) if target.proxy else 0.0
    measured = measure(target.url, load, folder)
    used_s = cpu_s(target.proxy) - before if target.proxy else 0.0
    return Run(measured, 1e6 * used_s / measured.requests)


def _table(port: int) -> RouteTable:
    """Return a model for each size, with one version that nginx answers for."""
    routes = tuple(
        VersionRoute(
            f"{_PROJECT}/m{size}/versions/v1",
            f"/{size}",
            (Server(f"nginx-{size}", Address("127.0.0.1", port)),),
        )
        for size in SIZES.values()
    )
    return RouteTable(routes, tuple(Split(f"{_PROJECT}/m{size}", ((r.version, 100),)) for size, r in _sized(routes)))


def _sized(routes: tuple[VersionRoute, ...]) -> list[tuple[int, VersionRoute]]:
    return list(zip(SIZES.values(), routes, strict=True))


def _all_runs(cells: dict[tuple[str, int], Rounds]) -> Table:
    rows: list[tuple[str | float, ...]] = []
    for (size, connections), rounds in cells.items():
        for name in (DIRECT, TWO_LINES, MODELPORT):
            runs = [one[name] for one in rounds]
            values = (
                median([run.measured.requests_s for run in runs]),
                median([run.measured.p50_ms for run in runs]),
                median([run.measured.p99_ms for run in runs]),
                "" if name == DIRECT else shown(median([run.cpu_us for run in runs])),
                sum(run.measured.failed for run in runs),
            )
            rows.append((size, connections, name, *values))
    columns = ("body", "connections", "target", "requests/s", "p50 ms", "p99 ms", "proxy CPU us/request", "failed")
    return Table("gateway: POST with a body, answered with as much; medians of all rounds", columns, tuple(rows))


def _ratios(cells: dict[tuple[str, int], Rounds]) -> Table:
    rows = [
        (
            size,
            connections,
            _throughput(rounds),
            median([one[MODELPORT].cpu_us / max(one[TWO_LINES].cpu_us, 1) for one in rounds]),
            _added(rounds, TWO_LINES, DIRECT),
            _added(rounds, MODELPORT, TWO_LINES),
            _added(rounds, MODELPORT, DIRECT),
        )
        for (size, connections), rounds in cells.items()
    ]
    columns = (
        *("body", "connections", "requests/s: modelport/two-line", "CPU: modelport/two-line"),
        *("p50 ms: two-line - direct", "modelport - two-line", "modelport - direct"),
    )
    return Table("gateway: compared within each round; medians", columns, tuple(rows))


def _findings(cells: dict[tuple[str, int], Rounds]) -> tuple[Finding, ...]:
    latency = [
        Finding(f"added median, {size}, 1 connection", _added(cells[size, 1], MODELPORT, DIRECT), "ms", 0.1)
        for size in SIZES
        if size != "10 MB"  # that moving ten megabytes twice more takes longer than 0.1 ms is no property of a gateway
    ]
    throughput = [
        Finding(
            f"throughput beside two-line HAProxy, {size}, {connections} connection{'s' * (connections > 1)}",
            100 * _throughput(rounds),
            "%",
            70,
            at_least=True,
        )
        for (size, connections), rounds in cells.items()
    ]
    failed = sum(run.measured.failed for rounds in cells.values() for one in rounds for run in one.values())
    return (*latency, *throughput, Finding("failed requests", failed, "", 0))


def _throughput(rounds: Rounds) -> float:
    return median([one[MODELPORT].measured.requests_s / one[TWO_LINES].measured.requests_s for one in rounds])


def _added(rounds: Rounds, target: str, base: str) -> float:
    return median([one[target].measured.p50_ms - one[base].measured.p50_ms for one in rounds])
