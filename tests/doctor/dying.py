"""Evidence of containers that end by themselves or hang, for the tests of rules."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from modelport.core.facts import ReplicaFacts
from modelport.core.replicas import Exit, LogLine
from modelport.doctor.evidence import Evidence, Phase
from modelport.doctor.findings import Finding, Severity
from modelport.doctor.rules import RULES

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
_LOGS = Path(__file__).parent / "logs"


def recorded(name: str) -> str:
    """Return what a real program printed."""
    return (_LOGS / f"{name}.log").read_text(encoding="utf-8")


def lines(text: str, *, stream: str = "stderr") -> tuple[LogLine, ...]:
    """Return a text as lines of a log."""
    return tuple(LogLine(NOW, stream, line) for line in text.removesuffix("\n").split("\n") if text)


def ended(text: str, code: int | None, **more: Any) -> Evidence:
    """Return evidence of a program that printed this and ended with this code, or by a signal where above 128."""
    signal = code - 128 if code is not None and 128 < code < 160 else None
    values: dict[str, Any] = {
        "phase": Phase.START,
        "exits": (Exit(code, signal),),
        "log": lines(text),
        **more,
    }
    return evidence(**values)


def hanging(text: str, **more: Any) -> Evidence:
    """Return evidence of a program that printed this, lives, and listens nowhere."""
    values: dict[str, Any] = {
        "phase": Phase.LISTEN,
        "log": lines(text),
        "quiet_s": 5.0,
        "facts": ReplicaFacts(NOW, sockets=()),
        **more,
    }
    return evidence(**values)


def healthy(text: str, **more: Any) -> Evidence:
    """Return evidence of a program that printed this and does all that is asked of it."""
    return evidence(phase=Phase.DONE, passed=True, log=lines(text), listening_s=0.5, healthy_s=0.6, **more)


def evidence(**more: Any) -> Evidence:
    """Return evidence with what every one has."""
    values: dict[str, Any] = {"phase": Phase.START, "driver": "docker", "elapsed_s": 3.0, **more}
    return Evidence(version="projects/p/models/m/versions/v", now=NOW, **values)


def first_error(found: Iterable[Finding]) -> str:
    """Return the code of the first error, or nothing."""
    return next((one.code for one in found if one.severity is Severity.ERROR), "")


def codes(of: Evidence) -> list[str]:
    """Return the codes of all rules that say something."""
    return [one.code for rule in RULES if (one := rule(of)) is not None]
