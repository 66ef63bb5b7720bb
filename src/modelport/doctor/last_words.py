"""Last words: what a program that ended by itself, or that hangs in its start, said last. Pure.

All rules about text go through here. A line of a program that serves proves nothing, so nothing is said of one, save
of an exception that made a prediction fail.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from modelport.core.replicas import LogLine
from modelport.doctor import trials
from modelport.doctor.evidence import Evidence, Phase
from modelport.doctor.idleness import own_lines
from modelport.doctor.log_text import Raised, exceptions, fatal_chain, plain, quoted

_STARTING = (Phase.START, Phase.LISTEN, Phase.HEALTH)
_AFTER_THE_FACT = (Phase.STOP, Phase.DONE)
# What goes wrong in a handler for no fault of its instances.
_WHATEVER_THE_INSTANCES = ("ModuleNotFoundError", "ImportError", "PermissionError")
_QUIET_S = 2.0
_CLOSING_LINES = 12
_SIGABRT = 6


def died(evidence: Evidence) -> bool:
    """Return whether the replica ended by itself before it did all that is asked of it."""
    return evidence.exit is not None and not evidence.passed and evidence.phase not in _AFTER_THE_FACT


def hangs(evidence: Evidence) -> bool:
    """Return whether the replica lives, and its start came to nothing for a reason that its log can tell.

    Nothing inside it listens, or all that the health route ever gave is a server error or silence. Reloaders,
    process managers and servers that swallow the error of a load look like that.
    """
    if evidence.passed or evidence.exit is not None or evidence.healthy_s is not None:
        return False
    if evidence.phase not in _STARTING:
        return False
    if evidence.listening_s is None:
        return evidence.facts is not None and evidence.facts.sockets == ()
    asked = [probe for probe in evidence.health if probe.status is not None or "refused" not in probe.error]
    return bool(asked) and all(probe.status is None or probe.status >= 500 for probe in asked)


def failed(evidence: Evidence) -> bool:
    """Return whether the replica ended or hangs."""
    return died(evidence) or hangs(evidence)


def fatal(evidence: Evidence) -> tuple[Raised, ...]:
    """Return the exception that ended the replica or keeps it from starting, then those behind it; empty if none did.

    One that a signal ended was not ended by an exception, save by an abort. Where it lives, the exception must be the
    last thing that happened, or happen again and again. What no instances can bring about, such as a failed import,
    counts too where it made a prediction fail.
    """
    lines = evidence.last_words
    if died(evidence) and evidence.exit is not None:
        return fatal_chain(lines) if evidence.exit.signal in (None, _SIGABRT) else ()
    if not hangs(evidence):
        return _of_prediction(evidence)
    if evidence.quiet_s > _QUIET_S and (chain := fatal_chain(lines)):
        return chain
    printed = [str(raised) for raised in exceptions(lines)]
    repeated = fatal_chain(lines, within=len(lines))
    return repeated if repeated and printed.count(str(repeated[0])) > 1 else ()


def _of_prediction(evidence: Evidence) -> tuple[Raised, ...]:
    failed = trials.failing(evidence)
    if failed is None or failed.exchange.status is None or failed.exchange.status < 500:
        return ()
    return tuple(one for one in reversed(trials.raised(evidence, failed)) if one.kind in _WHATEVER_THE_INSTANCES)


def raised_by(evidence: Evidence, *patterns: str) -> tuple[Raised, re.Match[str]] | None:
    """Return the fatal exception, or the nearest one behind it, whose `Kind: message` one of the patterns matches."""
    for raised in fatal(evidence):
        whole = f"{raised.kind}: {raised.message}" if raised.message else raised.kind
        for text in (str(raised), whole):
            if match := next((match for pattern in patterns if (match := re.search(pattern, text))), None):
                return raised, match
    return None


def said(evidence: Evidence, *patterns: str, within: int = _CLOSING_LINES) -> re.Match[str] | None:
    """Return the last of the closing lines that one of the patterns matches; None where nothing failed."""
    return next(_said(evidence, patterns, within), None)


def said_times(evidence: Evidence, pattern: str) -> int:
    """Return how many lines of the last attempt the pattern matches."""
    return sum(1 for line in evidence.last_words if re.search(pattern, plain(line.text)))


def proof(evidence: Evidence, *texts: str) -> tuple[str, ...]:
    """Return lines of evidence: these texts of the log, and how the replica ended."""
    lines = tuple(quoted(text) for text in texts if text)
    return (*lines, f"exit: {evidence.exit}") if evidence.exit else lines


def _said(evidence: Evidence, patterns: tuple[str, ...], within: int) -> Iterator[re.Match[str]]:
    if not failed(evidence):
        return
    compiled = [re.compile(pattern) for pattern in patterns]
    for line in reversed(_closing(own_lines(evidence), within)):
        for one in compiled:
            if match := one.search(plain(line.text).rstrip()):
                yield match


def _closing(lines: tuple[LogLine, ...], within: int) -> tuple[LogLine, ...]:
    """Return the last lines of each stream that are near the end of the log as well.

    What comes last on one stream is not pushed out by a chatty other, unless much has happened since.
    """
    kept: set[int] = set()
    for stream in {line.stream for line in lines}:
        kept.update([at for at, line in enumerate(lines) if line.stream == stream][-within:])
    start = len(lines) - 2 * within
    return tuple(line for at, line in enumerate(lines) if at in kept and at >= start)
