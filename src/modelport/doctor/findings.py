"""Findings: one named way in which a container breaks the contract, with its cause, its proof and its remedy."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """ERROR: it cannot serve; WARNING: it serves, and will fail under some circumstance; ADVICE: it could be better."""

    ERROR = "error"
    WARNING = "warning"
    ADVICE = "advice"


class Role(StrEnum):
    """CAUSE: the first error, what everything else follows from; CONSEQUENCE: a later error; NOTE: no error."""

    CAUSE = "cause"
    CONSEQUENCE = "consequence"
    NOTE = "note"


@dataclass(frozen=True)
class Remedy:
    """What to do about it.

    Attributes:
        text: in the imperative, with the literal line to write: a line of code, of the Dockerfile, a flag.
        patch: the same as operations of JSON Patch (RFC 6902) on the version's spec, where the spec is what is wrong.
            Paths are those of the API's JSON, such as `/container/ports`; parents that are missing are made.
    """

    text: str
    patch: tuple[tuple[str, str, Any], ...] = ()

    def operations(self) -> list[dict[str, Any]]:
        """Return the patch as JSON Patch."""
        return [{"op": op, "path": path, "value": value} for op, path, value in self.patch]


@dataclass(frozen=True)
class Finding:
    """One finding.

    Attributes:
        code: UPPER_SNAKE; once released it never changes its meaning.
        summary: what is wrong, in one sentence that says what is seen.
        cause: why, as far as the evidence tells.
        evidence: lines that prove it, each telling where it was seen: `log: …`, `exit: …`, `socket table: …`.
    """

    code: str
    severity: Severity
    summary: str
    cause: str
    remedy: Remedy
    evidence: tuple[str, ...]
    role: Role = Role.NOTE


@dataclass(frozen=True)
class Diagnosis:
    """All findings: the cause first, then consequences, then warnings and advice."""

    findings: tuple[Finding, ...] = field(default=())

    @property
    def cause(self) -> Finding | None:
        """Return the finding that explains the failure, or None where nothing is wrong."""
        return next((one for one in self.findings if one.role is Role.CAUSE), None)

    @property
    def conforms(self) -> bool:
        """Return whether no finding is an error."""
        return not any(one.severity is Severity.ERROR for one in self.findings)
