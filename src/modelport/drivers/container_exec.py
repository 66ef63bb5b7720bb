"""Looks into a container through the engine, for one that does not run on this machine; slow, so rarely asked."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from itertools import islice
from typing import Any

import aiodocker
import aiohttp
import anyio

from modelport.core.facts import ListeningSocket, ProcessFacts
from modelport.drivers.cgroups import Usage
from modelport.drivers.container_proc import Inside
from modelport.drivers.docker_calls import calling
from modelport.drivers.processes import MOST_PROCESSES
from modelport.drivers.sockets import listening_rows, listening_sockets

_DEADLINE_S = 5
_TABLE_BYTES = 1 << 20
_LOOK = ("cat", "/proc/net/tcp", "/proc/net/tcp6")
# What may go wrong with one question must not cost the others their answers.
_FAILURES = (aiodocker.DockerError, aiohttp.ClientError, OSError, TimeoutError, ValueError, LookupError, TypeError)


async def look_through_engine(client: aiodocker.Docker, container: str, *, podman: bool) -> Inside:
    """Return what the engine tells about a running container; never raises."""
    sockets: tuple[ListeningSocket, ...] | None = None
    processes: tuple[ProcessFacts, ...] | None = None
    usage = Usage()

    async def ask_sockets() -> None:
        nonlocal sockets
        with suppress(*_FAILURES):
            sockets = await _sockets(client, container)

    async def ask_processes() -> None:
        nonlocal processes
        with suppress(*_FAILURES):
            # Podman takes its own words, and would run the container's `ps`, if any, for others.
            columns = "pid,state,args" if podman else "-eo pid,stat,args"
            processes = processes_of(await _json(client, f"containers/{container}/top", {"ps_args": columns}))

    async def ask_usage() -> None:
        nonlocal usage
        with suppress(*_FAILURES):
            once = {"stream": "false", "one-shot": "true"}
            usage = usage_of(await _json(client, f"containers/{container}/stats", once))

    with anyio.move_on_after(_DEADLINE_S):
        async with anyio.create_task_group() as group:
            for question in (ask_sockets, ask_processes, ask_usage):
                group.start_soon(question)
    return Inside(sockets, processes, usage)


async def _json(client: aiodocker.Docker, path: str, params: Mapping[str, str]) -> Any:
    async with calling(client, "GET", path, params) as response:
        # Podman does not say which type it is, and has nothing but `null` for a container that has just ended.
        return await response.json(content_type=None) or {}


async def _sockets(client: aiodocker.Docker, container: str) -> tuple[ListeningSocket, ...] | None:
    run = await client.containers.container(container).exec([*_LOOK], stdout=True, stderr=False)
    output = b""
    async with run.start(detach=False) as stream:
        while (message := await stream.read_out()) is not None and len(output) < _TABLE_BYTES:
            output += message.data
    text = output.decode(errors="replace")
    # Its heading is there even when nothing listens; without it there was no `cat`.
    return listening_sockets(listening_rows(text), ()) if "local_address" in text else None


def processes_of(top: Mapping[str, Any]) -> tuple[ProcessFacts, ...]:
    """Read processes from `GET /containers/NAME/top` with the columns pid, state and command, but for our own look."""
    rows = (row for row in top["Processes"] or () if len(row) >= 3)
    found = (
        ProcessFacts(int(row[0]), tuple(" ".join(row[2:]).split()), _STATES.get(row[1][:1], row[1])) for row in rows
    )
    return tuple(islice((one for one in found if one.command != _LOOK), MOST_PROCESSES))


def usage_of(stats: Mapping[str, Any]) -> Usage:
    """Read what a container uses from `GET /containers/NAME/stats`."""
    memory = stats.get("memory_stats") or {}
    details = memory.get("stats") or {}
    cache = details.get("total_inactive_file", details.get("inactive_file", 0))
    cpu = (stats.get("cpu_stats") or {}).get("cpu_usage") or {}
    return Usage(
        memory_bytes=max(0, memory["usage"] - cache) if "usage" in memory else None,
        memory_peak_bytes=memory.get("max_usage"),
        memory_limit_bytes=memory.get("limit"),
        cpu_s=cpu["total_usage"] / 1e9 if "total_usage" in cpu else None,
    )


_STATES = {
    "R": "running",
    "S": "sleeping",
    "D": "disk sleep",
    "I": "idle",
    "T": "stopped",
    "t": "tracing stop",
    "Z": "zombie",
}
