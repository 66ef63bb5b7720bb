"""The diagnosis: all rules over the evidence, the most certain first; the first error is the cause. Pure."""

from __future__ import annotations

from dataclasses import replace

from modelport.doctor.evidence import Evidence
from modelport.doctor.findings import Diagnosis, Finding, Role, Severity
from modelport.doctor.rules import RULES

_ORDER = (Severity.ERROR, Severity.WARNING, Severity.ADVICE)


def diagnose(evidence: Evidence) -> Diagnosis:
    """Return what the evidence shows, the cause first."""
    found = [finding for rule in RULES if (finding := rule(evidence)) is not None]
    ordered = sorted(found, key=lambda finding: _ORDER.index(finding.severity))  # stable: certainty stays
    return Diagnosis(tuple(_with_role(finding, first=index == 0) for index, finding in enumerate(ordered)))


def _with_role(finding: Finding, *, first: bool) -> Finding:
    if finding.severity is not Severity.ERROR:
        return replace(finding, role=Role.NOTE)
    return replace(finding, role=Role.CAUSE if first else Role.CONSEQUENCE)
