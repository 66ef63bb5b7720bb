"""The report of a check: its stages as they went, the evidence, and what the doctor makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from modelport.doctor.evidence import Evidence
from modelport.doctor.findings import Diagnosis, Finding


class StageName(StrEnum):
    """The stages of a check, in order."""

    SPEC = "spec"
    IMAGE = "image"
    ARTIFACTS = "artifacts"
    START = "start"
    LISTEN = "listen"
    HEALTH = "health"
    PREDICT = "predict"
    RESPONSE = "response"
    LARGE_BODY = "large body"
    CONCURRENCY = "health while predicting"
    STOP = "SIGTERM"


class Outcome(StrEnum):
    """How a stage went; SKIPPED: there was nothing to try, or an earlier stage failed."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Stage:
    """One stage: `text` is the fact in a few words, such as `0.0.0.0:8080`; `took_s` how long it took."""

    name: StageName
    outcome: Outcome
    text: str
    took_s: float


@dataclass(frozen=True)
class Report:
    """All that a check has to say."""

    target: str
    stages: tuple[Stage, ...]
    evidence: Evidence
    diagnosis: Diagnosis

    @property
    def conforms(self) -> bool:
        """Return whether no stage failed and no finding is an error."""
        return self.diagnosis.conforms and not any(stage.outcome is Outcome.FAILED for stage in self.stages)

    def document(self) -> dict[str, Any]:
        """Return the report as JSON."""
        return {
            "conforms": self.conforms,
            "target": self.target,
            "findings": [finding_document(finding) for finding in self.diagnosis.findings],
            "stages": [
                {"name": stage.name, "outcome": stage.outcome, "text": stage.text, "tookS": round(stage.took_s, 3)}
                for stage in self.stages
            ],
        }


def finding_document(finding: Finding) -> dict[str, Any]:
    """Return a finding as JSON; `patch` is there where the spec is what has to change."""
    document: dict[str, Any] = {
        "code": finding.code,
        "severity": finding.severity,
        "role": finding.role,
        "summary": finding.summary,
        "cause": finding.cause,
        "remedy": finding.remedy.text,
        "evidence": list(finding.evidence),
    }
    if finding.remedy.patch:
        document["patch"] = finding.remedy.operations()
    return document
