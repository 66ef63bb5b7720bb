"""What somebody pasted to have it explained: an error of the API, the output of curl, a traceback, a word. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from modelport.doctor.reasons import Kind, explain, named_in

# As the gateway takes and makes them; see `gateway/journal.py`.
_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_STATED_ID = re.compile(r"(?:x-request-id|request_?id)\W{1,6}([A-Za-z0-9][A-Za-z0-9._-]{0,63})", re.IGNORECASE)
_STATED_REASON = re.compile(r"reason\W{1,6}([A-Z][A-Z0-9_]{2,60})\b")


@dataclass(frozen=True)
class Pasted:
    """What was found: a name to explain, the id of a request, the message; each may be empty."""

    name: str = ""
    request_id: str = ""
    message: str = ""


def read_pasted(text: str) -> Pasted:
    """Return what can be explained of a text."""
    text = text.strip()
    for error in _errors(text):
        return _of_error(error)
    if found := explain(text):
        return Pasted(name=found.name)
    stated = _STATED_ID.search(text)
    reason = _STATED_REASON.search(text)
    if stated or reason:
        name = reason[1] if reason else next(iter(named_in(text)), "")
        return Pasted(name, stated[1] if stated else "", text)
    if _is_id(text):
        return Pasted(request_id=text)
    return Pasted(name=next(iter(named_in(text)), ""), message=text)


def _is_id(text: str) -> bool:
    # A word in capitals is a misspelt reason, and one without a digit hardly an id: those that are made have many.
    return _REQUEST_ID.fullmatch(text) is not None and not text.isupper() and any(one.isdigit() for one in text)


def _is_finding(name: str) -> bool:
    found = explain(name)
    return found is not None and found.kind is Kind.FINDING


def _errors(text: str) -> Iterator[dict[str, Any]]:
    """Yield the errors in the first JSON object of the text, which may have headers before it and more after it."""
    start = text.find("{")
    if start < 0:
        return
    try:
        document, _ = json.JSONDecoder().raw_decode(text[start:])
    except ValueError:
        return
    error = document.get("error", document)
    if isinstance(error, dict) and ("details" in error or "message" in error):
        yield error


def _of_error(error: dict[str, Any]) -> Pasted:
    details = error.get("details")
    infos = [one for one in details if isinstance(one, dict)] if isinstance(details, list) else []
    name, request_id = "", ""
    for info in infos:
        metadata = info.get("metadata")
        metadata = metadata if isinstance(metadata, dict) else {}
        found = metadata.get("code") or metadata.get("finding") or info.get("reason")
        if isinstance(found, str) and (explain(found) or not name):
            name = found
        request_id = str(metadata.get("requestId") or metadata.get("request_id") or request_id)
    message = str(error.get("message", ""))
    # The finding of a container says more than that its version is not ready, and such messages begin with it.
    name = next((one for one in named_in(message) if _is_finding(one)), name)
    status = error.get("status")
    name = name or next(iter(named_in(message)), status if isinstance(status, str) else "")
    return Pasted(name, request_id if _REQUEST_ID.fullmatch(request_id) else "", message)
