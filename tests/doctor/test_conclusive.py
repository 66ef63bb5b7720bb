from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from modelport.core.replicas import Exit
from modelport.doctor.conclusive import Patience, conclusive, early_warning
from modelport.doctor.evidence import Evidence, Exchange, Phase, Usage
from modelport.doctor.exchange import CLOSED
from tests.doctor.living import (
    FLASK,
    GUNICORN,
    HEALTH_ROUTE,
    NODE,
    NOW,
    UVICORN,
    asked,
    closed,
    facts,
    lines,
    predicting,
    prediction,
    unhealthy,
)

PATIENCE = Patience()
TAKES_POST = (("allow", "POST"),)
NOT_FOUND = '{"detail":"Not Found"}'


def settled(evidence: Evidence, *, ran_s: float, quiet_s: float) -> Evidence:
    """Return the evidence as it is so long after the start, the last thing having happened so long ago."""
    log = tuple(replace(line, time=NOW - timedelta(seconds=quiet_s)) for line in evidence.log)
    return replace(evidence, running_s=ran_s, elapsed_s=ran_s, quiet_s=quiet_s, log=log)


def polled(answer: Exchange, said: tuple[str, ...] = UVICORN, **changes: Any) -> Evidence:
    """Return a server whose access log grows with every health check."""
    evidence = unhealthy(answer, said, **changes)
    access = f'INFO:     10.88.0.1:5000 - "GET {HEALTH_ROUTE} HTTP/1.1" {answer.status} Not Found'
    return replace(evidence, log=(*evidence.log, *lines((access,) * 20, ago_s=0.1)))


@pytest.mark.parametrize(
    ("phase", "ran_s", "quiet_s", "evidence"),
    [
        (Phase.START, 0.2, 0, closed(("ModuleNotFoundError: No module named 'flask'",), exits=(Exit(1),))),
        (Phase.LISTEN, 5, 3.5, closed((), ("127.0.0.1", 8080))),
        (Phase.LISTEN, 8, 6.5, closed(FLASK, ("127.0.0.1", 5000))),
        (Phase.LISTEN, 8, 6.5, closed(UVICORN, ("0.0.0.0", 8000))),
        (Phase.LISTEN, 8, 6.5, closed(GUNICORN, ("127.0.0.1", 8000))),
        (Phase.LISTEN, 8, 6.5, closed(NODE, ("::", 3000))),
        (
            Phase.LISTEN,
            5,
            3.5,
            closed(
                ("ready",),
                ("0.0.0.0", 9000),
                sweep=(asked("/predict", 405, port=9000, method="OPTIONS", headers=TAKES_POST),),
            ),
        ),
        (Phase.LISTEN, 8, 6.5, closed(("INFO:     Uvicorn running on unix socket /run/u.sock (Press CTRL+C)",))),
        (Phase.LISTEN, 5, 3.5, closed((), ("::", 8080))),
        (Phase.LISTEN, 4, 3.5, closed((), facts=facts(command="tail -f /dev/null"))),
        (Phase.LISTEN, 41, 0, closed(("loading",))),
        (Phase.HEALTH, 6, 3.5, unhealthy(asked(HEALTH_ROUTE, 404, times=30), sweep=(asked("/health", 200),))),
        (Phase.HEALTH, 9, 6.5, unhealthy(asked(HEALTH_ROUTE, 404, body=NOT_FOUND, times=30))),
        (Phase.HEALTH, 5, 0, unhealthy(asked(HEALTH_ROUTE, 401, times=30))),
        (Phase.HEALTH, 5, 0, unhealthy(asked(HEALTH_ROUTE, 308, times=30))),
        (Phase.HEALTH, 5, 0, unhealthy(asked(HEALTH_ROUTE, 400, times=30))),
        (Phase.HEALTH, 9, 6.5, unhealthy(asked(HEALTH_ROUTE, 500, times=30))),
        (
            Phase.HEALTH,
            15,
            3.5,
            unhealthy(
                asked(HEALTH_ROUTE, None, error="no answer within 10 s", latency_s=10.0),
                sweep=(asked("/predict", 405, method="OPTIONS", headers=TAKES_POST),),
            ),
        ),
        (
            Phase.HEALTH,
            6,
            3.5,
            unhealthy(
                asked(HEALTH_ROUTE, None, error=CLOSED, times=30),
                ("INFO:     Uvicorn running on https://0.0.0.0:8080 (Press CTRL+C to quit)",),
            ),
        ),
        (
            Phase.HEALTH,
            9,
            6.5,
            unhealthy(
                asked(HEALTH_ROUTE, 503, times=30),
                (
                    "Traceback (most recent call last):",
                    '  File "/app/m.py", line 3, in load_model',
                    "EOFError: Ran out",
                ),
            ),
        ),
    ],
)
def test_what_cannot_get_better_is_concluded(phase: Phase, ran_s: float, quiet_s: float, evidence: Evidence) -> None:
    assert conclusive(settled(evidence, ran_s=ran_s, quiet_s=quiet_s), PATIENCE) is phase


