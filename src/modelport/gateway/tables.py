"""From what HAProxy holds and the table that is wanted to the commands between them; pure.

The order of commands is the promise: a slot is complete before a route leads to it, and routes leave before servers do.
Each command changes one key or one server, which HAProxy does atomically. A traffic split is written in full under a
name of its own (the digest of its content), and then one key, the model's, moves over to it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache

from modelport.core.errors import SlotsExhausted
from modelport.core.replicas import Address
from modelport.core.routes import RouteTable, Server, Split, VersionRoute
from modelport.gateway.config import READY_KEY, ROUTES_MAP, SLOTS_MAP, SPLITS_MAP, slot_name
from modelport.gateway.slots import (
    Record,
    checked_limits,
    checked_server,
    container_path,
    model_key,
    name_of,
    version_key,
)

# A connection attempt every two seconds, and more often as soon as real requests find the replica silent.
_CHECK = "check inter 2s fastinter 200ms downinter 500ms fall 2 rise 1 observe layer4 error-limit 1 on-error fastinter"

BUCKETS = 100
_VERSIONS = "/versions/"

# A table is published whole, and little of it is new: what was worked out for a route is kept for the next time.
_remember = lru_cache(maxsize=16_384)
_version_key = _remember(version_key)
_model_key = _remember(model_key)
_decode = _remember(Record.decode)


class Mode(Enum):
    """READY takes requests; LEAVING only finishes those it has."""

    READY = "ready"
    LEAVING = "leaving"


@dataclass(frozen=True)
class InstalledServer:
    """A server as HAProxy holds it."""

    address: Address
    mode: Mode = Mode.READY


@dataclass(frozen=True)
class Load:
    """Requests under way in one slot: on each server, its own queue included, and in the slot as a whole."""

    servers: Mapping[str, int]
    total: int


@dataclass(frozen=True)
class Installed:
    """All that HAProxy holds: its three maps, and the servers of each slot by name."""

    routes: Mapping[str, str] = field(default_factory=dict)
    splits: Mapping[str, str] = field(default_factory=dict)
    records: Mapping[str, str] = field(default_factory=dict)
    servers: Mapping[str, Mapping[str, InstalledServer]] = field(default_factory=dict)

    def slot_of(self, version: str) -> str | None:
        """Return the slot that the version's route leads to, when that slot is the version's."""
        slot = self.routes.get(_version_key(version))
        record = _decode(self.records.get(slot, "")) if slot else None
        return slot if record and record.version == version else None

    def live_slots(self) -> set[str]:
        """Return the slots that a version's route leads to."""
        return {slot for key, slot in self.routes.items() if _VERSIONS in key}

    def stale_splits(self) -> set[str]:
        """Return the names of splits that no model refers to any more."""
        return {key.partition(":")[0] for key in self.splits} - set(self.routes.values())


def canonical(table: RouteTable) -> RouteTable:
    """Return the table in the one spelling in which it can be read back from HAProxy: checked, sorted, shares merged.

    Raises:
        GatewayRejected: a name, path, address or limit that must not reach the admin socket.
    """
    return RouteTable(
        routes=tuple(sorted(map(_canonical_route, table.routes), key=lambda route: route.version)),
        splits=tuple(sorted(map(_canonical_split, table.splits), key=lambda split: split.model)),
    )


def routed(installed: Installed) -> RouteTable:
    """Return the table that HAProxy serves; what is incomplete or leaving does not count."""
    slots = {slot: record for slot, text in installed.records.items() if (record := _decode(text))}
    routes = []
    splits = []
    for key, target in installed.routes.items():
        if key == READY_KEY:
            continue
        if _VERSIONS in key:
            if (record := slots.get(target)) and record.version == name_of(key):
                routes.append(
                    VersionRoute(record.version, record.predict_path, _ready(installed, target), record.limits)
                )
            continue
        if target in slots:
            splits.append(Split(name_of(key), ((slots[target].version, BUCKETS),)))
            continue
        targets = [installed.splits.get(f"{target}:{bucket}", "") for bucket in range(BUCKETS)]
        if all(slot in slots for slot in targets):
            splits.append(Split(name_of(key), tuple(Counter(slots[slot].version for slot in targets).items())))
    known = {route.version for route in routes}
    whole = [split for split in splits if known.issuperset(version for version, _ in split.shares)]
    return canonical(RouteTable(tuple(routes), tuple(whole)))


