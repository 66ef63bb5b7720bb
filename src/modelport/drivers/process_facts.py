"""What is seen of a replica of the process driver: its processes, their sockets, and what they use.

Functions block for as long as /proc takes; call them in a thread.
"""

from __future__ import annotations

import operator
import platform
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar

import psutil

from modelport.core.facts import EntryFile, HostFacts, ImageFacts, ListeningSocket, ProcessFacts, ReplicaFacts
from modelport.core.replicas import EnvVar
from modelport.drivers import cgroups, host_facts, process_folder
from modelport.drivers.entry_file import candidates, read_entry
from modelport.drivers.process_command import Folder
from modelport.drivers.processes import MOST_PROCESSES, SeenProcess
from modelport.drivers.sockets import listening_sockets, read_tables

T = TypeVar("T", int, float)


def replica_facts(folder: Path) -> ReplicaFacts | None:
    """Return what is known of the replica in this folder, and seen of it where it runs; None where there is none."""
    replica, record = process_folder.read_replica(folder), process_folder.read_record(folder)
    if replica is None or record is None:
        return None
    processes = _program_processes(folder) if process_folder.is_held(folder) else []
    seen = [process for process in map(_seen, processes[:MOST_PROCESSES]) if process is not None]
    return ReplicaFacts(
        taken_at=datetime.now(UTC),
        attempt=int(record["attempt"]),
        image=folder_facts(Path(record["cwd"]).as_uri(), record["cwd"]),
        command=tuple(record["argv"]),
        working_dir=str(record["cwd"]),
        sockets=_sockets(seen) if seen else None,
        processes=tuple(process.facts for process in seen) if seen else None,
        cpu_s=_total(processes, _cpu_s),
        memory_bytes=_total(processes, _memory_bytes),
        entry=_entry(record),
        address="127.0.0.1",
    )


def folder_facts(reference: str, path: str, folder: Folder | None = None) -> ImageFacts:
    """Return what there is to say about a folder; it runs as this user on this machine."""
    start = folder.dockerfile if folder else None
    return ImageFacts(
        reference=reference,
        os=sys.platform,
        architecture=host_facts.architecture(platform.machine()),
        env=tuple(EnvVar(name, value) for name, value in start.env.items()) if start else (),
        entrypoint=start.entrypoint if start else (),
        command=start.cmd if start else (),
        working_dir=path,
    )


def machine_facts(driver: str, directory: Path) -> HostFacts:
    """Return what replicas run on."""
    return HostFacts(
        driver=driver,
        driver_version=f"Python {platform.python_version()}",
        architecture=host_facts.architecture(platform.machine()),
        cgroup_version=cgroups.host_version(),
        cpus=float(psutil.cpu_count() or 1),
        memory_bytes=psutil.virtual_memory().total,
        disk_free_bytes=host_facts.disk_free(directory),
        gpus=host_facts.gpus(),
        attributes={"isolation": "none"},
    )


def _program_processes(folder: Path) -> Sequence[psutil.Process]:
    """Return the program and its descendants, all of which are the shim's, parents first."""
    shim = process_folder.read_shim_pid(folder)
    try:
        return psutil.Process(shim).children(recursive=True) if shim is not None else []
    except psutil.Error:
        return []


def _seen(process: psutil.Process) -> SeenProcess | None:
    try:
        with process.oneshot():
            facts = ProcessFacts(process.pid, tuple(process.cmdline()), process.status().replace("-", " "))
            return SeenProcess(process.pid, process.name(), facts)
    except psutil.Error:  # it has just ended, or runs as another user
        return None


def _sockets(processes: Sequence[SeenProcess]) -> tuple[ListeningSocket, ...] | None:
    if sys.platform == "linux":
        rows = read_tables(processes[0].host_pid)
        return None if rows is None else listening_sockets(rows, processes, owned_only=True)
    found = set()
    for process in processes:
        with suppress(psutil.Error):
            for connection in psutil.Process(process.host_pid).net_connections("tcp"):
                if connection.status == psutil.CONN_LISTEN and connection.family in (socket.AF_INET, socket.AF_INET6):
                    address = connection.laddr
                    found.add(ListeningSocket(address.ip, address.port, process.facts.pid, process.name))
    return tuple(sorted(found, key=lambda socket: (socket.port, socket.host)))


def _total(processes: Sequence[psutil.Process], measure: Callable[[psutil.Process], T]) -> T | None:
    measured = []
    for process in processes:
        with suppress(psutil.Error):
            measured.append(measure(process))
    return reduce(operator.add, measured) if measured else None


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


def _memory_bytes(process: psutil.Process) -> int:
    return int(process.memory_info().rss)


def _entry(record: Mapping[str, Any]) -> EntryFile | None:
    paths = candidates(record["argv"][0], path=record["env"].get("PATH"), working_dir=record["cwd"])
    try:
        return read_entry(record["argv"][0], paths, (Path("/"),))
    except OSError:
        return None
