"""What HAProxy says on its admin socket, read into values; pure.

Only columns and fields are read, never sentences: whether a command worked is seen in the state after it.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from operator import itemgetter

from modelport.core.replicas import Address
from modelport.gateway.tables import Installed, InstalledServer, Load, Mode

_SLOT_PREFIX = "slot_"
# Bits of srv_admin_state: forced or inherited maintenance (also by DNS), forced or inherited drain.
_NOT_READY_BITS = 0x01 | 0x02 | 0x04 | 0x08 | 0x10 | 0x20


@dataclass(frozen=True)
class ProcessInfo:
    """Who answers on the admin socket: `description` is the digest of its configuration."""

    pid: int
    version: str
    description: str


def read_info(text: str) -> ProcessInfo | None:
    """Read `show info`; None when the answer is not HAProxy's."""
    fields = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    pid = fields.get("Pid", "")
    if not pid.isdigit():
        return None
    return ProcessInfo(int(pid), fields.get("Version", ""), fields.get("description", ""))


def read_installed(*, routes: str, splits: str, slots: str, servers: str) -> Installed:
    """Read three `show map` and one `show servers state`."""
    return Installed(read_map(routes), read_map(splits), read_map(slots), read_servers(servers))


def read_map(text: str) -> dict[str, str]:
    """Read `show map FILE`: lines of an address, a key and a value."""
    lines = (line.split(" ", 2) for line in text.splitlines())
    return {fields[1]: fields[2] for fields in lines if len(fields) == 3}


def read_servers(text: str) -> dict[str, dict[str, InstalledServer]]:
    """Read `show servers state`: the servers of each slot by name."""
    found: defaultdict[str, dict[str, InstalledServer]] = defaultdict(dict)
    rows = (line.split(" ") for line in text.replace("# ", "#", 1).splitlines())
    for slot, name, host, port, state in _columns(
        rows, "be_name", "srv_name", "srv_addr", "srv_port", "srv_admin_state"
    ):
        if slot.startswith(_SLOT_PREFIX):
            mode = Mode.LEAVING if int(state) & _NOT_READY_BITS else Mode.READY
            found[slot][name] = InstalledServer(Address(host, int(port)), mode)
    return dict(found)


def read_load(text: str) -> dict[str, Load]:
    """Read `show stat` in CSV: the load of each slot that it has rows for."""
    servers: defaultdict[str, dict[str, int]] = defaultdict(dict)
    totals: dict[str, int] = {}
    rows = csv.reader(text.replace("# ", "#").splitlines())
    for slot, name, current, queued in _columns(rows, "pxname", "svname", "scur", "qcur"):
        if not slot.startswith(_SLOT_PREFIX):
            continue
        if name == "BACKEND":
            totals[slot] = int(current or 0)
        else:
            servers[slot][name] = int(current or 0) + int(queued or 0)
    return {slot: Load(servers.get(slot, {}), totals.get(slot, 0)) for slot in servers.keys() | totals.keys()}


def _columns(rows: Iterable[list[str]], *names: str) -> Iterator[tuple[str, ...]]:
    """Yield the named columns of the rows below each header, which starts with `#`; a header may come again."""
    pick: Callable[[list[str]], tuple[str, ...]] | None = None
    width = 0
    for row in rows:
        if row and row[0].startswith("#"):
            header = [row[0].removeprefix("#"), *row[1:]]
            pick, width = itemgetter(*(header.index(name) for name in names)), len(header)
        elif pick and len(row) >= width:
            yield pick(row)
