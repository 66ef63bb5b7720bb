"""Socket tables as the kernel writes them, and this machine's own."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from modelport.core.facts import ListeningSocket, ProcessFacts
from modelport.drivers.processes import SeenProcess, read_process
from modelport.drivers.sockets import ListeningRow, listening_rows, listening_sockets, read_tables

HEADING = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
SERVER = SeenProcess(8978, "python3", ProcessFacts(7, ("python3",)))


def row(address: str, state: str = "0A", inode: int = 1573100) -> str:
    zeros = "0" * (len(address) - 5)
    return (
        f"   0: {address} {zeros}:0000 {state} 00000000:00000000 00:00000000 00000000"
        f"     0        0 {inode} 1 000000000b700eed 100 0 0 10 0"
    )


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("00000000:1F90", "0.0.0.0", 8080),
        ("0100007F:1388", "127.0.0.1", 5000),
        ("020011AC:0050", "172.17.0.2", 80),
        ("00000000000000000000000000000000:1F90", "::", 8080),
        ("00000000000000000000000001000000:1F90", "::1", 8080),
        ("0000000000000000FFFF00000100007F:1F90", "127.0.0.1", 8080),
        ("0000000000000000FFFF000000000000:1F90", "0.0.0.0", 8080),
        ("000080FE00000000FF565002BD69B1FE:FFFF", "fe80::250:56ff:feb1:69bd", 65535),
    ],
)
def test_an_address_is_read_in_the_order_of_the_machine(address: str, host: str, port: int) -> None:
    assert listening_rows(f"{HEADING}\n{row(address)}\n") == [ListeningRow(host, port, 1573100)]


@pytest.mark.parametrize("state", ["01", "06", "07", "08", "st"])
def test_other_states_do_not_listen(state: str) -> None:
    assert listening_rows(row("00000000:1F90", state)) == []


@pytest.mark.parametrize(
    "text", ["", HEADING, "cat: not found", row("0000:1F90"), row("zz000000:1F90"), row("00000000:XY")]
)
def test_what_is_no_row_is_left_out(text: str) -> None:
    assert listening_rows(text) == []


def test_both_tables_may_follow_each_other() -> None:
    text = "\n".join([HEADING, row("00000000:1F90"), HEADING, row("00000000000000000000000001000000:1F91")])
    assert [(found.host, found.port) for found in listening_rows(text)] == [("0.0.0.0", 8080), ("::1", 8081)]


def test_a_socket_belongs_to_the_first_process_that_holds_it(tmp_path: Path) -> None:
    descriptors = tmp_path / "8978" / "fd"
    descriptors.mkdir(parents=True)
    (descriptors / "3").symlink_to("socket:[77]")
    (descriptors / "4").symlink_to("/dev/null")
    worker = SeenProcess(9999, "worker", ProcessFacts(8, ("worker",)))
    found = listening_sockets([ListeningRow("0.0.0.0", 8080, 77)], [SERVER, worker], proc=tmp_path)
    assert found == (ListeningSocket("0.0.0.0", 8080, 7, "python3"),)


def test_sockets_without_an_owner_are_shown_unless_the_namespace_is_shared(tmp_path: Path) -> None:
    rows = [ListeningRow("0.0.0.0", 8080, 77)]
    assert listening_sockets(rows, [SERVER], proc=tmp_path) == (ListeningSocket("0.0.0.0", 8080),)
    assert listening_sockets(rows, [SERVER], owned_only=True, proc=tmp_path) == ()


def test_the_name_server_of_docker_is_no_socket_of_the_replica(tmp_path: Path) -> None:
    rows = [ListeningRow("127.0.0.11", 38001, 76), ListeningRow("127.0.0.1", 8080, 77)]
    assert [found.host for found in listening_sockets(rows, [SERVER], proc=tmp_path)] == ["127.0.0.1"]


def test_workers_that_share_an_address_show_once(tmp_path: Path) -> None:
    rows = [ListeningRow("0.0.0.0", 8080, inode) for inode in (1, 2, 3)]
    assert len(listening_sockets(rows, [SERVER], proc=tmp_path)) == 1


def test_own_sockets_are_found() -> None:
    with socket.socket() as four, socket.socket(socket.AF_INET6) as six, socket.socket() as silent:
        four.bind(("127.0.0.1", 0))
        six.bind(("::1", 0))
        silent.bind(("127.0.0.1", 0))
        four.listen()
        six.listen()
        ourselves = read_process(os.getpid())
        rows = read_tables(os.getpid())
        assert ourselves is not None
        assert rows is not None
        found = {(one.host, one.port, one.pid) for one in listening_sockets(rows, [ourselves], owned_only=True)}
        assert {("127.0.0.1", four.getsockname()[1], os.getpid()), ("::1", six.getsockname()[1], os.getpid())} <= found
        assert silent.getsockname()[1] not in {port for _, port, _ in found}


def test_a_machine_without_ipv6_has_no_second_table(tmp_path: Path) -> None:
    folder = tmp_path / "5" / "net"
    folder.mkdir(parents=True)
    (folder / "sockstat").write_text("sockets: used 3\nTCP: inuse 2 orphan 0 tw 0 alloc 8 mem 0\n")
    (folder / "tcp").write_text(f"{HEADING}\n{row('00000000:1F90')}\n{row('0100007F:0050', '01')}\n")
    assert read_tables(5, tmp_path) == [ListeningRow("0.0.0.0", 8080, 1573100)]


def test_more_sockets_than_one_read_gives_are_all_found(tmp_path: Path) -> None:
    folder = tmp_path / "5" / "net"
    folder.mkdir(parents=True)
    (folder / "sockstat").write_text("TCP: inuse 900 orphan 0 tw 0 alloc 8 mem 0\n")
    rows = [row(f"00000000:{port:04X}", inode=port) for port in range(5000, 5900)]
    (folder / "tcp").write_text("\n".join([HEADING, *rows]) + "\n")
    assert len(read_tables(5, tmp_path) or ()) == 900


def test_a_process_that_is_gone_has_no_table(tmp_path: Path) -> None:
    assert read_tables(5, tmp_path) is None
