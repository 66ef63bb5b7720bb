"""The way from one table to the next, command by command, over a model of what HAProxy does with each."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelport.core.errors import SlotsExhausted
from modelport.core.replicas import Address
from modelport.core.routes import Limits, RouteTable, Server, Split, VersionRoute
from modelport.gateway.config import READY_KEY
from modelport.gateway.slots import Record, name_of, version_key
from modelport.gateway.tables import (
    Installed,
    InstalledServer,
    Load,
    Mode,
    canonical,
    commands,
    empty_slots,
    finished,
    leaving,
    routed,
    serves,
)
from tests.conformance.gateway import MODEL, TABLE, route, server, split, version

SLOTS = 16
MODELS = (MODEL, "projects/p/models/other")


class HAProxyModel:
    """What HAProxy's maps and servers are after each command; refuses what HAProxy refuses."""

    def __init__(self) -> None:
        self.maps: dict[str, dict[str, str]] = {"routes.map": {}, "splits.map": {}, "slots.map": {}}
        self.servers: dict[str, dict[str, InstalledServer]] = {}
        self.maxconn: dict[str, int] = {}

    @property
    def installed(self) -> Installed:
        return Installed(
            dict(self.maps["routes.map"]),
            dict(self.maps["splits.map"]),
            dict(self.maps["slots.map"]),
            {slot: dict(servers) for slot, servers in self.servers.items() if servers},
        )

    def do(self, command: str) -> None:
        match command.split(" "):
            case ["add", "map", file, key, value]:
                assert key not in self.maps[file], command
                self.maps[file][key] = value
            case ["set", "map", file, key, value]:
                assert key in self.maps[file], command
                self.maps[file][key] = value
            case ["del", "map", file, key]:
                del self.maps[file][key]
            case ["add", "server", name, address, "maxconn", number, *_]:
                slot, server_name = name.split("/")
                host, _, port = address.rpartition(":")
                assert server_name not in self.servers.setdefault(slot, {}), command
                self.servers[slot][server_name] = InstalledServer(Address(host.strip("[]"), int(port)), Mode.LEAVING)
                self.maxconn[name] = int(number)
            case ["enable", "health", name]:
                self._change(name)
            case ["enable", "server", name] | ["set", "server", name, "state", "ready"]:
                self._change(name, mode=Mode.READY)
            case ["set", "server", name, "state", "drain" | "maint"]:
                self._change(name, mode=Mode.LEAVING)
            case ["set", "server", name, "addr", host, "port", port]:
                self._change(name, address=Address(host, int(port)))
            case ["set", "server", name, "health", "up"]:
                self._change(name)
            case ["set", "maxconn", "server", name, number]:
                self._change(name)
                self.maxconn[name] = int(number)
            case ["del", "server", name]:
                slot, server_name = name.split("/")
                assert self.servers[slot][server_name].mode is Mode.LEAVING, command
                del self.servers[slot][server_name]
            case _:
                raise AssertionError(f"HAProxy knows no `{command}`")

    def _change(self, name: str, **fields: object) -> None:
        slot, server_name = name.split("/")
        self.servers[slot][server_name] = replace(self.servers[slot][server_name], **fields)  # type: ignore[arg-type]


def publish(haproxy: HAProxyModel, table: RouteTable) -> None:
    for command in commands(haproxy.installed, table, slots=SLOTS):
        haproxy.do(command)


@st.composite
def tables(draw: st.DrawFn) -> RouteTable:
    routes: list[VersionRoute] = []
    splits = []
    port = 1
    for model in MODELS:
        names = draw(st.lists(st.sampled_from("abcd"), unique=True, max_size=3))
        for name in names:
            replicas = draw(st.lists(st.sampled_from("012"), unique=True, max_size=3))
            host = draw(st.sampled_from(["127.0.0.1", "127.0.0.2", "::1"]))
            servers = tuple(Server(f"{model[-1]}-{name}-{n}", Address(host, port)) for n in replicas)
            limits = Limits(concurrency=draw(st.sampled_from([1, 8])))
            path = draw(st.sampled_from(["/", "/a;b c", "/p|q"]))
            routes.append(VersionRoute(version(name, model), path, servers, limits))
        if names and draw(st.booleans()):
            first = draw(st.integers(0, 100)) if len(names) > 1 else 100
            shares = ((version(names[0], model), first), (version(names[-1], model), 100 - first))
            splits.append(Split(model, shares))
    return canonical(RouteTable(tuple(routes), tuple(splits)))


