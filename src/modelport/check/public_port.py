"""The public port of a host: free, ours, or whose it is."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from modelport.check.host_facts import PortFacts, Site
from modelport.drivers.processes import read_process
from modelport.drivers.sockets import listening_sockets, read_tables
from modelport.gateway import public_port

_PROC = Path("/proc")


def look_at_port(site: Site) -> PortFacts:
    """Try to take the port, as the gateway would, and let it go; where that fails, look for who has it."""
    host, _, text = site.listen.rpartition(":")
    port = int(text)
    try:
        public_port.take(host.strip("[]"), port)
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, type(error).__name__)
        return _taken(site, port, name) if error.errno == errno.EADDRINUSE else PortFacts(site.listen, name)
    return PortFacts(site.listen)


def _taken(site: Site, port: int, error: str) -> PortFacts:
    rows = [row for row in read_tables(os.getpid()) or () if row.port == port]
    pids = [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]
    for pid in sorted(pids):
        process = read_process(pid)
        if process and any(one.pid for one in listening_sockets(rows, [process], owned_only=True)):
            return PortFacts(site.listen, error, process.name, pid, ours=_runs_in(pid, site.data_dir / "gateway"))
    return PortFacts(site.listen, error)


def _runs_in(pid: int, folder: Path) -> bool:
    try:
        return (_PROC / str(pid) / "cwd").resolve() == folder.resolve()
    except OSError:
        return False
