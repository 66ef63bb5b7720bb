"""Processes of this machine as /proc shows them: what they run, and how they are called where they run."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from modelport.core.facts import ProcessFacts

PROC = Path("/proc")
MOST_PROCESSES = 50

_COMMAND_BYTES = 4096


@dataclass(frozen=True)
class SeenProcess:
    """One process; `facts.pid` is its number in its own namespace, `host_pid` in ours."""

    host_pid: int
    name: str
    facts: ProcessFacts


def read_processes(pids: Iterable[int], proc: Path = PROC) -> tuple[SeenProcess, ...]:
    """Return those that still are, in order of their numbers, at most 50."""
    seen = (read_process(pid, proc) for pid in sorted(pids)[:MOST_PROCESSES])
    return tuple(process for process in seen if process is not None)


def read_process(pid: int, proc: Path = PROC) -> SeenProcess | None:
    """Return one process, or None where there is none of this number."""
    folder = proc / str(pid)
    try:
        status = parse_status((folder / "status").read_text(errors="replace"))
        with (folder / "cmdline").open("rb") as file:
            line = file.read(_COMMAND_BYTES)
    except OSError:
        return None
    inner = status.get("NSpid", "").split()
    facts = ProcessFacts(
        pid=int(inner[-1]) if inner else pid,
        command=parse_command(line),
        state=status.get("State", "").partition("(")[2].rstrip(")"),
    )
    return SeenProcess(pid, status.get("Name", ""), facts)


def parse_status(text: str) -> dict[str, str]:
    """Return the fields of /proc/PID/status."""
    pairs = (line.partition(":") for line in text.splitlines())
    return {key: value.strip() for key, _, value in pairs}


def parse_command(line: bytes) -> tuple[str, ...]:
    """Return the words of /proc/PID/cmdline; programs that rename themselves leave one word and many zeros."""
    words = line.rstrip(b"\0").split(b"\0") if line.strip(b"\0") else []
    return tuple(word.decode(errors="replace") for word in words)


def started_at(pid: int, proc: Path = PROC) -> float | None:
    """Return when a process was started, in seconds since 1970, exact to about a second."""
    try:
        # The second field is a name in parentheses, which may hold anything.
        after_name = (proc / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
        boot = next(line for line in (proc / "stat").read_text().splitlines() if line.startswith("btime "))
        return int(boot.split()[1]) + int(after_name[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, StopIteration, IndexError, ValueError):
        return None
