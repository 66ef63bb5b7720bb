"""Looks into a container of this machine by way of /proc and its control group, without asking the engine."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from modelport.core.facts import ListeningSocket, ProcessFacts
from modelport.drivers.cgroups import Cgroup, Usage, cgroup_of, read_groups, read_usage
from modelport.drivers.processes import read_process, read_processes, started_at
from modelport.drivers.sockets import listening_sockets, read_tables

PROC = Path("/proc")

# /proc tells starts to the second, and the engine writes down a moment after the start when that was.
_START_TOLERANCE_S = 3.0


@dataclass(frozen=True)
class Inside:
    """What is seen inside a running container; None where it cannot be seen."""

    sockets: tuple[ListeningSocket, ...] | None = None
    processes: tuple[ProcessFacts, ...] | None = None
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True)
class RunningContainer:
    """Which container it is; `pid` is that of its first process as the engine sees it."""

    id: str
    pid: int
    started_at: float | None
    shares_host_network: bool = False


def is_here(container: RunningContainer, proc: Path = PROC) -> bool:
    """Return whether the engine's process number means the container on this machine too.

    With an engine on another machine, in a virtual machine or beside our own container, it is some other process.
    """
    groups = read_groups(container.pid, proc)
    if container.id in groups:
        return True
    # Without control groups: the first process of a namespace, started just when the container was.
    begun, process = started_at(container.pid, proc), read_process(container.pid, proc)
    return bool(
        begun is not None
        and container.started_at is not None
        and abs(begun - container.started_at) < _START_TOLERANCE_S
        and process is not None
        and process.facts.pid == 1 != container.pid
    )


def group_of(container: RunningContainer, proc: Path = PROC) -> Cgroup | None:
    """Return the container's own control group; None where it has none, or is not of this machine."""
    return cgroup_of(container.pid, proc) if container.id in read_groups(container.pid, proc) else None


def look_inside(container: RunningContainer, proc: Path = PROC) -> Inside | None:
    """Return what is seen; None where the container is not of this machine, or has just ended."""
    if not is_here(container, proc):
        return None
    group = group_of(container, proc)
    processes = read_processes((group.pids() if group else ()) or (container.pid,), proc)
    rows = read_tables(container.pid, proc)
    if rows is None or not processes:
        return None
    return Inside(
        sockets=listening_sockets(rows, processes, owned_only=container.shares_host_network, proc=proc),
        processes=tuple(process.facts for process in processes),
        usage=read_usage(group) if group else Usage(),
    )
