"""Answers: what the outcome of one prediction means, before anything is diagnosed from it. Pure."""

from __future__ import annotations

import json
from enum import Enum, auto
from typing import Any

from modelport.doctor.evidence import CLOSED, Prediction

# The route, the method, the credentials or the size is what is wrong: no other instances would help.
_REFUSALS = frozenset({401, 403, 404, 405, 407, 411, 413, 415, 426, 429, 501})
_COMPLAINTS = frozenset({"error", "errors", "detail", "message", "exception", "traceback"})


class Answer(Enum):
    """WORKS: an answer to the instances; FAILS: others may do better; LATE: none in time; REFUSED: none would help."""

    WORKS = auto()
    FAILS = auto()
    LATE = auto()
    REFUSED = auto()


def answer_of(prediction: Prediction) -> Answer:
    """Return what the outcome of a prediction means."""
    exchange = prediction.exchange
    if exchange.status is None:
        if exchange.error.startswith("no answer within"):
            return Answer.LATE
        # Small servers close the connection where their handler raised; one that is gone refuses the next.
        return Answer.FAILS if exchange.error == CLOSED else Answer.REFUSED
    if 200 <= exchange.status < 300:
        return Answer.FAILS if _complains(prediction.complete_body) else Answer.WORKS
    return Answer.FAILS if exchange.status >= 400 and exchange.status not in _REFUSALS else Answer.REFUSED


def predicted(body: str | None) -> list[Any] | None:
    """Return the list of predictions in an answer: under `predictions`, bare, or the only list in an object.

    None where there is none. An empty list is what servers answer that found no instances: it proves nothing.
    """
    document = _document(body)
    if isinstance(document, list):
        return document
    if not isinstance(document, dict):
        return None
    if "predictions" in document:
        return document["predictions"] if isinstance(document["predictions"], list) else None
    lists = [value for value in document.values() if isinstance(value, list)]
    return lists[0] if len(lists) == 1 else None


def _complains(body: str | None) -> bool:
    """Return whether an answer with status 200 tells of an error instead of predictions."""
    document = _document(body)
    return isinstance(document, dict) and "predictions" not in document and not _COMPLAINTS.isdisjoint(document)


def _document(body: str | None) -> Any:
    try:
        return json.loads(body or "")
    except (ValueError, RecursionError):
        return None
