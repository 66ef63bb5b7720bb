"""Query parameters that every method takes: which there are, and what they do to a response. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from modelport.api.partial import Selection, parse_fields
from modelport.core.errors import InvalidArgument, Violation

SYSTEM_PARAMETERS = (
    "$.xgafv",
    "access_token",
    "alt",
    "callback",
    "fields",
    "key",
    "oauth_token",
    "prettyPrint",
    "quotaUser",
    "uploadType",
    "upload_protocol",
)


@dataclass(frozen=True)
class Query:
    """A checked query: `text` has the method's own parameters in camelCase, the rest says how to answer."""

    text: str
    pretty: bool
    fields: Selection | None


def parse_query(text: str, own: Collection[str]) -> Query:
    """Return the query of a method whose own parameters are `own`, in camelCase.

    Raises:
        InvalidArgument: a parameter is unknown, stated twice, or asks for what is not offered.
    """
    parameters: dict[str, str] = {}
    violations: list[Violation] = []
    for key, value in parse_qsl(text, keep_blank_values=True):
        name = key if key in SYSTEM_PARAMETERS else _camel(key)
        if name not in SYSTEM_PARAMETERS and name not in own:
            violations.append(Violation(key[:80], _unknown(key[:80], own)))
        elif name in parameters:
            violations.append(Violation(name, "It is stated twice."))
        else:
            parameters[name] = value
    if parameters.get("alt", "json") != "json":
        violations.append(
            Violation("alt", f"`{parameters['alt'][:80]}` is not offered; leave it out, or write `json`.")
        )
    if "callback" in parameters:
        violations.append(Violation("callback", "JSONP is not offered; leave it out."))
    if violations:
        raise InvalidArgument.listing(tuple(violations[:20]))
    return Query(
        text=urlencode([(name, value) for name, value in parameters.items() if name in own]),
        pretty=parameters.get("prettyPrint", "true").lower() not in ("false", "0"),
        fields=parse_fields(parameters["fields"]) if parameters.get("fields") else None,
    )


def _unknown(key: str, own: Iterable[str]) -> str:
    nearest = difflib.get_close_matches(_camel(key), [*own, *SYSTEM_PARAMETERS], n=1)
    advice = f" Did you mean `{nearest[0]}`?" if nearest else ""
    return f'Unknown name "{key}": no query parameter of this method has it.{advice}'


def _camel(name: str) -> str:
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), name)
