"""The verdict: the report of a check as text, stages as they pass and then what follows from them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelport.cli.findings import explained, others, printable, wrapped
from modelport.cli.progress import seconds
from modelport.core.errors import finding_page
from modelport.doctor.findings import Severity

if TYPE_CHECKING:
    from modelport.check.report import Report, Stage

_NAME_WIDTH = 23
_TEXT_WIDTH = 46
_SHOWN_FROM_S = 0.1
_MARKS = {"passed": "✓", "failed": "✗", "skipped": "-"}


def stage_line(stage: Stage) -> str:
    """Return one stage as a line; nothing for one that was skipped without a reason."""
    if stage.outcome == "skipped" and not stage.text:
        return ""
    return tick(stage.name, stage.text, stage.took_s, _MARKS[stage.outcome])


def tick(name: str, text: str, took_s: float, mark: str = "✓") -> str:
    """Return one step as a line."""
    time = seconds(took_s) if took_s >= _SHOWN_FROM_S else ""
    shown = " ".join(printable(text).split())
    return f"  {name:<{_NAME_WIDTH}} {mark} {shown:<{_TEXT_WIDTH}} {time:>7}".rstrip()


def verdict(report: Report, width: int) -> str:
    """Return what follows from the stages: that it conforms, or the cause and what to do about it."""
    notes = others(report.diagnosis)
    cause = report.diagnosis.cause
    if report.conforms:
        return "\n".join([f"conforms{_counted(report)}", *notes])
    if cause is None:
        return "\n".join(["does not conform", "", *_unexplained(report, width), *_apart(notes)])
    again = f"run `modelport check {printable(report.target)}` after the change; it touches nothing that is live"
    lines = [f"does not conform: {cause.code}", "", explained(cause, width)]
    return "\n".join([*lines, *_apart(notes), "", f"hint: {again}", f"docs: {finding_page(cause.code)}"])


def _apart(notes: list[str]) -> list[str]:
    return ["", *notes] if notes else []


def _unexplained(report: Report, width: int) -> list[str]:
    """Return what is known where no rule has found a cause."""
    seen = next((stage.text for stage in report.stages if stage.outcome == "failed"), "")
    known = report.evidence.error or seen or "The check failed."
    lines = [f"  {line}" for line in wrapped(known, width)]
    return [*lines, "", f"hint: {report.evidence.hint}"] if report.evidence.hint else lines


def _counted(report: Report) -> str:
    severities = [finding.severity for finding in report.diagnosis.findings]
    warnings, advice = severities.count(Severity.WARNING), severities.count(Severity.ADVICE)
    counted = [
        *([f"{warnings} warning{'s' if warnings > 1 else ''}"] if warnings else []),
        *([f"{advice} advice"] if advice else []),
    ]
    return f"   ({', '.join(counted)})" if counted else ""