def require_no_route_into_nothing(haproxy: HAProxyModel, *known: RouteTable) -> None:
    """Every route leads to a slot that holds its version, with the replicas that one of the tables gives it."""
    expected: dict[str, list[set[str]]] = {}
    for table in known:
        for wanted in table.routes:
            expected.setdefault(wanted.version, []).append({one.name for one in wanted.servers})
    for key, target in haproxy.maps["routes.map"].items():
        if key == READY_KEY:
            continue
        slots = {target}
        if target.startswith("split_"):
            slots = {haproxy.maps["splits.map"][f"{target}:{bucket}"] for bucket in range(100)}
        for slot in slots:
            record = Record.decode(haproxy.maps["slots.map"][slot])
            assert record is not None
            assert "/versions/" not in key or record.version == name_of(key)
            assert version_key(record.version) in haproxy.maps["routes.map"]
            ready = {name for name, one in haproxy.servers.get(slot, {}).items() if one.mode is Mode.READY}
            assert any(names <= ready for names in expected[record.version]), (key, slot, ready)


@settings(max_examples=40, deadline=None)
@given(st.lists(tables(), min_size=1, max_size=3), st.booleans())
def test_any_table_follows_any_other_without_a_gap(wanted: list[RouteTable], tidy: bool) -> None:
    haproxy = HAProxyModel()
    before = RouteTable()
    for table in wanted:
        for command in commands(haproxy.installed, table, slots=SLOTS):
            haproxy.do(command)
            if " splits.map " not in command:
                require_no_route_into_nothing(haproxy, before, table)
        assert routed(haproxy.installed) == table
        assert serves(haproxy.installed)
        # Splits go one publication later: in another thread a request may be between model and bucket.
        again = commands(haproxy.installed, table, slots=SLOTS)
        assert [command for command in again if not command.startswith("del map splits.map ")] == []
        for one in table.routes:
            slot = haproxy.installed.slot_of(one.version)
            assert {haproxy.maxconn[f"{slot}/{s.name}"] for s in one.servers} <= {one.limits.concurrency}
        if tidy:
            idle = {slot: Load(dict.fromkeys(servers, 0), 0) for slot, servers in haproxy.installed.servers.items()}
            for command in finished(haproxy.installed, idle):
                haproxy.do(command)
            for command in empty_slots(haproxy.installed):
                haproxy.do(command)
            assert routed(haproxy.installed) == table
            assert leaving(haproxy.installed) == {}
            assert haproxy.installed.stale_splits() == set()
            assert len(haproxy.installed.records) == len(table.routes)
        before = table


@settings(max_examples=20, deadline=None)
@given(tables(), tables(), st.data())
def test_a_publication_cut_short_is_finished_by_the_next(
    first: RouteTable, second: RouteTable, data: st.DataObject
) -> None:
    haproxy = HAProxyModel()
    publish(haproxy, first)
    wanted = commands(haproxy.installed, second, slots=SLOTS)
    for command in wanted[: data.draw(st.integers(0, len(wanted)))]:
        haproxy.do(command)
    # Whatever is there can be read, and is a way from one to the other.
    routed(haproxy.installed)
    publish(haproxy, second)
    assert routed(haproxy.installed) == second


