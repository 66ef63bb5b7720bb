"""Processes as /proc shows them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from modelport.drivers.processes import parse_command, parse_status, read_process, read_processes, started_at


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"python3\0-c\0print(1)\0", ("python3", "-c", "print(1)")),
        (b"sh\0-c\0\0", ("sh", "-c")),
        (b"nginx: master process\0\0\0\0\0", ("nginx: master process",)),
        (b"", ()),
        (b"\0\0", ()),
        (b"caf\xe9\0", ("caf\ufffd",)),
    ],
)
def test_a_command_line_is_its_words(line: bytes, words: tuple[str, ...]) -> None:
    assert parse_command(line) == words


def test_a_status_is_its_fields() -> None:
    status = parse_status("Name:\ta: b\nState:\tS (sleeping)\nNSpid:\t8978\t1\n")
    assert status == {"Name": "a: b", "State": "S (sleeping)", "NSpid": "8978\t1"}


def test_a_process_has_the_number_that_it_has_inside(tmp_path: Path) -> None:
    folder = tmp_path / "8978"
    folder.mkdir()
    (folder / "status").write_text("Name:\tpython3\nState:\tD (disk sleep)\nNSpid:\t8978\t7\n")
    (folder / "cmdline").write_bytes(b"python3\0server.py\0")
    process = read_process(8978, tmp_path)
    assert process is not None
    assert (process.host_pid, process.name) == (8978, "python3")
    assert (process.facts.pid, process.facts.command, process.facts.state) == (
        7, ("python3", "server.py"), "disk sleep",
    )  # fmt: skip


def test_a_process_that_has_ended_is_left_out() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
        assert [process.host_pid for process in read_processes([os.getpid(), ended.pid])] == [os.getpid()]


def test_at_most_fifty_processes_are_shown(tmp_path: Path) -> None:
    for pid in range(1, 61):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "status").write_text(f"Name:\tp{pid}\n")
        (tmp_path / str(pid) / "cmdline").write_bytes(b"")
    assert [process.host_pid for process in read_processes(range(60, 0, -1), tmp_path)] == list(range(1, 51))


def test_a_start_is_told_to_about_a_second() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        begun = started_at(child.pid)
        child.communicate(b"\n")
    assert begun is not None
    assert abs(begun - time.time()) < 3
