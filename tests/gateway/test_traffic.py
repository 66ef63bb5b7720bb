"""Predictions through a real HAProxy to real servers: routes, splits, limits, and the errors that it makes itself."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio
import httpx
import pytest

from modelport.core.errors import Code
from modelport.core.routes import Limits, RouteTable
from modelport.gateway.config import GatewayConfig
from modelport.gateway.haproxy import HAProxyGateway
from tests.conformance.gateway import MODEL, route, running, server, split
from tests.gateway.upstreams import Upstream, upstream
from tests.ports import free_port

PREDICT = f"/v1/{MODEL}:predict"


def on_version(name: str) -> str:
    return f"/v1/{MODEL}/versions/{name}:predict"


@asynccontextmanager
async def serving(config: GatewayConfig, table: RouteTable | None) -> AsyncIterator[httpx.AsyncClient]:
    gateway = HAProxyGateway(config)
    async with running(gateway):
        if table is not None:
            await gateway.publish(table)
        async with httpx.AsyncClient(base_url=f"http://{config.listen}", timeout=20) as client:
            yield client


def table_of(one: Upstream, **limits: Any) -> RouteTable:
    return RouteTable((route("v", one.server, limits=Limits(**limits)),), (split(v=100),))


def require_error(response: httpx.Response, http_status: int, reason: str) -> dict[str, Any]:
    """Check the envelope, the reason, and that the HTTP status is what the code has (502 apart, which names none)."""
    assert response.headers["content-type"].startswith("application/json")
    error: dict[str, Any] = response.json()["error"]
    assert (response.status_code, error["code"], error["details"][0]["reason"]) == (http_status, http_status, reason)
    assert error["details"][0]["@type"] == "type.googleapis.com/google.rpc.ErrorInfo"
    assert error["message"]
    assert "%" not in error["message"]
    if http_status not in (405, 408, 502):
        assert Code[error["status"]].http_status == http_status
    return error


@pytest.mark.anyio
async def test_predictions_reach_the_version_at_its_own_path(config: GatewayConfig) -> None:
    async with upstream("a") as a, upstream("b") as b:
        table = RouteTable(
            (route("v1", a.server, path="/v1/models/m:predict"), route("v2", b.server, path="/x%20y")), (split(v1=100),)
        )
        async with serving(config, table) as client:
            for path, name, arrived in (
                (PREDICT, "a", "/v1/models/m:predict"),
                (f"{PREDICT}?alt=json", "a", "/v1/models/m:predict?alt=json"),
                (
                    f"{PREDICT}?%24alt=json%3Benum-encoding%3Dint",
                    "a",
                    "/v1/models/m:predict?%24alt=json%3Benum-encoding%3Dint",
                ),
                (on_version("v1"), "a", "/v1/models/m:predict"),
                (on_version("v2"), "b", "/x%20y"),
                (on_version("v2").replace(":", "%3A"), "b", "/x%20y"),
                (on_version("v2").replace("/versions/", "%2Fversions%2f"), "b", "/x%20y"),
            ):
                response = await client.post(path, content=b"{}")
                assert response.status_code == 200, path
                assert response.json() == {"replica": name, "path": arrived, "received": 2}
            assert response.headers["x-modelport-version"] == f"{MODEL}/versions/v2"


@pytest.mark.anyio
async def test_a_split_is_kept_at_random(config: GatewayConfig) -> None:
    async with upstream("a") as a, upstream("b") as b:
        table = RouteTable((route("v1", a.server), route("v2", b.server)), (split(v1=90, v2=10),))
        async with serving(config, table) as client:
            seen = Counter([(await client.post(PREDICT, content=b"{}")).json()["replica"] for _ in range(300)])
    # Five standard deviations on either side of 30.
    assert 4 < seen["b"] < 56, seen


@pytest.mark.anyio
async def test_what_is_no_known_prediction_goes_to_the_control_plane(config: GatewayConfig) -> None:
    async def answer(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            path = (await stream.receive()).split(b" ")[1]
            await stream.send(b"HTTP/1.1 404 Not Found\r\ncontent-length: %d\r\n\r\n%s" % (len(path), path))

    async with upstream("a") as a, serving(config, table_of(a)) as client, anyio.create_task_group() as tasks:
        listener = await anyio.create_unix_listener(config.api_socket)
        tasks.start_soon(listener.serve, answer)
        for path in (
            "/",
            f"/v1/{MODEL}",
            f"/v1/{MODEL}/versions",
            "/v1/projects/p/models/other:predict",
            on_version("v2"),
            f"{PREDICT}/",
            f"/v1//{MODEL}:predict",
            f"/v1/{MODEL}%2F..%2Fm:predict",
            f"/v1/{MODEL}%253Apredict",
            "/ready",
        ):
            response = await client.request("POST", "/", extensions={"target": path.encode()}, content=b"{}")
            assert (response.status_code, response.text) == (404, path)
        assert a.requests == []
        tasks.cancel_scope.cancel()


@pytest.mark.anyio
async def test_a_null_byte_cannot_cut_a_path_short(config: GatewayConfig) -> None:
    async with upstream("a") as a, serving(config, table_of(a)) as client:
        require_error(await client.post(f"{PREDICT}%00/versions/other"), 400, "MALFORMED_REQUEST")
        assert a.requests == []


@pytest.mark.anyio
async def test_only_post_predicts(config: GatewayConfig) -> None:
    async with upstream("a") as a, serving(config, table_of(a)) as client:
        response = await client.get(PREDICT)
        require_error(response, 405, "METHOD_NOT_ALLOWED")
        assert response.headers["allow"] == "POST"


@pytest.mark.anyio
async def test_before_the_first_table_predictions_are_told_to_come_again(config: GatewayConfig) -> None:
    async with serving(config, None) as client:
        response = await client.post(PREDICT)
        require_error(response, 503, "GATEWAY_STARTING")
        assert response.headers["retry-after"] == "1"
        require_error(await client.get("/v1/projects/p/models"), 503, "CONTROL_PLANE_DOWN")


@pytest.mark.anyio
async def test_with_a_table_and_no_control_plane_the_api_says_so(config: GatewayConfig) -> None:
    async with serving(config, RouteTable()) as client:
        require_error(await client.get("/v1/projects/p/models"), 503, "CONTROL_PLANE_DOWN")
        require_error(await client.post(PREDICT), 503, "CONTROL_PLANE_DOWN")


@pytest.mark.anyio
async def test_a_version_without_replicas_is_unavailable(config: GatewayConfig) -> None:
    async with serving(config, RouteTable((route("v"),), (split(v=100),))) as client:
        error = require_error(await client.post(PREDICT), 503, "NO_HEALTHY_REPLICA")
        assert error["message"] == f"Version `{MODEL}/versions/v` has no healthy replica."


@pytest.mark.anyio
@pytest.mark.parametrize("status", [400, 404, 429, 500, 502, 503, 504])
async def test_the_containers_own_errors_pass_untouched(config: GatewayConfig, status: int) -> None:
    async with upstream("a") as a, serving(config, table_of(a)) as client:
        response = await client.post(PREDICT, json={"status": status})
        assert response.status_code == status
        assert response.json()["replica"] == "a"


@pytest.mark.anyio
async def test_a_full_queue_is_refused_at_once(config: GatewayConfig) -> None:
    async with upstream("a") as a, serving(config, table_of(a, concurrency=2, queue=3)) as client:
        responses: list[httpx.Response] = []

        async def predict() -> None:
            responses.append(await client.post(PREDICT, json={"sleep": 0.5}))

        async with anyio.create_task_group() as tasks:
            for _ in range(9):
                tasks.start_soon(predict)
        assert Counter(response.status_code for response in responses) == {200: 5, 429: 4}
        assert [response.status_code for response in responses[:4]] == [429] * 4
        require_error(responses[0], 429, "QUEUE_FULL")
        assert responses[0].headers["retry-after"] == "1"
        assert a.most_under_way == 2


@pytest.mark.anyio
async def test_without_a_queue_a_free_replica_still_answers(config: GatewayConfig) -> None:
    async with upstream("a") as a, serving(config, table_of(a, concurrency=1, queue=0)) as client:
        for _ in range(3):
            assert (await client.post(PREDICT, content=b"{}")).status_code == 200


@pytest.mark.anyio
@pytest.mark.slow
async def test_waiting_too_long_in_the_queue_is_named(config: GatewayConfig) -> None:
    async with upstream("a") as a:
        quick = replace(config, queue_timeout_s=0.1)
        async with serving(quick, table_of(a, concurrency=1)) as client, anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: client.post(PREDICT, json={"sleep": 10}))
            while not a.under_way:
                await anyio.sleep(0.01)
            error = require_error(await client.post(PREDICT, content=b"{}"), 503, "QUEUE_TIMEOUT")
            assert "busy for too long" in error["message"]
            tasks.cancel_scope.cancel()


@pytest.mark.anyio
async def test_a_silent_replica_is_a_timeout(config: GatewayConfig) -> None:
    async with upstream("a") as a, serving(config, table_of(a, timeout_s=0.2)) as client:
        error = require_error(await client.post(PREDICT, json={"sleep": 5}), 504, "REPLICA_TIMEOUT")
        assert "sent nothing for 200 ms" in error["message"]


@pytest.mark.anyio
async def test_a_slow_stream_is_no_timeout(config: GatewayConfig) -> None:
    async with upstream("a") as a, serving(config, table_of(a, timeout_s=0.3)) as client:
        response = await client.post(PREDICT, json={"stream": 5, "pause": 0.15})
        assert response.text == "00 01 02 03 04 "


@pytest.mark.anyio
@pytest.mark.parametrize("sent", ["", "garbage\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-le"])
async def test_an_answer_that_is_none_is_a_bad_response(config: GatewayConfig, sent: str) -> None:
    async with upstream("a") as a, serving(config, table_of(a)) as client:
        require_error(await client.post(PREDICT, json={"send": sent}), 502, "REPLICA_BAD_RESPONSE")
        # What was received is not sent a second time.
        assert len(a.requests) == 1


@pytest.mark.anyio
async def test_a_declared_body_over_the_limit_is_refused(config: GatewayConfig) -> None:
    async with upstream("a") as a, serving(config, table_of(a, request_bytes=1000)) as client:
        assert (await client.post(PREDICT, content=b"x" * 1000)).json()["received"] == 1000
        error = require_error(await client.post(PREDICT, content=b"x" * 1001), 400, "PAYLOAD_TOO_LARGE")
        assert error["message"] == "Request payload size exceeds the limit: 1000 bytes."
        assert len(a.requests) == 1


@pytest.mark.anyio
async def test_a_declared_response_over_the_limit_is_refused(config: GatewayConfig) -> None:
    async with upstream("a") as a, serving(config, table_of(a, response_bytes=1000)) as client:
        assert len((await client.post(PREDICT, json={"bytes": 1000})).content) == 1000
        error = require_error(await client.post(PREDICT, json={"bytes": 1001}), 400, "RESPONSE_TOO_LARGE")
        assert f"{MODEL}/versions/v" in error["message"]


@pytest.mark.anyio
async def test_large_bodies_pass_both_ways(config: GatewayConfig) -> None:
    size = 10 * 1024 * 1024
    async with upstream("a") as a, serving(config, table_of(a)) as client:
        body = json.dumps({"bytes": size}).encode()
        response = await client.post(PREDICT, content=body + b" " * (size - len(body)))
        assert json.loads(response.content)["received"] == size
        assert len(response.content) == size


@pytest.mark.anyio
async def test_chunked_uploads_pass(config: GatewayConfig) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b"x" * 1000
            await anyio.sleep(0.01)

    async with upstream("a") as a, serving(config, table_of(a)) as client:
        assert (await client.post(PREDICT, content=pieces())).json()["received"] == 5000


@pytest.mark.anyio
async def test_streams_arrive_piece_by_piece(config: GatewayConfig) -> None:
    async with (
        upstream("a") as a,
        serving(config, table_of(a)) as client,
        client.stream("POST", PREDICT, json={"stream": 3, "pause": 0.3}) as response,
    ):
        start = anyio.current_time()
        async for piece in response.aiter_raw():
            assert piece == b"00 "
            break
        assert anyio.current_time() - start < 0.2


@pytest.mark.anyio
async def test_a_refused_connection_is_tried_on_the_other_replica(config: GatewayConfig) -> None:
    async with upstream("a") as a, upstream("b") as b:
        table = RouteTable((route("v", a.server, b.server),), (split(v=100),))
        async with serving(config, table) as client:
            await a.kill()
            seen = [(await client.post(PREDICT, content=b"{}")).json()["replica"] for _ in range(20)]
            assert seen == ["b"] * 20


@pytest.mark.anyio
@pytest.mark.slow
async def test_a_dead_replica_alone_is_named(config: GatewayConfig) -> None:
    table = RouteTable((route("v", server("gone", free_port())),), (split(v=100),))
    async with serving(config, table) as client:
        reasons = {(await client.post(PREDICT)).json()["error"]["details"][0]["reason"] for _ in range(3)}
        assert reasons <= {"REPLICA_FAILED", "NO_HEALTHY_REPLICA"}
        require_error(await client.post(PREDICT), 503, "NO_HEALTHY_REPLICA")
