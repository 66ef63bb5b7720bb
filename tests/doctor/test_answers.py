"""What the outcome of one prediction means."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from modelport.doctor.answers import Answer, answer_of, predicted
from modelport.doctor.evidence import Exchange, Prediction, Purpose

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def prediction(status: int | None, *, error: str = "", body: str | None = None) -> Prediction:
    return Prediction(Purpose.SAMPLE, 1, Exchange(NOW, "http://h/predict", status, error, 0.1), body)


@pytest.mark.parametrize(
    ("status", "body", "meaning"),
    [
        (200, '{"predictions": [1]}', Answer.WORKS),
        (200, "[1]", Answer.WORKS),
        (200, "no JSON", Answer.WORKS),
        (200, None, Answer.WORKS),
        (201, "{}", Answer.WORKS),
        (200, '{"predictions": [1], "error": null}', Answer.WORKS),
        (200, '{"error": "X has 1 features"}', Answer.FAILS),
        (200, '{"detail": "no"}', Answer.FAILS),
        (400, "", Answer.FAILS),
        (422, "", Answer.FAILS),
        (500, "", Answer.FAILS),
        (503, "", Answer.FAILS),
        (307, "", Answer.REFUSED),
        (401, "", Answer.REFUSED),
        (404, "", Answer.REFUSED),
        (405, "", Answer.REFUSED),
        (413, "", Answer.REFUSED),
        (415, "", Answer.REFUSED),
    ],
)
def test_a_status_and_a_body_have_a_meaning(status: int, body: str | None, meaning: Answer) -> None:
    assert answer_of(prediction(status, body=body)) is meaning


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        ("no answer within 10 s", Answer.LATE),
        ("connection closed without an answer", Answer.FAILS),
        ("connection refused", Answer.REFUSED),
        ("an answer that is not HTTP", Answer.REFUSED),
    ],
)
def test_an_error_has_a_meaning(error: str, meaning: Answer) -> None:
    assert answer_of(prediction(None, error=error)) is meaning


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ('{"predictions": [1, 2]}', [1, 2]),
        ('{"predictions": {"a": 1}}', None),
        ('{"predictions": []}', []),
        ("[1]", [1]),
        ('{"outputs": [1], "model": "m"}', [1]),
        ('{"classes": [1], "scores": [2]}', None),
        ('{"result": 1}', None),
        ("<html>", None),
        ("", None),
        (None, None),
    ],
)
def test_predictions_are_found_under_whatever_name(body: str | None, found: Any) -> None:
    assert predicted(body) == found