@pytest.mark.parametrize(
    "evidence",
    [
        # A port for metrics or administration, opened long before the one that matters; nothing happens meanwhile.
        closed((), ("0.0.0.0", 9090)),
        closed(("metrics on :9090",), ("0.0.0.0", 9090)),
        closed(("Metrics listening on port 9090",), ("0.0.0.0", 9090)),
        closed(("admin server listening on port 8081", "Loading model"), ("127.0.0.1", 8081)),
        closed((), ("0.0.0.0", 8000), sweep=(asked("/health", 200, port=8000, body="# HELP python_info x"),)),
        closed((), ("0.0.0.0", 9090), sweep=(asked("/health", 200, port=9090, body="ok"),)),
        closed((*FLASK, "Loading the model, this takes a while"), ("0.0.0.0", 5000)),
        # A program that says nothing and has no socket yet.
        closed(()),
        closed(("Loading model weights",)),
        closed(
            (
                "Traceback (most recent call last):",
                '  File "/app/m.py", line 3, in warm',
                "TimeoutError: no cache, going on",
            )
        ),
        closed((), facts=facts(processes=("sh /entrypoint.sh", "sleep 20"))),
        closed((), facts=None),
        # Health routes that say otherwise while the model is loaded.
        unhealthy(asked(HEALTH_ROUTE, 503, body="loading", times=30)),
        unhealthy(asked(HEALTH_ROUTE, 502, body="<h1>502 Bad Gateway</h1>", times=30)),
        unhealthy(asked(HEALTH_ROUTE, 500, body='{"error": "model is not loaded yet"}', times=30)),
        unhealthy(asked(HEALTH_ROUTE, 404, body="", times=30), ()),
        unhealthy(asked(HEALTH_ROUTE, 404, body=NOT_FOUND, times=30), (*UVICORN, "Loading model, routes follow")),
        unhealthy(
            asked(HEALTH_ROUTE, 404, body='{ "error": "Servable not found for request: Latest(m)" }', times=30),
            ("2026-11-21 11:59:41.1: I tensorflow_serving/model_servers/server_core.cc:467] Adding models",),
        ),
        unhealthy(asked(HEALTH_ROUTE, 404, body="", times=30), (), sweep=(asked("/", 200), asked("/livez", 200))),
        # gunicorn listens first, and lets callers wait until its workers have loaded.
        unhealthy(asked(HEALTH_ROUTE, None, error="no answer within 10 s", latency_s=10.0), GUNICORN),
        # The last answer is old: the check that followed it waits for workers that load.
        unhealthy(asked(HEALTH_ROUTE, None, error=CLOSED, times=2), GUNICORN),
        unhealthy(asked(HEALTH_ROUTE, 401, times=3)),
        # All is well.
        predicting(prediction(200, '{"predictions": [1, 2]}')),
    ],
)
@pytest.mark.parametrize("ran_s", [2.0, 9.0, 31.0, 38.0])
def test_a_slow_starter_is_never_given_up(evidence: Evidence, ran_s: float) -> None:
    assert conclusive(settled(evidence, ran_s=ran_s, quiet_s=ran_s - 1), PATIENCE) is None


@pytest.mark.parametrize(
    "evidence",
    [
        closed((), ("127.0.0.1", 8080)),
        closed(FLASK, ("127.0.0.1", 5000)),
        unhealthy(asked(HEALTH_ROUTE, 404, body=NOT_FOUND)),
        unhealthy(asked(HEALTH_ROUTE, 500)),
    ],
)
def test_what_has_just_happened_is_given_time(evidence: Evidence) -> None:
    assert conclusive(settled(evidence, ran_s=2.5, quiet_s=0.5), PATIENCE) is None


def test_log_lines_about_our_own_health_checks_are_no_sign_of_life() -> None:
    evidence = polled(asked(HEALTH_ROUTE, 404, body=NOT_FOUND, times=30), quiet_s=0)
    assert conclusive(evidence, PATIENCE) is Phase.HEALTH


def test_a_program_that_works_is_waited_for() -> None:
    usage = (Usage(17, 10.0, 1), Usage(20, 12.9, 1))
    evidence = polled(asked(HEALTH_ROUTE, 404, body=NOT_FOUND, times=30), quiet_s=0, usage=usage)
    assert conclusive(evidence, PATIENCE) is None


def test_a_traceback_with_every_health_check_is_no_sign_of_life() -> None:
    once = ("Traceback (most recent call last):", '  File "/app/m.py", line 9, in health', "KeyError: 'db'")
    evidence = unhealthy(asked(HEALTH_ROUTE, 500, times=30), (*once, *once, *once), quiet_s=0)
    evidence = replace(evidence, log=tuple(replace(line, time=NOW) for line in evidence.log))
    assert conclusive(evidence, PATIENCE) is Phase.HEALTH


def test_more_patience_waits_longer() -> None:
    evidence = settled(closed(FLASK, ("127.0.0.1", 5000)), ran_s=20, quiet_s=18)
    assert conclusive(evidence, PATIENCE) is Phase.LISTEN
    assert conclusive(evidence, Patience(settled_s=15)) is None


@pytest.mark.parametrize(
    ("words", "evidence"),
    [
        ("listens on 127.0.0.1:5000; expected 0.0.0.0:8080", closed(FLASK, ("127.0.0.1", 5000))),
        ("listens on [::]:3000; expected 0.0.0.0:8080", closed(NODE, ("::", 3000))),
        ("listens on no port yet; expected 0.0.0.0:8080", closed((), running_s=10)),
        ("", closed((), running_s=9)),
        (f"GET {HEALTH_ROUTE} → 404", unhealthy(asked(HEALTH_ROUTE, 404))),
        (
            f"GET {HEALTH_ROUTE} → no answer within 10 s",
            unhealthy(asked(HEALTH_ROUTE, None, error="no answer within 10 s")),
        ),
        ("exited with code 1", closed((), exits=(Exit(1),))),
        (
            "killed for memory, started again",
            closed((), exits=(Exit(None, 9, oom_killed=True),), facts=replace(facts(), attempt=2)),
        ),
        ("", closed((), facts=None)),
        ("", closed((), running_s=0.3)),
        ("", predicting(prediction(500))),
    ],
)
def test_what_is_not_well_so_far_is_told_on_one_line(words: str, evidence: Evidence) -> None:
    assert early_warning(evidence) == words
