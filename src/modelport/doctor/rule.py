"""A rule: one way in which a container fails, as a pure function from evidence to a finding.

The docstring of the function is the page of its code in the documentation. Its first line says what is wrong; then
sections follow, each a paragraph or a list that begins with its name::

    Symptom: what one sees, here and on other platforms, with the literal messages.
    Cause: why that happens.
    Proof: which evidence the rule looks at.
    Fix: what to change, with the literal line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from modelport.doctor.evidence import Evidence
from modelport.doctor.findings import Finding, Remedy, Severity

SECTIONS = ("Symptom", "Cause", "Proof", "Fix")


@dataclass(frozen=True)
class Found:
    """What a rule's function returns; `rule` makes a finding of it. `severity` overrides that of the rule."""

    summary: str
    cause: str
    remedy: Remedy | str
    evidence: tuple[str, ...]
    severity: Severity | None = None


@dataclass(frozen=True)
class Rule:
    """A code, the severity of its findings, and the function that looks for it."""

    code: str
    severity: Severity
    look: Callable[[Evidence], Found | None]

    @property
    def text(self) -> str:
        """Return the documentation of this code."""
        return self.look.__doc__ or ""

    def __call__(self, evidence: Evidence) -> Finding | None:
        """Return the finding, or None where the evidence does not show it."""
        found = self.look(evidence)
        if found is None:
            return None
        remedy = found.remedy if isinstance(found.remedy, Remedy) else Remedy(found.remedy)
        severity = found.severity or self.severity
        return Finding(self.code, severity, found.summary, found.cause, remedy, found.evidence)


def rule(code: str, severity: Severity = Severity.ERROR) -> Callable[[Callable[[Evidence], Found | None]], Rule]:
    """Make a rule of a function. Nothing is registered: `rules/__init__.py` lists them in order of certainty."""

    def make(look: Callable[[Evidence], Found | None]) -> Rule:
        return Rule(code, severity, look)

    return make
