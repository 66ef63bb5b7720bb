"""The load stages against real servers: limits for bodies, and health routes that predictions starve."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from flask import Response, jsonify, request

from modelport.check.load import LARGE_BYTES, UnderLoad, folded, padded, predict_concurrently, predict_large
from modelport.check.samples import Origin, Sample
from modelport.doctor.evidence import Exchange, Prediction, Purpose
from modelport.doctor.exchange import http_client
from tests.check.servers import SPEC, now, serving

pytestmark = pytest.mark.anyio

SAMPLE = Sample([[1.0, 2.0]], {}, Origin.GIVEN)


def echo() -> Response:
    return jsonify(predictions=request.get_json()["instances"])


async def large(server: Callable[[], Any]) -> Prediction:
    with serving(server) as model:
        async with http_client() as client:
            return await predict_large(client, model.address.base_url, SPEC, SAMPLE, now=now, timeout_s=10)


async def busy(
    server: Callable[[], Any], *, threaded: bool = True, lasts_s: float = 0.4, probe_timeout_s: float = 5
) -> UnderLoad:
    with serving(server, threaded=threaded) as model:
        async with http_client() as client:
            return await predict_concurrently(
                client,
                model.address.base_url,
                SPEC,
                SAMPLE,
                now=now,
                timeout_s=10,
                probe_timeout_s=probe_timeout_s,
                lasts_s=lasts_s,
            )


def test_padding_changes_the_size_and_nothing_else() -> None:
    body = padded(SAMPLE.body)
    assert len(body) == LARGE_BYTES < 1_572_864
    assert json.loads(body) == json.loads(SAMPLE.body)
    assert padded(SAMPLE.body, 3) == SAMPLE.body


async def test_a_large_body_asks_for_no_more_predictions_than_before() -> None:
    prediction = await large(echo)
    assert (prediction.purpose, prediction.instances, prediction.exchange.status) == (Purpose.LARGE, 1, 200)
    assert prediction.exchange.sent_bytes == LARGE_BYTES
    assert prediction.complete_body == '{"predictions":[[1.0,2.0]]}\n'


async def test_a_limit_for_bodies_shows() -> None:
    def limited() -> Any:
        return echo() if int(request.headers["Content-Length"]) < 100_000 else Response(status=413)

    assert (await large(limited)).exchange.status == 413


async def test_a_server_with_threads_stays_healthy_while_it_predicts() -> None:
    load = await busy(echo)
    assert [one.exchange.status for one in load.predictions] == [200]
    assert 8 <= load.predictions[0].exchange.times <= 200
    assert [one.status for one in load.health] == [200]
    assert load.health[0].times >= 2


async def test_a_server_without_threads_keeps_its_health_route_waiting() -> None:
    def slow() -> Response:
        time.sleep(0.6)
        return echo()

    began = time.monotonic()
    load = await busy(slow, threaded=False, lasts_s=0.1, probe_timeout_s=0.3)
    assert "no answer within 0.3 s" in {one.error for one in load.health}
    assert time.monotonic() - began < 4, "eight of them one after the other are not waited for"


async def test_predictions_under_way_are_waited_for() -> None:
    def slow() -> Response:
        time.sleep(0.8)
        return echo()

    load = await busy(slow, lasts_s=0.5)
    assert [(one.exchange.status, one.exchange.times) for one in load.predictions] == [(200, 8)]
    assert load.predictions[0].exchange.latency_s >= 0.8


async def test_outcomes_of_all_predictions_are_told() -> None:
    turn = iter(range(1000))

    def every_other() -> Any:
        return echo() if next(turn) % 2 else Response(status=503)

    load = await busy(every_other, lasts_s=0.2)
    assert {one.exchange.status for one in load.predictions} == {200, 503}
    assert {one.purpose for one in load.predictions} == {Purpose.CONCURRENT}


def test_of_equal_neighbours_the_slowest_is_shown() -> None:
    def answer(status: int, latency_s: float) -> Exchange:
        return Exchange(now(), "http://h/health", status, "", latency_s)

    seen = folded([answer(200, 0.1), answer(200, 0.9), answer(200, 0.2), answer(503, 0.1), answer(200, 0.3)])
    assert [(one.status, one.times, one.latency_s) for one in seen] == [(200, 3, 0.9), (503, 1, 0.1), (200, 1, 0.3)]
