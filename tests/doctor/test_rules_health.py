from dataclasses import replace

import pytest

from modelport.core.replicas import Exit
from modelport.doctor.evidence import Evidence, Exchange
from modelport.doctor.exchange import CLOSED
from tests.doctor.living import (
    FLASK,
    GUNICORN,
    HEALTH_ROUTE,
    SPEC,
    UVICORN,
    asked,
    cause,
    cause_code,
    closed,
    predicting,
    prediction,
    unhealthy,
)

NOT_FOUND = asked(HEALTH_ROUTE, 404, body='{"detail":"Not Found"}', times=40)
TRACEBACK = (
    "ERROR:    Exception in ASGI application",
    "Traceback (most recent call last):",
    '  File "/app/main.py", line 9, in health',
    "    return store.ping()",
    "AttributeError: module 'store' has no attribute 'ping'",
)
HTTP_SERVER_FAILS = (
    "----------------------------------------",
    "Exception occurred during processing of request from ('10.88.0.1', 51022)",
    "Traceback (most recent call last):",
    '  File "/app/main.py", line 5, in do_GET',
    "    self.routes[self.path]()",
    "KeyError: '/v1/models/m/versions/v'",
    "----------------------------------------",
)
CUT = asked(HEALTH_ROUTE, None, error=CLOSED, times=30)


@pytest.mark.parametrize(
    ("code", "answer", "log"),
    [
        ("HEALTH_ROUTE_NOT_FOUND", NOT_FOUND, UVICORN),
        ("HEALTH_ROUTE_NOT_FOUND", asked(HEALTH_ROUTE, 404, body="<h1>Not Found</h1>"), FLASK),
        ("HEALTH_ROUTE_NOT_FOUND", asked(HEALTH_ROUTE, 405, headers=(("allow", "POST"),)), UVICORN),
        ("HEALTH_ROUTE_NOT_FOUND", asked(HEALTH_ROUTE, 501, body="Message: Unsupported method ('GET')."), ()),
        ("HEALTH_UNAUTHORIZED", asked(HEALTH_ROUTE, 401, headers=(("www-authenticate", "Bearer"),)), UVICORN),
        ("HEALTH_UNAUTHORIZED", asked(HEALTH_ROUTE, 403, body='{"detail":"Not authenticated"}'), UVICORN),
        ("HEALTH_REDIRECTS", asked(HEALTH_ROUTE, 307, headers=(("location", "/login"),)), UVICORN),
        ("HEALTH_NOT_200", asked(HEALTH_ROUTE, 204), UVICORN),
        ("HEALTH_NOT_200", asked(HEALTH_ROUTE, 503, body="loading"), UVICORN),
        ("HEALTH_NOT_200", asked(HEALTH_ROUTE, 502, body="<center><h1>502 Bad Gateway</h1></center>"), ()),
        (
            "HEALTH_NOT_200",
            asked(HEALTH_ROUTE, 400, body="<h1>Bad Request (400)</h1>"),
            ("Invalid HTTP_HOST header: x",),
        ),
        ("HEALTH_NOT_200", asked(HEALTH_ROUTE, 500, body="Internal Server Error"), (*UVICORN, *TRACEBACK)),
        ("HEALTH_NOT_200", CUT, HTTP_SERVER_FAILS),
        ("HEALTH_TIMES_OUT", asked(HEALTH_ROUTE, None, error="no answer within 10 s", latency_s=10), GUNICORN),
        ("HEALTH_NOT_HTTP", CUT, ("INFO:     Uvicorn running on https://0.0.0.0:8080 (Press CTRL+C to quit)",)),
        ("HEALTH_NOT_HTTP", CUT, ("gRPC server listening on 8080",)),
        ("HEALTH_NOT_HTTP", CUT, ()),
        (
            "HEALTH_NOT_HTTP",
            asked(HEALTH_ROUTE, 400, body="Client sent an HTTP request to an HTTPS server.\n"),
            ("listening on :8080",),
        ),
    ],
)
def test_a_health_route_that_does_not_say_200_has_its_cause_named(
    code: str, answer: Exchange, log: tuple[str, ...]
) -> None:
    assert cause_code(unhealthy(answer, log)) == code


