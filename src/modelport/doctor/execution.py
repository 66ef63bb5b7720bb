"""Execution: what engines, init programs and shells say of a program that they could not execute. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from modelport.doctor.evidence import Evidence
from modelport.doctor.last_words import died, said


class Refusal(StrEnum):
    """Why a program was not executed; MISSING may also mean its interpreter."""

    MISSING = "missing"
    DENIED = "denied"
    FORMAT = "format"


@dataclass(frozen=True)
class Unexecuted:
    """A program that could not be executed.

    Attributes:
        program: as written; empty where it was not told.
        line: the words that say so.
        by_shell: whether a shell inside the container tried, so that the container itself had started.
        certainly_absent: whether the file itself was looked for and is not there.
    """

    program: str
    refusal: Refusal
    line: str
    by_shell: bool = False
    certainly_absent: bool = False


_ENGINE = (
    # runc 1.0 to 1.2 through Docker and Podman, before the container runs.
    r'exec: "(?P<program>[^"]*)": (?P<absent>executable file not found in \$PATH|stat [^:]+: no such file)',
    r'exec: "(?P<program>[^"]*)": (?P<denied>permission denied|is a directory)',
    # crun 1.x
    r"executable file [`'](?P<program>[^`']+)[`'] not found(?P<absent> in \$PATH)?",
    r"crun: open executable: (?:(?P<denied>Permission denied)|(?P<absent>No such file or directory))",
    # the process driver
    r"^`(?P<program>[^`]+)` (?:(?P<absent>is not on PATH)|(?P<denied>is not executable)|is not there, or"
    r"|(?P<format>is no program))",
)
_INIT = (
    # runc >= 1.0.0-rc93 from inside the container; older ones do not name the program.
    r"^exec (?P<program>\S.*): (?:no such file or directory|(?P<denied>permission denied)"
    r"|(?P<format>exec format error))$",
    r"exec user process caused:? \"?(?:no such file or directory|(?P<denied>permission denied)"
    r"|(?P<format>exec format error))",
    # tini 0.18 and later (built small, it gives the words alone), catatonit, dumb-init 1.2
    r"^(?:\[FATAL +tini \(\d+\)\] )?exec (?P<program>.+) failed: (?:No such file or directory"
    r"|(?P<denied>Permission denied)|(?P<format>Exec format error))$",
    r"^ERROR \(catatonit:\d+\): failed to exec pid1: (?:No such file or directory|(?P<denied>Permission denied)"
    r"|(?P<format>Exec format error))$",
    r"^\[dumb-init\] (?P<program>.+): (?:No such file or directory|(?P<denied>Permission denied)"
    r"|(?P<format>Exec format error))$",
)
# dash, busybox, bash, zsh, GNU env and busybox env; the word before the program is the shell or the script.
_SHELL = (
    r"^[\w./-]+: (?:line )?\d+: (?:exec: )?(?P<program>[\w./@%+-]+): (?:not found|command not found"
    r"|No such file or directory|cannot execute: required file not found|(?P<denied>Permission denied|Is a directory)"
    r"|(?:cannot execute binary file: )?(?P<format>Exec format error))$",
    r"^(?:/bin/)?(?:ba|a|da)?sh: (?:exec: )?(?P<program>[\w./@%+-]+): (?:not found|command not found"
    r"|(?P<denied>Permission denied))$",
    r"^(?:/usr/bin/)?env: ['‘](?P<program>[^'’]+)['’]: (?:No such file or directory|(?P<denied>Permission denied))$",
    r"^env: can't execute '(?P<program>[^']+)': (?:No such file or directory|(?P<denied>Permission denied))$",
)
# The interpreter runs, and the program it was given is not there.
_INTERPRETER = (
    r"^(?:[\w./-]*python[\d.]*): can't open file '(?P<program>[^']+)': \[Errno 2\] No such file or directory$",
    r"^(?:[\w./-]*sh): 0: (?:cannot|Can't) open (?P<program>\S+?)(?:: No such file)?$",
    r"^(?:[\w./-]*sh): (?P<program>[\w./-]+): No such file or directory$",
    r"^Error: Unable to access jarfile (?P<program>\S+)$",
    r"^Error: Cannot find module '(?P<program>/[^']+\.[cm]?js)'$",
)
_NOT_FOUND = 127
_SHELL_CODES = (126, _NOT_FOUND)


def unexecuted(evidence: Evidence) -> Unexecuted | None:
    """Return the program that could not be executed, where that is why nothing runs."""
    if evidence.passed or evidence.healthy_s is not None:
        return None
    for pattern in _ENGINE:
        if match := re.search(pattern, evidence.error, re.MULTILINE):
            return _made(match)
    if not died(evidence):
        return None
    if match := said(evidence, *_INIT, within=5):
        return _made(match)
    # A shell script may go on after a command that it did not find: only its own end with this code tells.
    code = evidence.exit.code if evidence.exit else None
    if code in _SHELL_CODES and (match := said(evidence, *_SHELL, within=10)):
        return _made(match, by_shell=True)
    return _without_words(evidence) if code == _NOT_FOUND else None


def _without_words(evidence: Evidence) -> Unexecuted | None:
    """Return the program that is not there, where nobody says so: an init may be silent."""
    entry = evidence.facts.entry if evidence.facts else None
    if entry is not None:
        line = f"`{entry.path}` is not in the container"
        return None if entry.exists else Unexecuted(entry.path, Refusal.MISSING, line, certainly_absent=True)
    match = re.match(r"^`(?P<program>[^`]+)`, or a program that it starts, was not found", evidence.error)
    silent = not any(line.text.strip() for line in evidence.last_words)
    return _made(match) if match and silent else None


def unopened(evidence: Evidence) -> re.Match[str] | None:
    """Return what an interpreter said of a program file that is not there; the group `program` names it."""
    if not died(evidence) or (evidence.exit and evidence.exit.code == 0):
        return None
    match = said(evidence, *_INTERPRETER)
    # Node names a module like that too when it is required by another one.
    if match is not None and "Cannot find module" in match[0] and said(evidence, r"^\s*Require stack:"):
        return None
    return match


def _made(match: re.Match[str], *, by_shell: bool = False) -> Unexecuted:
    groups = match.groupdict()
    refusal = Refusal.MISSING
    if groups.get("denied"):
        refusal = Refusal.DENIED
    elif groups.get("format"):
        refusal = Refusal.FORMAT
    return Unexecuted(
        program=groups.get("program") or "",
        refusal=refusal,
        line=match.string[max(0, match.start() - 40) : match.end() + 80] if len(match.string) > 300 else match.string,
        by_shell=by_shell,
        certainly_absent=bool(groups.get("absent")),
    )
