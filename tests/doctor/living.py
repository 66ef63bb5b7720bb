"""Evidence of containers that run, as the tests of their rules need it: a healthy one, and what differs from it."""

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from modelport.core.facts import ListeningSocket, ProcessFacts, ReplicaFacts
from modelport.core.replicas import LogLine
from modelport.doctor.diagnose import diagnose
from modelport.doctor.evidence import Evidence, Exchange, Phase, Prediction, Purpose, SpecFacts
from modelport.doctor.findings import Finding

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
HERE = "http://10.88.0.7:8080"
HEALTH_ROUTE = "/v1/models/m/versions/v"
PREDICT_ROUTE = "/v1/models/m/versions/v:predict"
SPEC = SpecFacts(image="localhost/churn", health_route=HEALTH_ROUTE, predict_route=PREDICT_ROUTE)

FLASK = (
    " * Serving Flask app 'main'",
    " * Debug mode: off",
    "\x1b[31m\x1b[1mWARNING: This is a development server. Do not use it in a production deployment."
    " Use a production WSGI server instead.\x1b[0m",
    " * Running on http://127.0.0.1:5000",
    "\x1b[33mPress CTRL+C to quit\x1b[0m",
)
UVICORN = (
    "INFO:     Started server process [1]",
    "INFO:     Waiting for application startup.",
    "INFO:     Application startup complete.",
    "INFO:     Uvicorn running on http://127.0.0.1:8000 (Press CTRL+C to quit)",
)
GUNICORN = (
    "[2026-11-21 11:59:40 +0000] [1] [INFO] Starting gunicorn 27.0.1",
    "[2026-11-21 11:59:40 +0000] [1] [INFO] Listening at: http://127.0.0.1:8000 (1)",
    "[2026-11-21 11:59:40 +0000] [1] [INFO] Using worker: sync",
    "[2026-11-21 11:59:40 +0000] [7] [INFO] Booting worker with pid: 7",
)
NODE = ("Listening on port 3000",)
REFUSED = "connection refused"


def lines(texts: Iterable[str], *, ago_s: float = 18.0) -> tuple[LogLine, ...]:
    """Return log lines that were all written so long ago."""
    return tuple(LogLine(NOW - timedelta(seconds=ago_s), "stderr", text) for text in texts)


def asked(
    path: str,
    status: int | None,
    *,
    port: int = 8080,
    method: str = "GET",
    body: str = "",
    error: str = "",
    times: int = 1,
    latency_s: float = 0.002,
    headers: tuple[tuple[str, str], ...] = (),
    ago_s: float = 10.0,
) -> Exchange:
    """Return an exchange with the container's own address."""
    return Exchange(
        NOW - timedelta(seconds=ago_s),
        f"http://10.88.0.7:{port}{path}",
        status,
        error,
        latency_s,
        times=times,
        method=method,
        body=body,
        size_bytes=len(body.encode()) if status else None,
        headers=headers,
    )


def facts(
    *sockets: tuple[str, int], command: str = "python main.py", processes: tuple[str, ...] | None = None
) -> ReplicaFacts:
    """Return facts with these listening sockets, seen just now."""
    return ReplicaFacts(
        NOW,
        command=tuple(command.split()),
        sockets=tuple(ListeningSocket(host, port, 1, "python") for host, port in sockets),
        processes=tuple(
            ProcessFacts(pid, tuple(one.split())) for pid, one in enumerate(processes or (command,), start=1)
        ),
    )


def closed(said: Iterable[str], /, *sockets: tuple[str, int], **changes: Any) -> Evidence:
    """Return a container that ran for 20 s, quietly, and could not be reached."""
    evidence = Evidence(
        version="projects/p/models/m/versions/v",
        phase=Phase.LISTEN,
        driver="docker",
        now=NOW,
        elapsed_s=20,
        running_s=20,
        quiet_s=18,
        spec=SPEC,
        log=lines(said),
        facts=facts(*sockets),
        health=(asked(HEALTH_ROUTE, None, error=REFUSED, times=12),),
    )
    return replace(evidence, **changes)


def unhealthy(answer: Exchange, said: Iterable[str] = UVICORN, /, **changes: Any) -> Evidence:
    """Return a container that listens where it should, and answers its health checks like this."""
    evidence = closed(said, ("0.0.0.0", 8080), phase=Phase.HEALTH, listening_s=1.0, health=(answer,))
    return replace(evidence, **changes)


def predicting(*predictions: Prediction, said: Iterable[str] = (), **changes: Any) -> Evidence:
    """Return a healthy container that was asked for these predictions; its log was written along with them."""
    before = lines(UVICORN)
    evidence = closed(
        (),
        ("0.0.0.0", 8080),
        phase=Phase.PREDICT,
        listening_s=1.0,
        healthy_s=1.2,
        health=(asked(HEALTH_ROUTE, 200, body="ok", times=3),),
        predictions=predictions,
        log=(*before, *lines(said, ago_s=4.9)),
    )
    return replace(evidence, **changes)


def prediction(
    status: int | None,
    body: str = "",
    *,
    purpose: Purpose = Purpose.SAMPLE,
    instances: list[Any] | None = None,
    path: str = PREDICT_ROUTE,
    **exchange: Any,
) -> Prediction:
    """Return a prediction of two instances that was sent five seconds ago."""
    rows = [[1.0, 2.0], [3.0, 4.0]] if instances is None else instances
    sent = json.dumps(rows if purpose is Purpose.BARE else {"instances": rows})
    answer = asked(path, status, method="POST", body=body, ago_s=5.0, **exchange)
    answer = replace(answer, sent=sent, sent_bytes=len(sent))
    return Prediction(purpose, len(rows), answer, body if status else None)


def cause(evidence: Evidence) -> Finding | None:
    """Return what the doctor takes for the cause."""
    return diagnose(evidence).cause


def cause_code(evidence: Evidence) -> str:
    """Return the code of the cause, or nothing."""
    found = cause(evidence)
    return found.code if found else ""


def codes(evidence: Evidence) -> set[str]:
    """Return all codes that were found."""
    return {one.code for one in diagnose(evidence).findings}