def commands(installed: Installed, table: RouteTable, *, slots: int) -> list[str]:
    """Return the commands that lead from what is installed to the (canonical) table, in order.

    None are left when the table is served. Splits that no model leads to any more are not looked at: see `finished`.

    Raises:
        SlotsExhausted: more versions than slots, those that leave and have not finished included.
    """
    slot_by_version = _assign(installed, table, slots)
    versions = {_version_key(version): slot for version, slot in slot_by_version.items()}
    models, splits = _wanted_splits(table, slot_by_version)
    gone = [key for key in installed.routes if key not in versions and key not in models]
    return [
        *_put(SLOTS_MAP, installed.records, {slot_by_version[r.version]: _record(r) for r in table.routes}),
        *_enter(installed, table, slot_by_version),
        *_put(SPLITS_MAP, installed.splits, splits),
        # Versions before models, so that whatever a model leads to has a route of its own; the reverse on the way out.
        *_put(ROUTES_MAP, installed.routes, versions),
        *_put(ROUTES_MAP, installed.routes, models),
        *(f"del map {ROUTES_MAP} {key}" for key in gone if _VERSIONS not in key),
        *(f"del map {ROUTES_MAP} {key}" for key in gone if _VERSIONS in key),
        *_leave(installed, table, slot_by_version),
    ]


def leaving(installed: Installed) -> dict[str, tuple[str, ...]]:
    """Return the servers that only finish what they have, by slot; a slot without servers may be there too.

    In a live slot these are the drained ones. In a slot that has no route any more all of them are: they stay up until
    the slot is idle, because requests in its queue still need them.
    """
    live = installed.live_slots()
    found: dict[str, tuple[str, ...]] = {}
    for slot in sorted(set(installed.records) | set(installed.servers)):
        servers = installed.servers.get(slot, {})
        names = tuple(name for name, server in servers.items() if slot not in live or server.mode is Mode.LEAVING)
        if names or slot not in live:
            found[slot] = names
    return found


def finished(installed: Installed, loads: Mapping[str, Load]) -> list[str]:
    """Return the commands that remove leaving servers without requests, and splits that no model leads to.

    A slot that has no route any more keeps its servers until nothing is queued or under way in the whole slot. HAProxy
    itself refuses to delete a server with connections in use.
    """
    live = installed.live_slots()
    gone = _forget_splits(installed, installed.stale_splits())
    for slot, names in leaving(installed).items():
        load = loads.get(slot)
        if load is None or (slot not in live and load.total):
            continue
        for name in names:
            if not load.servers.get(name):
                gone += [f"set server {slot}/{name} state maint", f"del server {slot}/{name}"]
    return gone


def empty_slots(installed: Installed) -> list[str]:
    """Return the commands that free the slots that have neither a route nor servers."""
    return [f"del map {SLOTS_MAP} {slot}" for slot in leaving(installed) if not installed.servers.get(slot)]


@_remember
def _canonical_route(route: VersionRoute) -> VersionRoute:
    version_key(route.version)
    return VersionRoute(
        route.version,
        container_path(route.predict_path),
        tuple(sorted(map(checked_server, route.servers))),
        checked_limits(route.limits),
    )


@_remember
def _canonical_split(split: Split) -> Split:
    model_key(split.model)
    shares: Counter[str] = Counter()
    for version, share in split.shares:
        shares[version] += share
    return Split(split.model, tuple(sorted((version, share) for version, share in shares.items() if share)))


@_remember
def _record(route: VersionRoute) -> str:
    return Record(route.version, route.predict_path, route.limits).encode()


