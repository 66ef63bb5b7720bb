"""Replay: the report of a check as a case in a file, and a case as the report that today's rules make of it."""

from __future__ import annotations

from pathlib import Path

from modelport.check.report import Outcome, Report, Stage, StageName
from modelport.cli.usage import UsageProblem
from modelport.core.errors import InvalidArgument
from modelport.doctor.case import Case, CaseStage, to_json


def save(report: Report, file: Path, *, modelport: str) -> None:
    """Write the report as a case."""
    stages = tuple(CaseStage(one.name.value, one.outcome.value, one.text, one.took_s) for one in report.stages)
    text = to_json(Case(report.target, report.evidence, stages, modelport))
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageProblem(f"Cannot write `{file}`: {(error.strerror or str(error)).lower()}") from error


def report_of(case: Case) -> Report:
    """Return the report of a case: its stages as they went, and what the rules say of its evidence now."""
    from modelport.doctor.diagnose import diagnose  # all rules with it, which no other command needs

    return Report(case.target, tuple(_stage(one) for one in case.stages), case.evidence, diagnose(case.evidence))


def _stage(saved: CaseStage) -> Stage:
    try:
        return Stage(StageName(saved.name), Outcome(saved.outcome), saved.text, saved.took_s)
    except ValueError as error:
        raise InvalidArgument(
            f"The case has a stage that this modelport does not know: {error}",
            hint="Read it with the modelport that wrote it",
        ) from error
