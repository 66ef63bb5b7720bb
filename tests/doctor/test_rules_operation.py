from dataclasses import replace
from typing import Any

import pytest

from modelport.core.replicas import Exit
from modelport.doctor.diagnose import diagnose
from modelport.doctor.evidence import Evidence, Prediction, Purpose, Stopping
from modelport.doctor.exchange import CLOSED
from modelport.doctor.findings import Severity
from tests.doctor.living import FLASK, HEALTH_ROUTE, asked, codes, facts, lines, predicting, prediction

FINE = prediction(200, '{"predictions": [1, 2]}')
KILLED = Stopping(grace_s=10, took_s=10.1, killed=True, exit=Exit(None, signal=9))
ENDED = Stopping(grace_s=10, took_s=0.1, killed=False, exit=Exit(0))
CUT = prediction(None, purpose=Purpose.DRAINING, error=CLOSED)


def large(status: int | None, body: str = "", **more: Any) -> Prediction:
    sent = prediction(status, body, purpose=Purpose.LARGE, **more)
    return replace(sent, exchange=replace(sent.exchange, sent_bytes=1_500_000))


@pytest.mark.parametrize(
    ("code", "severity", "evidence"),
    [
        ("BODY_TOO_LARGE", Severity.ERROR, predicting(FINE, large(413, "<h1>413 Request Entity Too Large</h1>nginx"))),
        (
            "BODY_TOO_LARGE",
            Severity.ERROR,
            predicting(FINE, large(500, "PayloadTooLargeError: request entity too large")),
        ),
        (
            "BODY_TOO_LARGE",
            Severity.ERROR,
            predicting(
                FINE,
                large(None, error=CLOSED),
                said=("2026/11/21 [error] 7#7: *1 client intended to send too large body: 1500000 bytes",),
            ),
        ),
        (
            "HEALTH_STARVED_BY_PREDICTIONS",
            Severity.WARNING,
            predicting(
                FINE, health_under_load=(asked(HEALTH_ROUTE, None, error="no answer within 10 s", latency_s=10),)
            ),
        ),
        (
            "HEALTH_STARVED_BY_PREDICTIONS",
            Severity.WARNING,
            predicting(FINE, health_under_load=(asked(HEALTH_ROUTE, 200), asked(HEALTH_ROUTE, 200, latency_s=4.2))),
        ),
        (
            "SLOW_FIRST_PREDICTION",
            Severity.WARNING,
            predicting(
                prediction(200, '{"predictions": [1, 2]}', latency_s=14.0),
                prediction(200, '{"predictions": [1, 2]}', latency_s=0.1, purpose=Purpose.REPEAT),
            ),
        ),
        (
            "SLOW_FIRST_PREDICTION",
            Severity.ERROR,
            predicting(
                prediction(None, error="no answer within 60 s", latency_s=60.0),
                prediction(200, '{"predictions": [1, 2]}', latency_s=0.1, purpose=Purpose.REPEAT),
            ),
        ),
        ("IGNORES_SIGTERM", Severity.WARNING, predicting(FINE, stopping=KILLED)),
        ("DROPS_REQUESTS_ON_SIGTERM", Severity.WARNING, predicting(FINE, CUT, stopping=ENDED)),
        ("DEVELOPMENT_SERVER", Severity.ADVICE, predicting(FINE, log=lines(FLASK))),
        (
            "DEVELOPMENT_SERVER",
            Severity.ADVICE,
            predicting(FINE, log=lines(("INFO:     Started reloader process [1] using StatReload",))),
        ),
        (
            "DEVELOPMENT_SERVER",
            Severity.ADVICE,
            predicting(FINE, health=(asked(HEALTH_ROUTE, 200, headers=(("server", "Werkzeug/3.1.9 Python/3.11.7"),)),)),
        ),
    ],
)
def test_what_will_fail_in_operation_is_told(code: str, severity: Severity, evidence: Evidence) -> None:
    assert [(one.code, one.severity) for one in diagnose(evidence).findings] == [(code, severity)]


@pytest.mark.parametrize(
    "evidence",
    [
        predicting(FINE, large(200, '{"predictions": [1]}')),
        # A large body that the model dislikes says nothing of the server's limit.
        predicting(FINE, large(500, "ValueError: X has 9 features")),
        predicting(FINE, large(None, error="no answer within 60 s")),
        predicting(FINE, health_under_load=(asked(HEALTH_ROUTE, 200, latency_s=0.4),)),
        predicting(FINE, prediction(200, '{"predictions": [1, 2]}', purpose=Purpose.REPEAT, latency_s=0.1)),
        predicting(FINE, prediction(200, '{"predictions": [1, 2]}', purpose=Purpose.DRAINING), stopping=ENDED),
    ],
)
def test_a_server_that_does_well_is_told_nothing(evidence: Evidence) -> None:
    assert codes(evidence) == set()


def test_a_shell_as_first_process_is_named_as_what_ignores_signals() -> None:
    evidence = predicting(FINE, stopping=KILLED, facts=facts(("0.0.0.0", 8080), command="/bin/sh -c python_main.py"))
    found = diagnose(evidence).findings[0]
    assert found.cause == "A shell is its first process, which passes no signals on."
    assert "exec form" in found.remedy.text
