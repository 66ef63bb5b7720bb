"""Refusals: what a server that validates requests says of one that it does not take, read from its answer. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from modelport.doctor.evidence import Prediction
from modelport.doctor.trials import body_text

_LOCATION = re.compile(r'"loc"\s*:\s*\[(?P<loc>[^\]]*)\]\s*,\s*"msg"\s*:\s*"(?P<msg>[^"]*)"')
_MISSING = re.compile(r"field required|missing|is required|required property", re.IGNORECASE)
_REQUIRED = re.compile(r"'(?P<name>\w+)' is a required property|Missing data for required field")


@dataclass(frozen=True)
class Refusal:
    """One complaint: `where` leads into the request, such as ("body", "instances", "0")."""

    where: tuple[str, ...]
    message: str

    @property
    def missing(self) -> bool:
        """Return whether something is not there, in contrast to being of the wrong kind."""
        return bool(_MISSING.search(self.message))

    def __str__(self) -> str:
        return f"{'.'.join(self.where)}: {self.message}"


def refusals(prediction: Prediction) -> tuple[Refusal, ...]:
    """Return the complaints of a validating framework (FastAPI, pydantic, jsonschema) about a request."""
    if prediction.exchange.status not in (400, 422):
        return ()
    body = body_text(prediction)
    try:
        found = tuple(_complaints(json.loads(body)))
    except ValueError:
        # More than is kept of an answer: they quote the request.
        pieces = (re.findall(r"[\w-]+", match["loc"]) for match in _LOCATION.finditer(body))
        messages = (match["msg"] for match in _LOCATION.finditer(body))
        found = tuple(Refusal(tuple(where), message) for where, message in zip(pieces, messages, strict=True))
    if not found and (match := _REQUIRED.search(body)) and match["name"]:
        return (Refusal(("body", match["name"]), match[0]),)
    return found


def _complaints(document: Any) -> list[Refusal]:
    detail = document.get("detail", document.get("errors")) if isinstance(document, dict) else document
    if not isinstance(detail, list):
        return []
    return [
        Refusal(tuple(str(part) for part in one["loc"]), str(one.get("msg", "")))
        for one in detail
        if isinstance(one, dict) and isinstance(one.get("loc"), list)
    ]
