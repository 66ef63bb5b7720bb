"""Listening TCP sockets of a network namespace, from the kernel's own tables, and the processes that hold them."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from modelport.core.facts import ListeningSocket
from modelport.drivers.processes import SeenProcess

PROC = Path("/proc")

# Tables, and where the kernel counts what is in them.
_TABLES = (("net/tcp", "net/sockstat", "TCP:"), ("net/tcp6", "net/sockstat6", "TCP6:"))

_LISTEN = "0A"
_SOCKET = re.compile(r"socket:\[(\d+)\]")
# Docker's own name server listens there, inside every container of a network that a user made.
_ENGINE_RESOLVER = "127.0.0.11"
_MOST = 100
_CHUNK_BYTES = 64 * 1024
_IN_USE_UNKNOWN = 1000


@dataclass(frozen=True)
class ListeningRow:
    """One row in state LISTEN of /proc/net/tcp or tcp6; an IPv4 address that is mapped into IPv6 is given as IPv4."""

    host: str
    port: int
    inode: int


def listening_rows(table: str) -> list[ListeningRow]:
    """Return the listening sockets of one or both tables, as text; rows that cannot be read are left out."""
    rows = []
    for line in table.splitlines():
        fields = line.split()
        if len(fields) > 9 and fields[3] == _LISTEN:
            address, _, port = fields[1].partition(":")
            try:
                rows.append(ListeningRow(_host(address), int(port, 16), int(fields[9])))
            except ValueError:
                continue
    return rows


def _host(address: str) -> str:
    # The kernel prints words of four bytes as numbers; all machines that run model servers are little-endian.
    words = bytes.fromhex(address)
    ordered = b"".join(words[start : start + 4][::-1] for start in range(0, len(words), 4))
    host = ipaddress.ip_address(ordered)
    mapped = host.ipv4_mapped if isinstance(host, ipaddress.IPv6Address) else None
    return str(mapped or host)


def listening_sockets(
    rows: Iterable[ListeningRow],
    processes: Sequence[SeenProcess],
    *,
    owned_only: bool = False,
    proc: Path = PROC,
) -> tuple[ListeningSocket, ...]:
    """Return each socket once, with the first of `processes` that holds it.

    Args:
        rows: of the network namespace that the processes share.
        processes: those of the replica, parents first.
        owned_only: leave out what none of them holds; for a namespace that others use too.
        proc: where the process file system is mounted.
    """
    rows = list(rows)
    owners = _owners({row.inode for row in rows}, processes, proc)
    found: dict[tuple[str, int], ListeningSocket] = {}
    for row in rows:
        owner = owners.get(row.inode)
        if owner is None and (owned_only or row.host == _ENGINE_RESOLVER):
            continue
        known = found.get((row.host, row.port))
        # With SO_REUSEPORT several processes listen on one address.
        if known is None or known.pid is None:
            found[row.host, row.port] = ListeningSocket(
                row.host, row.port, owner.facts.pid if owner else None, owner.name if owner else ""
            )
    return tuple(sorted(found.values(), key=lambda socket: (socket.port, socket.host)))[:_MOST]


def read_tables(pid: int, proc: Path = PROC) -> list[ListeningRow] | None:
    """Return the listening sockets of the network namespace of a process; None where that cannot be read."""
    folder = proc / str(pid)
    found: list[ListeningRow] = []
    read = False
    for table, counts, label in _TABLES:
        try:
            if in_use := _in_use(folder / counts, label):
                found += _read_table(folder / table, in_use)
            read = True
        except OSError:  # without IPv6 there is no tcp6
            continue
    return found if read else None


def _read_table(table: Path, in_use: int) -> list[ListeningRow]:
    """Read until all listening sockets were seen, which come first.

    Every read, also one that returns nothing, makes the kernel walk through the connections of the whole machine,
    which takes milliseconds.
    """
    text = ""
    descriptor = os.open(table, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while lines := os.read(descriptor, _CHUNK_BYTES).decode(errors="replace"):
            text += lines
            complete = text.rpartition("\n")[0]
            states = [line.split()[3:4] for line in complete.splitlines()[1:]]
            if len(states) >= in_use or any(state != [_LISTEN] for state in states):
                break
    finally:
        os.close(descriptor)
    return listening_rows(text)


def _in_use(counts: Path, label: str) -> int:
    """Return how many sockets listen or are connected."""
    for line in counts.read_text().splitlines():
        fields = line.split()
        if fields[:2] == [label, "inuse"] and len(fields) > 2 and fields[2].isdigit():
            return int(fields[2])
    return _IN_USE_UNKNOWN


def _owners(inodes: Collection[int], processes: Sequence[SeenProcess], proc: Path) -> dict[int, SeenProcess]:
    owners: dict[int, SeenProcess] = {}
    for process in processes:
        if len(owners) == len(inodes):
            break
        for inode in _socket_inodes(proc / str(process.host_pid) / "fd"):
            if inode in inodes:
                owners.setdefault(inode, process)
    return owners


def _socket_inodes(folder: Path) -> Iterable[int]:
    try:
        with os.scandir(folder) as descriptors:
            paths = [Path(descriptor.path) for descriptor in descriptors]
    except OSError:  # it has ended, or belongs to another user
        return
    for path in paths:
        try:
            match = _SOCKET.fullmatch(str(path.readlink()))
        except OSError:
            continue
        if match:
            yield int(match[1])