@pytest.mark.parametrize(
    "evidence",
    [
        predicting(prediction(200, '{"predictions": [1, 2]}')),
        # It was healthy once; what it answers while it loads is no matter any more.
        predicting(prediction(200, '{"predictions": [1, 2]}'), health=(NOT_FOUND, asked(HEALTH_ROUTE, 200))),
        # It ended.
        unhealthy(NOT_FOUND, exits=(Exit(3),)),
        # Nobody is there at all.
        closed((), health=()),
    ],
)
def test_a_health_route_is_not_blamed_for_what_is_not_certain(evidence: Evidence) -> None:
    assert not cause_code(evidence).startswith("HEALTH_")


def test_the_route_that_answers_is_named_and_set_along_with_that_of_predictions() -> None:
    sweep = (
        asked("/docs", 200, body="<html>"),
        asked("/", 200, body="hello"),
        asked("/healthz", 200, body="ok"),
        asked("/predict", 405, method="OPTIONS", headers=(("allow", "POST"),)),
    )
    found = cause(unhealthy(NOT_FOUND, sweep=sweep))
    assert found is not None
    assert found.remedy.text == 'Set routes.health to "/healthz" and routes.predict to "/predict"'
    assert found.remedy.patch == (("add", "/routes/health", "/healthz"), ("add", "/routes/predict", "/predict"))
    assert found.evidence == (
        f"probe: GET http://10.88.0.7:8080{HEALTH_ROUTE} → 404 (40 times)",
        "probe: GET http://10.88.0.7:8080/healthz → 200",
    )


def test_a_health_route_of_another_port_is_not_taken_for_this_one() -> None:
    found = cause(unhealthy(NOT_FOUND, sweep=(asked("/health", 200, port=9090),)))
    assert found is not None
    assert found.remedy.patch == ()


def test_the_predict_route_of_the_openapi_document_is_taken() -> None:
    document = '{"openapi": "3.1.0", "paths": {"/health": {"get": {}}, "/score": {"post": {}}}}'
    sweep = (asked("/openapi.json", 200, body=document), asked("/health", 200))
    found = cause(unhealthy(NOT_FOUND, sweep=sweep))
    assert found is not None
    assert found.remedy.patch == (("add", "/routes/health", "/health"), ("add", "/routes/predict", "/score"))


def test_a_model_server_without_that_model_is_told_apart_from_a_missing_route() -> None:
    body = '{ "error": "Servable not found for request: Latest(m)" }'
    found = cause(unhealthy(asked(HEALTH_ROUTE, 404, body=body), ("tensorflow_serving/model_servers/server.cc:430]",)))
    assert found is not None
    assert "no model of that name" in found.cause


TRITON_HAS_IT_NOT = (
    asked("/v2/models/m", 404, body='{"error":"Request for unknown model: \'m\' is not found"}'),
    asked("/v2/models/m/ready", 400, body='{"error":"Model version not ready"}'),
)


@pytest.mark.parametrize("health", TRITON_HAS_IT_NOT, ids=str)
def test_a_model_that_triton_does_not_have_is_not_repaired_by_another_health_route(health: Exchange) -> None:
    spec = replace(SPEC, health_route=health.path, routes_given=True)
    found = cause(unhealthy(health, spec=spec, sweep=(asked("/v2/health/ready", 200),)))
    assert found is not None
    assert "no model of that name" in found.cause
    assert health.path in found.remedy.text
    assert found.remedy.patch == ()


def test_a_redirect_to_the_same_path_with_a_slash_is_repaired_by_the_spec() -> None:
    target = f"http://10.88.0.7:8080{HEALTH_ROUTE}/"
    found = cause(unhealthy(asked(HEALTH_ROUTE, 308, headers=(("location", target),))))
    assert found is not None
    assert found.remedy.patch == (("add", "/routes/health", f"{HEALTH_ROUTE}/"),)


def test_a_failing_health_route_is_explained_by_the_exception_of_the_log() -> None:
    found = cause(unhealthy(asked(HEALTH_ROUTE, 500, times=9), (*UVICORN, *TRACEBACK)))
    assert found is not None
    assert "AttributeError: module 'store' has no attribute 'ping'" in found.cause


def test_a_route_of_its_own_is_asked_for_in_the_words_of_the_framework() -> None:
    spec = replace(SPEC, health_route="/up", routes_given=True)
    found = cause(unhealthy(asked("/up", 404, body='{"detail":"Not Found"}'), spec=spec))
    assert found is not None
    assert '@app.get("/up")' in found.remedy.text
