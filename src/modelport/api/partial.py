"""Partial responses: `fields=models(name,labels),nextPageToken` keeps only what is named. Pure."""

from __future__ import annotations

import re
from typing import Any

from modelport.core.errors import InvalidArgument, Violation

# A name maps to what is kept below it; an empty selection keeps all.
Selection = dict[str, "Selection"]

MAX_FIELDS = 4000
MAX_DEPTH = 20
_TOKEN = re.compile(r"\s*([A-Za-z_@*$][A-Za-z0-9_.\-]*|[,()/])")


def parse_fields(text: str) -> Selection:
    """Return the selection that a `fields` parameter states: names, `/` or `.` for below, `( )` for several, `*`."""
    if len(text) > MAX_FIELDS:
        raise _refusal(f"It has {len(text)} characters; at most {MAX_FIELDS} are allowed.")
    tokens: list[str] = []
    position = 0
    while text[position:].strip():
        match = _TOKEN.match(text, position)
        if match is None:
            raise _refusal(f"`{text[position:][:80]}` is not understood.")
        tokens.extend(part for part in re.split(r"([.])", match[1]) if part)
        position = match.end()
    tokens.append("")
    selection, rest = _selection(tokens, 0, 0)
    if tokens[rest]:
        raise _refusal(f"`{tokens[rest]}` stands where a name or the end is wanted.")
    return selection


def _selection(tokens: list[str], position: int, depth: int) -> tuple[Selection, int]:
    if depth > MAX_DEPTH:
        raise _refusal(f"It is nested more than {MAX_DEPTH} deep.")
    result: Selection = {}
    while True:
        place = result
        while True:
            name = tokens[position]
            if name in ("", ",", "(", ")", "/", "."):
                raise _refusal(f"`{name or 'the end'}` stands where a name is wanted.")
            known = name in place
            below = place.setdefault(name, {})
            position += 1
            if tokens[position] not in ("/", "."):
                break
            place = below
            position += 1
        if tokens[position] == "(":
            inner, position = _selection(tokens, position + 1, depth + 1)
            if tokens[position] != ")":
                raise _refusal("A `(` is not closed.")
            below.update(inner)
            position += 1
        elif known:
            below.clear()
        if tokens[position] != ",":
            return result, position
        position += 1


def select(value: Any, selection: Selection) -> Any:
    """Return `value` with nothing but the selected fields; lists are looked through."""
    if not selection:
        return value
    if isinstance(value, list):
        return [select(item, selection) for item in value]
    if not isinstance(value, dict):
        return value
    if "*" in selection:
        return {key: select(item, selection.get(key, selection["*"])) for key, item in value.items()}
    return {key: select(item, selection[key]) for key, item in value.items() if key in selection}


def _refusal(problem: str) -> InvalidArgument:
    return InvalidArgument.listing((Violation("fields", problem),))