def _ready(installed: Installed, slot: str) -> tuple[Server, ...]:
    servers = installed.servers.get(slot, {})
    return tuple(Server(name, server.address) for name, server in servers.items() if server.mode is Mode.READY)


def _assign(installed: Installed, table: RouteTable, slots: int) -> dict[str, str]:
    """Return the slot of each version: the one it has, else the first that is free of versions, live or leaving."""
    assigned = {route.version: slot for route in table.routes if (slot := installed.slot_of(route.version))}
    taken = set(installed.records) | {slot for slot, servers in installed.servers.items() if servers}
    free: Iterator[str] = (name for number in range(1, slots + 1) if (name := slot_name(number)) not in taken)
    for route in table.routes:
        if route.version not in assigned:
            if (slot := next(free, None)) is None:
                raise SlotsExhausted(
                    f"The gateway has {slots} slots, and {len(table.routes)} live versions and the versions that are"
                    " still finishing requests need more",
                    hint="Delete versions, or start with more slots (MODELPORT_SLOTS)",
                )
            assigned[route.version] = slot
    return assigned


def _wanted_splits(table: RouteTable, slot_by_version: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return where each model leads (and the sign that a table is there), and the buckets of the splits."""
    models: dict[str, str] = {READY_KEY: "yes"}
    splits: dict[str, str] = {}
    for split in table.splits:
        key = _model_key(split.model)
        if len(split.shares) == 1:
            models[key] = slot_by_version[split.shares[0][0]]
            continue
        slots = [slot_by_version[version] for version in split.buckets()]
        name = f"split_{hashlib.sha256(' '.join(slots).encode()).hexdigest()[:16]}"
        models[key] = name
        splits |= {f"{name}:{bucket}": slot for bucket, slot in enumerate(slots)}
    return models, splits


def _forget_splits(installed: Installed, names: Set[str]) -> list[str]:
    return [f"del map {SPLITS_MAP} {key}" for key in installed.splits if key.partition(":")[0] in names]


def _put(file: str, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    for key, value in new.items():
        if old.get(key) != value:
            yield f"{'set' if key in old else 'add'} map {file} {key} {value}"


def _enter(installed: Installed, table: RouteTable, slot_by_version: Mapping[str, str]) -> Iterator[str]:
    for route in table.routes:
        slot = slot_by_version[route.version]
        present = installed.servers.get(slot, {})
        record = _decode(installed.records.get(slot, ""))
        same_concurrency = record is not None and record.limits.concurrency == route.limits.concurrency
        for server in route.servers:
            old = present.get(server.name)
            if old and same_concurrency and old.mode is Mode.READY and old.address == server.address:
                continue
            name = f"{slot}/{server.name}"
            if old is None:
                yield f"add server {name} {_spelled(server.address)} maxconn {route.limits.concurrency} {_CHECK}"
                yield f"enable health {name}"
                yield f"enable server {name}"
                continue
            # While it was leaving, the limit may have changed without it.
            if not same_concurrency or old.mode is not Mode.READY:
                yield f"set maxconn server {name} {route.limits.concurrency}"
            if old.address != server.address:
                yield f"set server {name} addr {server.address.host} port {server.address.port}"
                # What the checks know is about the old address; the control plane has seen the new one healthy.
                yield f"set server {name} health up"
            if old.mode is not Mode.READY:
                yield f"set server {name} state ready"


def _leave(installed: Installed, table: RouteTable, slot_by_version: Mapping[str, str]) -> Iterator[str]:
    for route in table.routes:
        slot = slot_by_version[route.version]
        wanted = {server.name for server in route.servers}
        for name, server in installed.servers.get(slot, {}).items():
            if name not in wanted and server.mode is Mode.READY:
                yield f"set server {slot}/{name} state drain"


def _spelled(address: Address) -> str:
    return f"[{address.host}]:{address.port}" if ":" in address.host else str(address)


def serves(installed: Installed) -> bool:
    """Return whether any table, even an empty one, was published to this HAProxy."""
    return READY_KEY in installed.routes
