"""Idleness: whether a program works, waits, or never meant to serve, from its log, its use of CPU and its processes.

Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from modelport.core.replicas import LogLine
from modelport.doctor.evidence import Evidence
from modelport.doctor.log_text import plain, quoted

_RECENT_S = 5.0
_MOMENT_S = 3.0
_BUSY_CPUS = 0.3
_GROWING_BYTES = 16 * 1024**2
_IDLE_PROGRAM = re.compile(
    r"^(?:\S*/)?(?:sleep (?:infinity|\d+\w*)|tail -[fF]\b.*|cat|(?:ba|da|a|z)?sh(?: -[il])?"
    r"|python[\d.]*(?: -i)?|node(?: -i)?)$"
)
_INIT = re.compile(
    r"^(?:\S*/)?(?:tini|dumb-init|docker-init|catatonit)\b|^/(?:sbin/docker-init|dev/init|run/podman-init)\b"
)
_ACCESS = re.compile(
    r'"(?:GET|HEAD|OPTIONS) \S+ HTTP/[\d.]+"|\b(?:GET|HEAD|OPTIONS) /\S* (?:HTTP/[\d.]+ )?-? ?\d{3}\b'
    r"|\] code \d{3}, message "  # http.server of Python
)
_LOADING = re.compile(
    r"\b(?:loading|downloading|fetching|warming|initiali[sz]ing|compiling|waiting|preparing|unpacking|starting)\b"
    r"|\d{1,3}%\|",
    re.IGNORECASE,
)
_LOADED = re.compile(
    r"\b(?:loaded|done|complete[d]?|finished|ready|failed|error|running on|listening)\b", re.IGNORECASE
)


def busy(evidence: Evidence) -> str | None:
    """Return a line of evidence that the program was at work in the last seconds, or None."""
    recent = [line for line in own_lines(evidence) if line.time is not None]
    if recent and _seconds(evidence, recent[-1]) <= _RECENT_S:
        return quoted(recent[-1].text)
    return _working(evidence, 2 * _RECENT_S) if evidence.quiet_s <= _RECENT_S else None


def quiet_s(evidence: Evidence) -> float:
    """Return how long nothing has happened, where lines about our own requests are not counted as happening."""
    lines = own_lines(evidence)
    if len(lines) == len(evidence.last_words) or _working(evidence, _MOMENT_S) is not None:
        return evidence.quiet_s
    since = min((_seconds(evidence, line) for line in lines if line.time is not None), default=evidence.running_s)
    return max(evidence.quiet_s, min(since, evidence.running_s))


def own_lines(evidence: Evidence) -> tuple[LogLine, ...]:
    """Return the lines of the last attempt that are not access logs of requests."""
    return tuple(
        line for line in evidence.last_words if (text := plain(line.text).strip()) and not _ACCESS.search(text)
    )


def says_it_is_loading(lines: Sequence[LogLine]) -> bool:
    """Return whether the last thing that the program said is that it is about to do something long."""
    for line in reversed(lines[-5:]):
        text = plain(line.text)
        if _LOADED.search(text):
            return False
        if _LOADING.search(text):
            return True
    return False


def idle_program(evidence: Evidence) -> str:
    """Return the command line of a replica in which nothing but `sleep`, `tail -f`, `cat` or a shell runs."""
    processes = (evidence.facts.processes if evidence.facts else None) or ()
    commands = [" ".join(process.command) for process in processes if process.command]
    commands = [command for command in commands if not _INIT.search(command)]
    if not commands:
        return ""
    idle = [bool(_IDLE_PROGRAM.match(command)) or _shell_around_idle(command) for command in commands]
    return commands[-1] if all(idle) else ""


def _shell_around_idle(command: str) -> bool:
    """Return whether it is a shell that runs one idle program, such as `sh -c sleep infinity`."""
    match = re.match(r"^(?:\S*/)?(?:ba|da|a)?sh -c (?P<inner>.+)$", command)
    return match is not None and bool(_IDLE_PROGRAM.match(match["inner"].removeprefix("exec ")))


def _working(evidence: Evidence, window_s: float) -> str | None:
    window = [one for one in evidence.usage if evidence.usage[-1].at_s - one.at_s <= window_s]
    if len(window) < 2 or (span := window[-1].at_s - window[0].at_s) <= 0:
        return None
    first, last = window[0], window[-1]
    if first.cpu_s is not None and last.cpu_s is not None and (rate := (last.cpu_s - first.cpu_s) / span) >= _BUSY_CPUS:
        return f"usage: {rate:.1f} CPUs in the last {span:.0f} s"
    if first.memory_bytes is None or last.memory_bytes is None:
        return None
    grown = last.memory_bytes - first.memory_bytes
    if grown < _GROWING_BYTES:
        return None
    return f"usage: {grown // 1024**2} MiB more memory in the last {span:.0f} s"


def _seconds(evidence: Evidence, line: LogLine) -> float:
    return (evidence.now - line.time).total_seconds() if line.time is not None else evidence.running_s
