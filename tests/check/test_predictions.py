"""Predictions asked of real servers: what is tried, what is learned from errors, and where it ends."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import numpy
import pytest
from flask import Response, jsonify, request
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from modelport.check.predictions import Predicted, predict
from modelport.check.samples import Origin
from modelport.doctor.evidence import Exchange, Purpose
from modelport.doctor.exchange import http_client
from tests.check.servers import SPEC, now, serving

pytestmark = pytest.mark.anyio

FOUR = [[0.0, 0.0, 0.0, 0.0]]
FOREST = RandomForestClassifier(n_estimators=1, random_state=0).fit(numpy.eye(4), [0, 1, 2, 3])
WORDS = make_pipeline(CountVectorizer(), LogisticRegression()).fit(["good film", "bad film"], [1, 0])


async def ask(
    server: Callable[[], Any],
    *,
    instances: list[Any] | None = None,
    openapi: Exchange | None = None,
    timeout_s: float = 5,
    threaded: bool = True,
) -> Predicted:
    with serving(server, threaded=threaded) as model:
        async with http_client() as client:
            return await predict(
                client,
                model.address.base_url,
                SPEC,
                instances=instances,
                openapi=openapi,
                now=now,
                timeout_s=timeout_s,
                new_log=model.new_log,
            )


def shown(predicted: Predicted) -> list[tuple[Purpose, str]]:
    return [(one.purpose, one.exchange.outcome) for one in predicted.predictions]


def instances() -> Any:
    return request.get_json()["instances"]


def forest() -> Response:
    return jsonify(predictions=FOREST.predict(instances()).tolist())


def unwrapping_nothing() -> Response:
    return jsonify(predictions=FOREST.predict(request.get_json()).tolist())


def swallowing_errors() -> Response:
    try:
        return forest()
    except ValueError as error:
        return jsonify(error=str(error))


def words() -> Response:
    return jsonify(predictions=WORDS.predict(instances()).tolist())


def named_fields() -> Response:
    return jsonify(predictions=[row["age"] + row["height"] for row in instances()])


def fields_at_the_top() -> Response:
    return jsonify(predictions=FOREST.predict([request.get_json()["features"]]).tolist())


def needs_parameters() -> Response:
    body = request.get_json()
    return jsonify(predictions=FOREST.predict(body["instances"]).tolist(), threshold=body["parameters"])


async def test_a_server_that_works_is_asked_for_two_rows_twice_again_and_with_parameters() -> None:
    predicted = await ask(forest, instances=FOUR)
    assert [(one.purpose, one.instances, one.exchange.status) for one in predicted.predictions] == [
        (Purpose.SAMPLE, 1, 200),
        (Purpose.SAMPLE, 2, 200),
        (Purpose.REPEAT, 1, 200),
        (Purpose.REPEAT, 1, 200),
        (Purpose.WITH_PARAMETERS, 1, 200),
    ]
    assert predicted.working == predicted.tried
    assert predicted.predictions[0].complete_body == '{"predictions":[3]}\n'
    assert predicted.predictions[-1].exchange.sent == '{"instances": [[0.0, 0.0, 0.0, 0.0]], "parameters": {}}'


@pytest.mark.parametrize(
    ("server", "found"),
    [
        (forest, FOUR),
        (swallowing_errors, FOUR),
        (words, ["text"]),
        (named_fields, [{"age": 0.0, "height": 0.0}]),
    ],
)
async def test_a_guess_is_corrected_by_what_the_server_says(server: Callable[[], Any], found: list[Any]) -> None:
    predicted = await ask(server)
    assert predicted.tried.origin is Origin.GUESS
    assert predicted.working is not None
    assert (predicted.working.instances, predicted.working.origin) == (found, Origin.LEARNED)
    assert {one.purpose for one in predicted.predictions} == {Purpose.SAFE, Purpose.REPEAT, Purpose.WITH_PARAMETERS}


async def test_a_bare_list_that_is_answered_proves_the_missing_unwrap() -> None:
    predicted = await ask(unwrapping_nothing)
    assert shown(predicted) == [(Purpose.SAFE, "500"), (Purpose.BARE, "500"), (Purpose.BARE, "200")]
    assert predicted.predictions[-1].exchange.sent == "[[0.0, 0.0, 0.0, 0.0]]"
    assert predicted.working is None


async def test_given_instances_are_sent_bare_as_they_are() -> None:
    predicted = await ask(unwrapping_nothing, instances=FOUR)
    assert shown(predicted) == [(Purpose.SAMPLE, "500"), (Purpose.BARE, "200")]


async def test_fields_at_the_top_are_proved_by_one_instance_alone() -> None:
    predicted = await ask(fields_at_the_top)
    assert predicted.predictions[-1].purpose is Purpose.BARE
    assert predicted.predictions[-1].exchange.status == 200
    assert predicted.predictions[-1].exchange.sent == '{"features": [0.0, 0.0, 0.0, 0.0]}'


async def test_given_instances_that_fail_are_never_changed() -> None:
    predicted = await ask(forest, instances=[[1.0]])
    assert shown(predicted) == [(Purpose.SAMPLE, "500"), (Purpose.BARE, "500")]
    assert {one.exchange.sent for one in predicted.predictions} == {'{"instances": [[1.0]]}', "[[1.0]]"}


async def test_missing_parameters_are_tried_and_shown_to_be_what_is_missing() -> None:
    predicted = await ask(needs_parameters, instances=FOUR)
    assert shown(predicted)[:2] == [(Purpose.SAMPLE, "500"), (Purpose.WITH_PARAMETERS, "200")]
    assert predicted.working is not None
    assert predicted.working.with_parameters
    assert shown(predicted)[-1] == (Purpose.NO_PARAMETERS, "500")


async def test_a_guess_and_missing_parameters_are_both_learned() -> None:
    predicted = await ask(needs_parameters)
    assert predicted.working is not None
    assert (predicted.working.instances, predicted.working.with_parameters) == (FOUR, True)


@pytest.mark.parametrize("status", [401, 404, 405, 413, 415])
async def test_a_refusal_of_the_request_itself_ends_the_stage(status: int) -> None:
    predicted = await ask(lambda: Response(status=status))
    assert shown(predicted) == [(Purpose.SAFE, str(status))]


async def test_an_answer_without_predictions_to_a_bare_list_proves_nothing() -> None:
    def list_ignored() -> Response:
        return jsonify(predictions=[]) if isinstance(request.get_json(), list) else fields_at_the_top()

    predicted = await ask(list_ignored)
    bare = [(one.exchange.sent, one.complete_body) for one in predicted.predictions if one.purpose is Purpose.BARE]
    assert bare[0] == ('[{"features": 0.0}]', '{"predictions":[]}\n')
    assert bare[-1] == ('{"features": [0.0, 0.0, 0.0, 0.0]}', '{"predictions":[3]}\n')


async def test_a_late_first_prediction_is_asked_again() -> None:
    loaded = threading.Event()

    def loading_at_first() -> Response:
        if not loaded.is_set():
            loaded.set()
            time.sleep(0.6)
        return forest()

    predicted = await ask(loading_at_first, instances=FOUR, timeout_s=0.5)
    assert shown(predicted)[:2] == [(Purpose.SAMPLE, "no answer within 0.5 s"), (Purpose.REPEAT, "200")]
    assert predicted.working is not None


async def test_two_late_predictions_end_the_stage() -> None:
    def slow() -> Response:
        time.sleep(0.5)
        return forest()

    predicted = await ask(slow, timeout_s=0.2)
    assert shown(predicted) == [(Purpose.SAFE, "no answer within 0.2 s"), (Purpose.REPEAT, "no answer within 0.2 s")]


async def test_slow_predictions_are_not_repeated_for_long() -> None:
    def slow() -> Response:
        time.sleep(0.3)
        return forest()

    predicted = await ask(slow, instances=FOUR, timeout_s=0.4)
    assert shown(predicted)[0] == (Purpose.SAMPLE, "200")
    assert predicted.working is not None
    assert len(predicted.predictions) <= 3


async def test_a_server_that_always_wants_something_else_is_left_alone_in_the_end() -> None:
    asked = iter(range(2, 1000))

    def insatiable() -> tuple[str, int]:
        return f"expected {next(asked)} features", 400

    predicted = await ask(insatiable)
    assert 5 < len(predicted.predictions) <= 14
    assert predicted.working is None


async def test_the_example_of_an_openapi_document_is_sent_and_not_doubted() -> None:
    schema = {"schema": {}, "example": {"instances": [[1.0, 2.0, 3.0, 4.0]]}}
    document = {"paths": {"/predict": {"post": {"requestBody": {"content": {"application/json": schema}}}}}}
    seen = Exchange(now(), "http://x/openapi.json", 200, "", 0.0, body=json.dumps(document))
    predicted = await ask(forest, openapi=seen)
    assert predicted.tried.origin is Origin.EXAMPLE
    assert shown(predicted)[0] == (Purpose.SAMPLE, "200")


async def test_many_given_instances_are_cut_to_what_a_request_may_have() -> None:
    predicted = await ask(lambda: jsonify(predictions=[0] * len(instances())), instances=["x" * 10_000] * 400)
    first = predicted.predictions[0]
    assert first.exchange.sent_bytes <= 1_500_000
    assert first.instances == 100


async def test_a_large_answer_is_not_taken_for_complete() -> None:
    predicted = await ask(lambda: jsonify(predictions=["x" * 70_000]))
    assert predicted.predictions[0].complete_body is None
    assert predicted.predictions[0].exchange.status == 200


async def test_what_was_logged_before_teaches_nothing() -> None:
    with serving(lambda: Response(status=500)) as model:
        model.log.write("ValueError: X has 1 features, but Forest is expecting 9 features as input.\n")
        async with http_client() as client:
            predicted = await predict(
                client,
                model.address.base_url,
                SPEC,
                instances=None,
                openapi=None,
                now=now,
                timeout_s=5,
                new_log=model.new_log,
            )
    assert shown(predicted) == [(Purpose.SAFE, "500"), (Purpose.BARE, "500")]


async def test_a_connection_closed_by_an_exception_is_a_failure_to_learn_from() -> None:
    said: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            said.append("KeyError: 'age'\n")
            self.close_connection = True

        def log_message(self, *arguments: object) -> None:
            pass

    async def new_log() -> str:
        new, said[:] = "".join(said), []
        return new

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        async with http_client() as client:
            url = f"http://127.0.0.1:{server.server_port}"
            predicted = await predict(
                client, url, SPEC, instances=None, openapi=None, now=now, timeout_s=5, new_log=new_log
            )
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert [one.exchange.sent for one in predicted.predictions][:2] == [
        '{"instances": [[0.0]]}',
        '{"instances": [{"age": 0.0}]}',
    ]


async def test_a_server_that_is_gone_is_asked_once() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    async def no_log() -> str:
        return ""

    async with http_client() as client:
        predicted = await predict(
            client,
            f"http://127.0.0.1:{port}",
            replace(SPEC, port=port),
            instances=None,
            openapi=None,
            now=now,
            timeout_s=5,
            new_log=no_log,
        )
    assert shown(predicted) == [(Purpose.SAFE, "connection refused")]
