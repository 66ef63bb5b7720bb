"""What every reason and finding code means, why it comes and what to do: found by name, or by what it says. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache

from modelport.core import errors
from modelport.core.errors import Error
from modelport.doctor.reason_texts import COMMAND_LINE, CONTROL_PLANE, GATEWAY
from modelport.doctor.rule import SECTIONS, Rule
from modelport.doctor.rules import RULES

_NAME = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*")
_MESSAGE_MIN = 8
# So much of a message must stand in a symptom: messages have names and numbers in them that differ each time.
_SHARED_WORDS = 0.75
_SHARED_MIN = 3


class Kind(StrEnum):
    """GATEWAY: the gateway's own answer to a request; ERROR: of the platform; FINDING: of a container."""

    GATEWAY = "gateway"
    ERROR = "error"
    FINDING = "finding"


@dataclass(frozen=True)
class Explanation:
    """What one name means; a part that says nothing is empty.

    Attributes:
        symptom: of a finding.
        proof: of a finding.
        also: what it means as an error of the platform, where a finding has the same name.
    """

    name: str
    kind: Kind
    meaning: str
    why: str
    fix: str
    symptom: str = ""
    proof: str = ""
    also: str = ""


@cache
def explanations() -> dict[str, Explanation]:
    """Return all there is to explain by name. A finding says more than an error of the same name, and wins."""
    found = {one.name: one for one in (*_of_errors(), *_of_gateway(), *_of_command_line())}
    for one in map(_of_rule, RULES):
        error = found.get(one.name)
        found[one.name] = replace(one, also=f"{error.meaning} {error.fix}") if error else one
    return found


def explain(name: str) -> Explanation | None:
    """Return the explanation of a name, in whatever case and with whatever between its words."""
    return explanations().get(re.sub(r"[\s_-]+", "_", name.strip()).upper())


def nearest(text: str) -> tuple[str, ...]:
    """Return the names that were most likely meant, the likeliest first; at most three."""
    names = list(explanations())
    word = re.sub(r"[\s_-]+", "_", text.strip()).upper()
    close = difflib.get_close_matches(word, names, n=3, cutoff=0.7)
    parts = [name for name in names if len(word) > 2 and f"_{word}_" in f"_{name}_"]
    return tuple(dict.fromkeys((*close, *parts)))[:3]


def named_in(text: str) -> tuple[str, ...]:
    """Return the names that stand in a text as words, in order."""
    known = explanations()
    return tuple(dict.fromkeys(word for word in _NAME.findall(text) if "_" in word and word in known))


def told_by(message: str) -> tuple[Explanation, ...]:
    """Return the findings whose symptoms have this message, of this platform or another; whole messages win."""
    wanted = _plain(message)
    if len(wanted) < _MESSAGE_MIN:
        return ()
    findings = [(one, _plain(one.symptom)) for one in explanations().values() if one.kind is Kind.FINDING]
    if whole := tuple(one for one, symptom in findings if wanted in symptom):
        return whole
    words = set(wanted.split())
    if len(words) < _SHARED_MIN:
        return ()
    shares = [(len(words & set(symptom.split())) / len(words), one) for one, symptom in findings]
    best = max((share for share, _ in shares), default=0.0)
    return tuple(one for share, one in shares if share == best >= _SHARED_WORDS)


def _of_errors() -> Iterator[Explanation]:
    for kind in _kinds(Error):
        if kind.__module__ == errors.__name__:
            why, fix = CONTROL_PLANE.get(kind.reason, ("", ""))
            yield Explanation(kind.reason, Kind.ERROR, _first_line(kind.__doc__), why, fix)


def _of_gateway() -> Iterator[Explanation]:
    for name, (meaning, why, fix) in GATEWAY.items():
        yield Explanation(name, Kind.GATEWAY, meaning, why, fix)


def _of_command_line() -> Iterator[Explanation]:
    for name, (meaning, why, fix) in COMMAND_LINE.items():
        yield Explanation(name, Kind.ERROR, meaning, why, fix)


def _of_rule(rule: Rule) -> Explanation:
    parts = sections(rule.text)
    return Explanation(
        rule.code,
        Kind.FINDING,
        meaning=parts[""],
        why=parts.get("Cause", ""),
        fix=parts.get("Fix", ""),
        symptom=parts.get("Symptom", ""),
        proof=parts.get("Proof", ""),
    )


def sections(text: str) -> dict[str, str]:
    """Return the parts of a rule's documentation by name, each without line breaks of its own; the first has none."""
    found: dict[str, list[str]] = {"": []}
    name = ""
    for line in (line.strip() for line in text.splitlines()):
        start, colon, rest = line.partition(":")
        if colon and start in SECTIONS:
            name, line = start, rest.strip()
        found.setdefault(name, []).append(line)
    # A blank line ends a paragraph; a line of a list stays a line.
    parts = {part: re.sub(r"[ ]+", " ", _joined(lines)).strip() for part, lines in found.items()}
    return {part: text[:1].upper() + text[1:] for part, text in parts.items()}


def _joined(lines: list[str]) -> str:
    text = ""
    for line in lines:
        separator = "\n" if not line or line.startswith(("* ", "- ")) or text.endswith("\n") else " "
        text += separator + line
    return re.sub(r"\n{2,}", "\n", text)


def _kinds(root: type[Error]) -> Iterator[type[Error]]:
    for kind in root.__subclasses__():
        yield kind
        yield from _kinds(kind)


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0]


def _plain(text: str) -> str:
    return " ".join(re.sub(r"[^\w/.:]+", " ", text.casefold()).split()).replace(". ", " ").strip(" .:")
