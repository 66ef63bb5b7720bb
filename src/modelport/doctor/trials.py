"""Trials: the predictions that were tried, which of them counts, and what the log said along with it. Pure."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from typing import Any

from modelport.core.replicas import LogLine
from modelport.doctor.answers import Answer, answer_of
from modelport.doctor.evidence import Evidence, Prediction, Purpose
from modelport.doctor.log_text import Raised, exceptions, plain

_LATER_S = 2.0  # some engines tell whole seconds, and output arrives after the answer


def of(evidence: Evidence, purpose: Purpose) -> tuple[Prediction, ...]:
    """Return the predictions that were tried for one purpose."""
    return tuple(one for one in evidence.predictions if one.purpose is purpose)


def tried(evidence: Evidence) -> tuple[Prediction, ...]:
    """Return the predictions that decide: with known good instances where there are any, else guesses."""
    return of(evidence, Purpose.SAMPLE) or of(evidence, Purpose.SAFE)


def failing(evidence: Evidence) -> Prediction | None:
    """Return the first prediction where none of them worked."""
    decisive = tried(evidence)
    if not decisive or any(answer_of(one) is Answer.WORKS for one in decisive):
        return None
    return decisive[0]


def failing_with_more(evidence: Evidence) -> Prediction | None:
    """Return the prediction that fails with several instances after one of them alone has worked."""
    single = False
    for one in tried(evidence):
        single = single or (one.instances == 1 and answer_of(one) is Answer.WORKS)
        if single and one.instances > 1 and answer_of(one) is Answer.FAILS:
            return one
    return None


def answered(evidence: Evidence) -> Prediction | None:
    """Return the prediction to look at for what answers look like: one that worked, else one with status 2xx.

    None where they are in a protocol of the server's own.
    """
    judged = [one for one in tried(evidence) if not one.native]
    fine = [one for one in judged if one.exchange.status is not None and 200 <= one.exchange.status < 300]
    return next((one for one in fine if answer_of(one) is Answer.WORKS), next(iter(fine), None))


def proves(prediction: Prediction) -> bool:
    """Return whether a failure is the container's: the instances were no guess."""
    return prediction.purpose is not Purpose.SAFE


def body_text(prediction: Prediction) -> str:
    """Return what is known of the answer."""
    return prediction.complete_body if prediction.complete_body is not None else prediction.exchange.body


def whole_body(prediction: Prediction) -> str | None:
    """Return the whole answer, or None where only its beginning is known."""
    if prediction.complete_body is not None:
        return prediction.complete_body
    known = prediction.exchange.body
    size = prediction.exchange.size_bytes
    return known if size is not None and size == len(known.encode()) else None


def sent_instances(prediction: Prediction) -> list[Any]:
    """Return the instances that were sent, as far as they are known."""
    try:
        sent = json.loads(prediction.exchange.sent)
    except ValueError:
        return []
    instances = sent.get("instances") if isinstance(sent, dict) else sent
    return instances if isinstance(instances, list) else []


def raised(evidence: Evidence, prediction: Prediction) -> tuple[Raised, ...]:
    """Return the exceptions that the log shows for this prediction, in order."""
    return exceptions(lines_with(evidence, prediction))


def lines_with(evidence: Evidence, prediction: Prediction) -> tuple[LogLine, ...]:
    """Return the log of the time in which the prediction was under way; all of it where times are unknown."""
    lines = evidence.last_words
    if not any(line.time for line in lines):
        return lines
    start, end = _window(prediction)
    return tuple(line for line in lines if line.time is not None and start <= line.time <= end)


def _window(prediction: Prediction) -> tuple[datetime, datetime]:
    """Return when lines about a prediction may have been written; some engines know whole seconds only."""
    sent = prediction.exchange.time
    return sent.replace(microsecond=0), sent + timedelta(seconds=prediction.exchange.latency_s + _LATER_S)


def _own(evidence: Evidence, prediction: Prediction, found: tuple[Raised, ...]) -> Raised:
    """Return which of the exceptions belongs to the prediction, where others failed in the same second."""
    start, end = _window(prediction)
    failing = [
        one
        for one in evidence.predictions
        if (one.exchange.status is None or one.exchange.status >= 500)
        and start <= _window(one)[1]
        and _window(one)[0] <= end
    ]
    in_order = len(failing) == len(found) and prediction in failing
    return found[failing.index(prediction)] if in_order else found[-1]


def failure_texts(evidence: Evidence, prediction: Prediction) -> tuple[str, ...]:
    """Return what the server said of a failure: the exceptions in its log, the last first, and its answer."""
    said = tuple(f"{one.kind}: {one.message}" for one in reversed(raised(evidence, prediction)))
    return (*said, readable(body_text(prediction)))


def said(evidence: Evidence, prediction: Prediction, *patterns: str) -> re.Match[str] | None:
    """Return the first match of any pattern in what the server said of a failure."""
    texts = failure_texts(evidence, prediction)
    return next((match for text in texts for one in patterns if (match := re.search(one, text))), None)


def prediction_lines(evidence: Evidence, prediction: Prediction) -> tuple[str, ...]:
    """Return a prediction as lines of evidence: the request, the answer, the exception behind it."""
    lines = [f"predict: {prediction.exchange}"]
    if text := readable(body_text(prediction)):
        lines.append(f"answer: {text[:200]}")
    if found := raised(evidence, prediction):
        lines.append(f"log: {str(_own(evidence, prediction, found))[:300]}")
    return tuple(lines)


def readable(body: str) -> str:
    """Return an answer on one line, without HTML tags."""
    text = plain(body)
    if text.lstrip().startswith("<"):
        text = re.sub(r"<(style|script)\b.*?</\1>|<[^>]+>", " ", text, flags=re.DOTALL | re.IGNORECASE)
    return " ".join(text.split())
