"""The pages of the doctor's findings, one for each code, from the docstrings of the rules."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

from modelport.doctor.rule import SECTIONS, Rule
from modelport.doctor.rules import RULES

_SECTION = re.compile(rf"^({'|'.join(SECTIONS)}): ?", re.MULTILINE)
_PLATFORMS = "Vertex AI|SageMaker|Cloud Run|Replicate|Kubernetes|AI Platform|the original service"
# A message that another platform prints, and which: "…" (Vertex AI), "…" on Vertex AI, Vertex AI says "…".
_MESSAGES = (
    re.compile(r'"(?P<message>[^"]{8,})"\s+\((?P<platform>[^)]{2,60})\)'),
    re.compile(rf'"(?P<message>[^"]{{8,}})"\s+on (?P<platform>{_PLATFORMS})'),
    re.compile(rf'(?P<platform>{_PLATFORMS})(?: says)? "(?P<message>[^"]{{8,}})"'),
)


def finding_page(rule: Rule) -> Iterator[str]:
    """Yield the paragraphs of the page of one code."""
    summary, sections = documented(rule)
    yield summary
    yield f"Severity: {rule.severity}. Every finding: [findings](../findings.md)."
    for name in SECTIONS:
        yield f"## {name}"
        yield sections[name][:1].upper() + sections[name][1:]


def index_rows() -> list[tuple[str, str, str]]:
    """Return code, severity and meaning of every rule, in the order in which they are asked."""
    return [(f"[`{rule.code}`](findings/{rule.code}.md)", str(rule.severity), documented(rule)[0]) for rule in RULES]


def message_rows() -> list[tuple[str, str, str]]:
    """Return what other platforms print, who prints it, and the codes that may stand behind it."""
    found: dict[tuple[str, str], list[str]] = {}
    for rule in RULES:
        symptom = " ".join(documented(rule)[1]["Symptom"].split())
        for match in (match for pattern in _MESSAGES for match in pattern.finditer(symptom)):
            message = match["message"].partition(". Please")[0].rstrip(".,")
            codes = found.setdefault((message, match["platform"]), [])
            if rule.code not in codes:
                codes.append(rule.code)
    return [
        (message, platform, ", ".join(f"[`{code}`](findings/{code}.md)" for code in codes))
        for (message, platform), codes in sorted(found.items())
    ]


def documented(rule: Rule) -> tuple[str, dict[str, str]]:
    """Return the first sentence of a rule's documentation, and its sections by name; all of them must be there."""
    text = inspect.cleandoc(rule.text)
    parts = _SECTION.split(text)
    sections = {name: body.strip() for name, body in zip(parts[1::2], parts[2::2], strict=True)}
    if missing := [name for name in SECTIONS if not sections.get(name)]:
        raise ValueError(f"{rule.code} says nothing on: {', '.join(missing)}")
    return " ".join(parts[0].split()), sections