def test_one_percent_more_is_one_key_for_the_model() -> None:
    haproxy = HAProxyModel()
    publish(haproxy, canonical(TABLE))
    moved = replace(TABLE, splits=(split(v1=2, v2=97, v3=1), *TABLE.splits[1:]))
    sent = commands(haproxy.installed, canonical(moved), slots=SLOTS)
    assert [command.split(" ")[2] for command in sent] == ["splits.map"] * 100 + ["routes.map"]
    assert sent[-1].startswith(f"set map routes.map /v1/{MODEL}:predict split_")


def test_a_changed_table_sends_only_what_changed() -> None:
    haproxy = HAProxyModel()
    many = RouteTable(tuple(route(f"v{n}", server(f"r{n}", n + 1)) for n in range(10)))
    publish(haproxy, canonical(many))
    more = canonical(replace(many, routes=(*many.routes, route("new", server("r-new")))))
    sent = commands(haproxy.installed, more, slots=SLOTS)
    assert [command.split(" ")[:2] for command in sent] == [
        ["add", "map"],
        ["add", "server"],
        ["enable", "health"],
        ["enable", "server"],
        ["add", "map"],
    ]


def test_a_replica_that_comes_back_has_the_limit_of_now() -> None:
    haproxy = HAProxyModel()
    with_one = route("v1", server("r-one", 1))
    other = replace(with_one, limits=replace(with_one.limits, concurrency=7))
    for wanted in (with_one, replace(other, servers=()), other):
        publish(haproxy, canonical(RouteTable((wanted,))))
    slot = haproxy.installed.slot_of(other.version)
    assert haproxy.maxconn[f"{slot}/r-one"] == 7


def test_slots_of_leaving_versions_are_not_taken() -> None:
    haproxy = HAProxyModel()
    full = RouteTable(tuple(route(f"v{n}") for n in range(SLOTS)))
    publish(haproxy, canonical(full))
    for command in commands(haproxy.installed, RouteTable(), slots=SLOTS):
        haproxy.do(command)
    with pytest.raises(SlotsExhausted):
        commands(haproxy.installed, canonical(RouteTable((route("w"),))), slots=SLOTS)


@pytest.mark.parametrize(
    ("load", "removed"),
    [
        (Load({"r": 0}, 0), True),
        (Load({"r": 1}, 1), False),
        # Nothing on the server this moment, and one request between the queue and the server.
        (Load({"r": 0}, 1), False),
        (None, False),
    ],
)
def test_a_server_is_removed_only_when_its_slot_is_idle(load: Load | None, removed: bool) -> None:
    haproxy = HAProxyModel()
    publish(haproxy, canonical(RouteTable((route("v", server("r")),))))
    publish(haproxy, RouteTable())
    sent = finished(haproxy.installed, {"slot_0001": load} if load else {})
    assert sent == (["set server slot_0001/r state maint", "del server slot_0001/r"] if removed else [])


def test_a_drained_server_does_not_wait_for_its_neighbours() -> None:
    haproxy = HAProxyModel()
    publish(haproxy, canonical(RouteTable((route("v", server("r"), server("s")),))))
    publish(haproxy, canonical(RouteTable((route("v", server("s")),))))
    busy = {"slot_0001": Load({"r": 0, "s": 7}, 7)}
    assert finished(haproxy.installed, busy) == ["set server slot_0001/r state maint", "del server slot_0001/r"]


def test_foreign_entries_are_no_routes() -> None:
    odd = Installed(
        routes={
            "/v1/projects/p/models/m:predict": "nowhere",
            "/v1/projects/p/models/m/versions/v:predict": "slot_0001",
        },
        records={"slot_0001": "not a record", "slot_0002": "1|2|3"},
    )
    assert routed(odd) == RouteTable()
    assert not serves(odd)


def test_shares_are_merged_and_zeroes_dropped() -> None:
    shares = ((version("v2"), 40), (version("v1"), 0), (version("v3"), 20), (version("v2"), 40))
    table = RouteTable((route("v1"), route("v2"), route("v3")), (Split(MODEL, shares),))
    assert canonical(table).splits[0].shares == ((version("v2"), 80), (version("v3"), 20))
