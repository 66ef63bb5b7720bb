"""Findings as people read them: what, why, proof and fix, wrapped, with proof and code left as they are. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from modelport.core.errors import Error, finding_page
from modelport.doctor.findings import Diagnosis, Finding, Remedy, Role, Severity
from modelport.doctor.log_text import plain

_LABEL_WIDTH = 11
_MAX_WIDTH = 100
_MIN_WIDTH = 40
# A line of a remedy that is code as a whole, without backticks round it.
_CODE = re.compile(
    r"(?:RUN|CMD|ENTRYPOINT|COPY|ENV|USER|EXPOSE|FROM|WORKDIR) |[^`]*(?:\w\(|\w=\S|;\s| --?[a-z]|[\w/] && )[^`]*$"
)
_NEVER = re.compile(r"(?!)")
# What may stand between backticks is one word: a line that is to be copied must not be broken.
_WORD = re.compile(r"(?:`[^`\n]*`|[^\s`]|`)+")


def explained(finding: Finding, width: int) -> str:
    """Return a finding in full: What, Why, Proof, Fix."""
    parts = (
        ("What", wrapped(finding.summary, width)),
        ("Why", wrapped(finding.cause, width)),
        ("Proof", [line for one in finding.evidence for line in _literal(one)]),
        ("Fix", wrapped(finding.remedy.text, width, code=_CODE)),
    )
    return "\n".join(line for label, lines in parts if lines for line in _labelled(label, lines))


def diagnosed(error: Error, width: int) -> str:
    """Return an error that the doctor has explained, as `doctor.summary` words it for programs."""
    told = error.metadata
    finding = Finding(
        error.finding,
        Severity.ERROR,
        told.get("what", error.message),
        told.get("cause", ""),
        Remedy(told.get("remedy", error.hint)),
        tuple(told.get("evidence", "").splitlines()),
    )
    headline, _, _ = error.message.partition(". ")
    target = told.get("target", "FOLDER|IMAGE")
    hint = f"run `modelport check {target}` after the change; it takes seconds and touches nothing that is live"
    parts = [f"error: {headline}", "", explained(finding, width), ""]
    if also := told.get("also"):
        parts += [f"also seen: {also}", ""]
    return "\n".join([*parts, f"hint: {hint}", f"docs: {finding_page(error.finding)}"])


def others(diagnosis: Diagnosis) -> list[str]:
    """Return one line for each finding but the cause: consequences, then warnings and advice with what to do."""
    return [_in_one_line(finding) for finding in diagnosis.findings if finding is not diagnosis.cause]


def wrapped(text: str, width: int, *, code: re.Pattern[str] = _NEVER) -> list[str]:
    """Break prose into lines; lines that are indented or code, and what is between backticks, stay as they are."""
    room = max(_MIN_WIDTH, min(width, _MAX_WIDTH)) - _LABEL_WIDTH
    lines: list[str] = []
    for line in printable(text).strip("\n").splitlines():
        literal = line.startswith((" ", "\t")) or code.match(line)
        lines += [line.rstrip()] if literal else _broken(line, room)
    return lines


def printable(text: str) -> str:
    """Return the text without colours, and with control characters spelled out.

    What a container prints must not steer the terminal.
    """
    return "".join(one if one in "\n\t" or not _controls(one) else _escaped(one) for one in plain(text))


def _controls(character: str) -> bool:
    # Cc: escape sequences; Cf: among others the marks that reverse the order in which text is shown; Cs: no text.
    return unicodedata.category(character) in ("Cc", "Cf", "Cs")


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _in_one_line(finding: Finding) -> str:
    what = " ".join(printable(finding.summary).split())
    if finding.role is Role.CONSEQUENCE:
        return f"  consequence {finding.code}: {what}"
    remedy = next((line.strip() for line in printable(finding.remedy.text).splitlines() if line.strip()), "")
    joint = " " if what.endswith((".", "!", "?")) else "; "
    return f"  {finding.severity} {finding.code}: {what}{joint if remedy else ''}{remedy}"


def _literal(text: str) -> list[str]:
    first, *more = printable(text).rstrip("\n").split("\n")
    return [first, *(f"  {line}" for line in more)]


def _labelled(label: str, lines: list[str]) -> Iterator[str]:
    for index, line in enumerate(lines):
        yield f"  {label if index == 0 else '':<{_LABEL_WIDTH - 2}}{line}".rstrip()


def _broken(line: str, room: int) -> list[str]:
    lines = [""]
    for word in _WORD.findall(line):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if len(longer) > room and lines[-1]:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
