"""Part `scale`: publishing, listing and memory with many versions, live and stored."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from threading import Thread

import anyio
import psutil

from bench.platform import Platform, platform
from bench.proxies import running_gateway
from bench.report import SUMMARY_COLUMNS, Finding, Part, Table, median, summary
from modelport.core.replicas import Address
from modelport.core.routes import RouteTable, Server, Split, VersionRoute
from modelport.gateway.haproxy import HAProxyGateway

_STORED, _LIVE = 200, 50
_MIB = 1024**2
_MODEL = "projects/bench/models/m"
Changes = dict[str, list[float]]


def scale(folder: Path, *, quick: bool) -> Part:
    """Publish tables of growing size on a gateway alone; then fill a platform and look at it."""
    changes = {live: anyio.run(_publish, folder / str(live), live, 5 if quick else 20) for live in (_LIVE, 200, 1000)}
    published = Table(
        "scale: HAProxyGateway.publish until HAProxy has confirmed, by number of live versions",
        ("live", *SUMMARY_COLUMNS),
        tuple((live, *summary(what, times)) for live, whats in changes.items() for what, times in whats.items()),
    )
    worst = {
        live: max(median(times) for what, times in whats.items() if what != _FIRST) for live, whats in changes.items()
    }
    with platform(folder) as one:
        creating_s = _fill(one)
        lists = _lists(one, 20 if quick else 100)
        memory = _memory(one)
    listed = Table(
        f"scale: the API with {_STORED} stored versions of one model, {_LIVE} of them live",
        SUMMARY_COLUMNS,
        tuple(summary(what, times) for what, times in lists.items()),
    )
    return Part(
        "scale",
        (published, listed, memory, _table_of_creation(creating_s)),
        (
            *(
                Finding(f"publish of one change, {live} live, slowest kind, median", 1000 * worst[live], "ms", 50)
                for live in worst
            ),
            *(
                Finding(f"{what}, median", 1000 * median(times), "ms", 50)
                for what, times in lists.items()
                if "list" in what
            ),
        ),
    )


_FIRST = "the first table, all at once"


async def _publish(folder: Path, live: int, times: int) -> Changes:
    """Publish a table, then change one thing in it again and again."""
    found: Changes = {}

    async def publish(gateway: HAProxyGateway, what: str, table: RouteTable) -> None:
        start = time.monotonic()
        await gateway.publish(table)
        found.setdefault(what, []).append(time.monotonic() - start)

    with _accepting() as address:
        routes = tuple(_route(number, address) for number in range(live))
        table = RouteTable(routes, (_all_to(routes[0]),))
        async with running_gateway(folder) as gateway:
            await publish(gateway, _FIRST, table)
            for number in range(times):
                default = replace(table, splits=(_all_to(routes[1 + number % 2]),))
                await publish(gateway, "another default version", default)
                shares = ((routes[0].version, 90 - number), (routes[1].version, 10 + number))
                await publish(gateway, "a split of 100 buckets", replace(table, splits=(Split(_MODEL, shares),)))
                await gateway.publish(table)
                more = _route(live + number, address)
                await publish(gateway, "one version more", replace(table, routes=(*routes, more)))
                await publish(gateway, "one version less", table)
                other = replace(routes[0], servers=(Server(f"other-{number}", address),))
                await publish(gateway, "a replica in place of another", replace(table, routes=(other, *routes[1:])))
                await gateway.publish(table)
    return found


def _route(number: int, address: Address) -> VersionRoute:
    return VersionRoute(f"{_MODEL}/versions/v{number}", "/predict", (Server(f"server-{number}", address),))


def _all_to(route: VersionRoute) -> Split:
    return Split(_MODEL, ((route.version, 100),))


@contextmanager
def _accepting() -> Iterator[Address]:
    """Yield an address where connections are taken and closed: all that HAProxy's checks want of a replica."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    listener.accept()[0].close()

        thread = Thread(target=accept, daemon=True)
        thread.start()
        yield Address("127.0.0.1", listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)  # ends `accept`; closing alone would not
        thread.join()


def _fill(one: Platform) -> float:
    """Create the stored versions and return how long it took until the live ones were ready."""
    one.post("models", {"name": "m"})
    start = time.monotonic()
    live = one.wait([one.create("m", f"v{number}") for number in range(_LIVE)])
    creating_s = time.monotonic() - start
    if failed := [operation["error"] for operation in live if "error" in operation]:
        raise RuntimeError(f"{len(failed)} of {_LIVE} versions failed: {failed[0]}")
    # A version of a folder that does not exist fails at once: it is stored, and nothing of it runs.
    one.wait([one.create("m", f"w{number}", image="/does/not/exist") for number in range(_STORED - _LIVE)])
    return creating_s


def _lists(one: Platform, times: int) -> dict[str, list[float]]:
    asked = {
        "versions.list, pageSize=100": "models/m/versions?pageSize=100",
        "operations.list, pageSize=100": "operations?pageSize=100",
        "versions.get": "models/m/versions/v0",
    }
    found: dict[str, list[float]] = {what: [] for what in asked}
    for _ in range(times):
        for what, path in asked.items():
            start = time.monotonic()
            one.get(path)
            found[what].append(time.monotonic() - start)
    return found


def _memory(one: Platform) -> Table:
    replica = _replicas(one)
    shims = [process for process in replica if "process_shim" in " ".join(process.cmdline())]
    servers = [process for process in replica if process not in shims]
    rows = (
        _sizes("control plane", [one.control_plane()]),
        _sizes("HAProxy", [one.haproxy()]),
        _sizes("shim of one replica", shims),
        _sizes("tiny server of one replica", servers),
    )
    columns = ("process", "how many", "median RSS MiB", "median PSS MiB", "all PSS MiB")
    return Table(f"scale: memory with {_STORED} stored versions, {_LIVE} live", columns, rows)


def _replicas(one: Platform) -> list[psutil.Process]:
    """Return the shims of the platform's replicas and what runs below them."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if f"{one.data_dir}/replicas/" in " ".join(process.cmdline()):
                found += [process, *process.children(recursive=True)]
    return found


def _sizes(name: str, processes: list[psutil.Process]) -> tuple[str, int, float, float, float]:
    sizes = [process.memory_full_info() for process in processes]
    resident, proportional = [size.rss / _MIB for size in sizes], [size.pss / _MIB for size in sizes]
    return name, len(sizes), median(resident), median(proportional), sum(proportional)


def _table_of_creation(creating_s: float) -> Table:
    return Table(
        "scale: creating", ("what", "s"), ((f"{_LIVE} versions asked for at once, until all are READY", creating_s),)
    )
