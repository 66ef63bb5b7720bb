"""The filter language of lists: `labels.team=vision AND state:READY`. Pure.

A filter is one or more terms joined by `AND`. A term is a field, `=`, `!=` or `:`, and a value, quoted or bare. With
`:` a trailing `*` matches any rest, and `field:*` matches where the field is present. Letter case of values counts.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from typing import TypeVar

from modelport.core.errors import InvalidArgument, Violation

T = TypeVar("T")
Getter = Callable[[T], str | None]

MAX_FILTER = 10_000
_TERM = re.compile(
    r"""\s*(?P<field>[A-Za-z_][A-Za-z0-9_.\-]*)\s*(?P<op>!=|=|:)\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^\s"()]+))"""
)
_AND = re.compile(r"\s+AND\s+(?=\S)")


def parse_filter(
    text: str, fields: Mapping[str, Getter[T]], labels: Callable[[T], Mapping[str, str]] | None = None
) -> Callable[[T], bool] | None:
    """Return the predicate that a filter states, or None for an empty filter.

    Args:
        text: the filter as sent.
        fields: the fields that may be asked for, in camelCase; snake_case is understood too.
        labels: how to get at the labels, for kinds that have some.

    Raises:
        InvalidArgument: it is no filter, or asks for a field that is not there.
    """
    if not text.strip():
        return None
    if len(text) > MAX_FILTER:
        raise _refusal(f"It has {len(text)} characters; at most {MAX_FILTER} are allowed.")
    terms: list[Callable[[T], bool]] = []
    position = 0
    while True:
        match = _TERM.match(text, position)
        if match is None:
            raise _refusal(
                f"`{text[position:][:80]}` is not understood; write terms such as `labels.team=vision`, joined by AND."
            )
        value = match["bare"] if match["quoted"] is None else re.sub(r"\\(.)", r"\1", match["quoted"])
        terms.append(_term(_getter(match["field"], fields, labels), match["op"], value))
        position = match.end()
        if not text[position:].strip():
            return lambda resource: all(term(resource) for term in terms)
        joint = _AND.match(text, position)
        if joint is None:
            raise _refusal(f"`{text[position:].strip()[:80]}` is not understood; join terms by AND, nothing else.")
        position = joint.end()


def _getter(field: str, fields: Mapping[str, Getter[T]], labels: Callable[[T], Mapping[str, str]] | None) -> Getter[T]:
    if labels is not None and field.startswith("labels."):
        key = field.removeprefix("labels.")
        return lambda resource: labels(resource).get(key)
    camel = re.sub(r"_([a-z])", lambda match: match[1].upper(), field)
    if camel in fields:
        return fields[camel]
    known = [*fields, *(["labels.KEY"] if labels is not None else [])]
    nearest = difflib.get_close_matches(camel, known, n=1)
    suggestion = f"did you mean `{nearest[0]}`?" if nearest else f"write one of {', '.join(known)}."
    raise _refusal(f"There is no field `{field[:80]}` to filter on; {suggestion}")


def _term(get: Getter[T], operator: str, wanted: str) -> Callable[[T], bool]:
    if operator == "=":
        return lambda resource: get(resource) == wanted
    if operator == "!=":
        return lambda resource: get(resource) != wanted
    if wanted.endswith("*"):
        prefix = wanted.removesuffix("*")
        return lambda resource: (get(resource) or "").startswith(prefix) and get(resource) is not None
    return lambda resource: get(resource) == wanted


def _refusal(problem: str) -> InvalidArgument:
    return InvalidArgument.listing((Violation("filter", problem),))
