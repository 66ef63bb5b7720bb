"""JUnit: the report of a check as a test suite, one test case for each stage. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from modelport.cli.findings import explained, others
from modelport.core.errors import finding_page

if TYPE_CHECKING:
    from modelport.check.report import Report, Stage

_WIDTH = 100
# All that XML 1.0 has no way to write, not even as a reference.
_FORBIDDEN = re.compile(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")


def suite(report: Report) -> str:
    """Return the report as a JUnit XML document."""
    failed = [stage for stage in report.stages if stage.outcome == "failed"]
    # Something can be wrong though every stage passed; a suite that says so must hold a failure.
    unplaced = not report.conforms and not failed
    root = ElementTree.Element(
        "testsuite",
        name="modelport check",
        tests=str(len(report.stages) + unplaced),
        failures=str(len(failed) + unplaced),
        errors="0",
        skipped=str(sum(stage.outcome == "skipped" for stage in report.stages)),
        time=_time(sum(stage.took_s for stage in report.stages)),
        timestamp=report.evidence.now.strftime("%Y-%m-%dT%H:%M:%S"),
    )
    for stage in report.stages:
        case = _case(root, report, stage.name, stage.took_s)
        if stage.outcome == "skipped":
            skipped = ElementTree.SubElement(case, "skipped")
            if stage.text:
                skipped.set("message", _allowed(stage.text))
        elif stage.outcome == "failed":
            _fail(case, report, stage if stage is not failed[0] else None, stage.text)
        elif stage.text:
            ElementTree.SubElement(case, "system-out").text = _allowed(stage.text)
    if unplaced:
        _fail(_case(root, report, "diagnosis", 0.0), report, None, report.evidence.error)
    if notes := others(report.diagnosis):
        ElementTree.SubElement(root, "system-out").text = _allowed("\n".join(note.strip() for note in notes))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _case(root: ElementTree.Element, report: Report, name: str, took_s: float) -> ElementTree.Element:
    attributes = {"classname": f"modelport check {report.target}", "name": name, "time": _time(took_s)}
    return ElementTree.SubElement(root, "testcase", {key: _allowed(value) for key, value in attributes.items()})


def _fail(case: ElementTree.Element, report: Report, later: Stage | None, text: str) -> None:
    """Add the failure: the cause, or for stages after the first that failed only what was seen."""
    cause = report.diagnosis.cause
    if cause is None or later is not None:
        message, code, full = text or "failed", "", text
    else:
        message, code = f"{cause.code}: {cause.summary}", cause.code
        full = f"{text}\n\n{explained(cause, _WIDTH)}\n\ndocs: {finding_page(cause.code)}".lstrip("\n")
    failure = ElementTree.SubElement(case, "failure", message=_allowed(message))
    if code:
        failure.set("type", code)
    failure.text = _allowed(full)


def _time(seconds: float) -> str:
    return f"{seconds:.3f}"


def _allowed(text: str) -> str:
    return _FORBIDDEN.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)
