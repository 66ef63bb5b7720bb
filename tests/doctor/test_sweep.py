"""The sweep against real servers of several makes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from typing import Any

import pytest
from fastapi import FastAPI
from flask import Flask
from pydantic import BaseModel
from werkzeug.serving import make_server

from modelport.core.replicas import Address, EnvVar
from modelport.doctor import openapi
from modelport.doctor.evidence import Exchange, SpecFacts
from modelport.doctor.exchange import http_client
from modelport.doctor.sweep import (
    ABSENT_ROUTE,
    REQUESTS,
    ask_openapi,
    openapi_exchange,
    predict_path,
    questions,
    sweep,
)
from tests.check.servers import uvicorn_serving

pytestmark = pytest.mark.anyio

SPEC = SpecFacts(health_route="/v1/models/m/versions/v", predict_route="/v1/models/m/versions/v:predict")
Wsgi = Callable[..., Any]


def now() -> datetime:
    return datetime.now(UTC)


@contextmanager
def running(server: Any) -> Iterator[Address]:
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield Address("127.0.0.1", server.server_port)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def flask(**routes: list[str]) -> Any:
    app = Flask("model")
    for name, methods in routes.items():
        app.add_url_rule(f"/{name}", view_func=lambda: "ok", endpoint=name, methods=methods)
    return make_server("127.0.0.1", 0, app, threaded=True)


async def swept(address: Address, *, spec: SpecFacts = SPEC, ports: tuple[int, ...] = ()) -> tuple[Exchange, ...]:
    async with http_client() as client:
        return await sweep(client, address, spec=spec, now=now, ports=ports)


def healthy(exchanges: tuple[Exchange, ...]) -> list[str]:
    return [one.path for one in exchanges if one.method == "GET" and one.status == 200]


async def test_the_routes_of_a_flask_server_are_found() -> None:
    with running(flask(healthz=["GET"], invocations=["POST"])) as address:
        found = await swept(address)
    assert healthy(found) == ["/healthz"]
    assert predict_path(found) == "/invocations"
    assert len(found) <= REQUESTS


async def test_a_trailing_slash_too_many_or_too_few_is_found() -> None:
    spec = SpecFacts(health_route="/health/", predict_route="/predict/")
    with running(flask(health=["GET"], predict=["POST"])) as address:
        found = await swept(address, spec=spec)
    assert "/health" in healthy(found)
    assert predict_path(found) == "/predict"


async def test_nothing_is_ever_posted() -> None:
    methods: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            methods.append(self.command)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_OPTIONS = do_POST = answer

        def log_message(self, *arguments: object) -> None:
            pass

    with running(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as address:
        found = await swept(address)
    assert set(methods) == {"GET", "OPTIONS"}
    assert predict_path(found) == "", "what a server answers to everything tells nothing"


class Row(BaseModel):
    age: int


class Request(BaseModel):
    instances: list[Row]


def fastapi() -> FastAPI:
    app = FastAPI(description="x" * 5000)
    app.get("/internal/readiness")(lambda: "ok")

    @app.post("/score")
    def score(request: Request) -> dict[str, Any]:
        return {}

    return app


async def test_what_an_openapi_document_tells_is_followed() -> None:
    async with uvicorn_serving(fastapi()) as address:
        found = await swept(address)
    assert healthy(found) == ["/openapi.json", "/internal/readiness"]
    assert predict_path(found) == "/score"


async def test_an_openapi_document_is_kept_abridged_and_whole() -> None:
    async with uvicorn_serving(fastapi()) as address, http_client() as client:
        answer = await ask_openapi(client, address, now=now)
    document = openapi.parsed(answer.body)
    assert document is not None
    assert openapi.routes(document, "post") == ("/score",)
    schema, _ = openapi.body_schema(document, "/score")
    assert list(schema["properties"]) == ["instances"]
    assert openapi_exchange((answer,)) is answer
    assert answer.size_bytes is not None
    assert answer.size_bytes > 5000 > len(answer.body)


async def test_other_ports_are_asked_too_and_closed_ones_once() -> None:
    with running(flask()) as address, running(flask(ping=["GET"])) as other:
        found = await swept(address, ports=(other.port, 1, address.port))
    assert {one.url for one in found if one.status == 200 and one.method == "GET"} == {f"{other.base_url}/ping"}
    assert [one.error for one in found if ":1/" in one.url] == ["connection refused"]
    assert len(found) <= REQUESTS


async def test_nobody_there_is_asked_once() -> None:
    found = await swept(Address("127.0.0.1", 1))
    assert [one.error for one in found] == ["connection refused"]


@pytest.mark.slow
async def test_a_server_that_hangs_is_not_asked_for_ever() -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(1.2)

        do_OPTIONS = do_GET

        def log_message(self, *arguments: object) -> None:
            pass

    with running(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as address:
        began = time.monotonic()
        found = await swept(address)
        took = time.monotonic() - began
    assert took < 10
    assert found
    assert {one.error for one in found} == {"no answer within 1 s"}


async def test_a_server_that_answers_one_at_a_time_is_not_overrun() -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(0.02)
            self.send_error(404)

        do_OPTIONS = do_GET

        def log_message(self, *arguments: object) -> None:
            pass

    with running(HTTPServer(("127.0.0.1", 0), Handler)) as address:
        found = await swept(address)
    assert {one.status for one in found} == {404}


def test_questions_are_bounded_and_begin_with_the_configured_health_route() -> None:
    for spec in (SPEC, SpecFacts(), SpecFacts(health_route="/", predict_route="/")):
        asked = questions(spec)
        assert len(asked) == len(set(asked)) <= REQUESTS
    assert questions(SPEC)[0] == ("GET", SPEC.health_route)


@pytest.mark.parametrize(
    ("spec", "route"),
    [
        (SPEC, "/v1/models/m"),
        (SpecFacts(env=(EnvVar("MODEL_NAME", "churn"),)), "/v1/models/churn"),
        (SpecFacts(), "/v1/models/model"),
    ],
)
def test_the_route_of_tensorflow_serving_is_asked_by_its_model(spec: SpecFacts, route: str) -> None:
    assert ("GET", route) in questions(spec)
    assert ("OPTIONS", f"{route}:predict") in questions(spec)


def options(path: str, status: int, allow: str = "") -> Exchange:
    headers = (("allow", allow),) if allow else ()
    return Exchange(now(), f"http://h:1{path}", status, "", 0.0, method="OPTIONS", headers=headers)


@pytest.mark.parametrize(
    ("exchanges", "path"),
    [
        ([options("/predict", 200, "POST, OPTIONS")], "/predict"),
        ([options("/predict", 405, "post")], "/predict"),
        ([options("/predict", 405)], "/predict"),
        ([options("/predict", 405, "GET")], ""),
        ([options("/predict", 200, "GET")], ""),
        ([options("/predict", 204)], ""),
        ([options("/predict", 501)], ""),
        ([options("/predict", 405), options(ABSENT_ROUTE, 405)], ""),
        ([options("/predict", 200, "GET,POST"), options(ABSENT_ROUTE, 200, "GET,POST")], ""),
        ([options("/predict", 404), options("/invocations", 200, "POST")], "/invocations"),
        ([], ""),
    ],
)
def test_the_predict_path_is_what_takes_post(exchanges: list[Exchange], path: str) -> None:
    assert predict_path(exchanges) == path


@pytest.mark.parametrize(
    ("paths", "path"),
    [
        (["/train", "/predict"], "/predict"),
        (["/train", "/api/v2/inference"], "/api/v2/inference"),
        (["/anything"], "/anything"),
        (["/train", "/explain"], ""),
        (["/items/{id}/predict"], ""),
    ],
)
def test_the_predict_path_is_read_from_an_openapi_document(paths: list[str], path: str) -> None:
    body = openapi.abridged({"paths": {one: {"post": {}} for one in paths}})
    told = Exchange(now(), "http://h:1/openapi.json", 200, "", 0.0, body=body)
    assert predict_path([told]) == path
