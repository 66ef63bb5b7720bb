"""The journal: what can be found out about a request that failed, and what a caller cannot write into it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import anyio
import anyio.to_thread
import httpx
import pytest

from modelport.core.routes import Limits, RouteTable
from modelport.gateway.base import RequestError
from modelport.gateway.config import GatewayConfig
from modelport.gateway.haproxy import HAProxyGateway
from modelport.gateway.journal import MAX_PATH, RING_BYTES, read_journal
from tests.conformance.gateway import MODEL, route, running, split, version
from tests.gateway.upstreams import Upstream, upstream

PREDICT = f"/v1/{MODEL}:predict"
LINE = (
    "modelport1 1795304109913 39d1b8ca REPLICA_FAILED 503 SC-- 0/20/-1/-1/1001 +1 <NOSRV>"
    " projects/p/models/m/versions/x POST /v1/projects/p/models/m/versions/x:predict"
)


def test_a_line_is_read() -> None:
    assert read_journal(f"{LINE}\n\n") == (
        RequestError(
            time=datetime.fromtimestamp(1795304109.913, UTC) - timedelta(seconds=1.001),
            request_id="39d1b8ca",
            http_status=503,
            reason="REPLICA_FAILED",
            version="projects/p/models/m/versions/x",
            method="POST",
            path="/v1/projects/p/models/m/versions/x:predict",
            retries=1,
            received_s=0,
            queued_s=0.02,
            total_s=1.001,
            ended_by="SC--",
        ),
    )


@pytest.mark.parametrize(
    "line",
    [
        "",
        "modelport1",
        LINE.removeprefix("modelport1"),
        LINE.replace("39d1b8ca", "-"),
        LINE.replace("1795304109913", "now"),
        LINE.replace("1795304109913", "9" * 30),
        LINE.replace("0/20/-1/-1/1001", "0/20/-1"),
        "Unknown command: show events",
        "modelport1 1 - - 400 PR-- -1/-1/-1/-1/0 0 <NOSRV> - <BADREQ> <BADREQ>",
    ],
)
def test_what_is_no_line_of_a_request_is_left_out(line: str) -> None:
    assert [one.request_id for one in read_journal(f"{line}\n{LINE}\n")] == ["39d1b8ca"]


def test_a_client_that_left_got_no_answer() -> None:
    (error,) = read_journal(LINE.replace("SC--", "CC--").replace("503", "400"))
    assert (error.http_status, error.reason) == (0, "")


async def raw(config: GatewayConfig, request: bytes) -> bytes:
    """Send bytes that no well-behaved client would."""

    def exchange() -> bytes:
        with socket.create_connection(config.address, timeout=10) as connection:
            connection.sendall(request)
            return connection.recv(16384)

    return await anyio.to_thread.run_sync(exchange)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("body", "http_status", "reason", "shows"),
    [
        ({"sleep": 5}, 504, "REPLICA_TIMEOUT", lambda error: error.total_s >= 0.2 and error.replica == "a"),
        ({"send": ""}, 502, "REPLICA_BAD_RESPONSE", lambda error: error.connected_s is not None),
        ({"bytes": 3000}, 400, "RESPONSE_TOO_LARGE", lambda error: error.replica == "a"),
        ({"instances": "x" * 2000}, 400, "PAYLOAD_TOO_LARGE", lambda error: error.queued_s is None),
        ({"status": 503}, 503, "", lambda error: error.replica == "a"),
    ],
)
async def test_header_body_and_journal_have_one_id(
    config: GatewayConfig, body: object, http_status: int, reason: str, shows: Callable[[RequestError], bool]
) -> None:
    gateway = HAProxyGateway(config)
    async with upstream("a") as a, running(gateway), httpx.AsyncClient(base_url=f"http://{config.listen}") as client:
        await gateway.publish(table_of(a))
        answer = await client.post(PREDICT, json=body)
        given = answer.headers["x-request-id"]
        (error,) = await gateway.recent_errors()
    assert answer.status_code == error.http_status == http_status
    assert (error.request_id, error.reason, error.version) == (given, reason, version("v"))
    assert shows(error), error
    if reason:
        (info,) = answer.json()["error"]["details"]
        assert info["metadata"] == {"requestId": given}


@pytest.mark.anyio
@pytest.mark.parametrize("status", [200, 400, 404, 429])
async def test_what_a_replica_answers_well_is_neither_marked_nor_remembered(config: GatewayConfig, status: int) -> None:
    gateway = HAProxyGateway(config)
    async with upstream("a") as a, running(gateway), httpx.AsyncClient(base_url=f"http://{config.listen}") as client:
        await gateway.publish(table_of(a))
        answer = await client.post(PREDICT, json={"status": status}, headers={"x-request-id": "mine"})
        assert "x-request-id" not in answer.headers
        assert await gateway.recent_errors() == ()


@pytest.mark.anyio
@pytest.mark.parametrize(("sent", "kept"), [("", "theirs"), ("mine", "mine")])
async def test_a_replicas_own_id_is_kept_where_the_client_sent_none(
    config: GatewayConfig, sent: str, kept: str
) -> None:
    gateway = HAProxyGateway(config)
    failure = "HTTP/1.1 500 Oops\r\nx-request-id: theirs\r\ncontent-length: 0\r\n\r\n"
    async with upstream("a") as a, running(gateway), httpx.AsyncClient(base_url=f"http://{config.listen}") as client:
        await gateway.publish(table_of(a))
        headers = {"x-request-id": sent} if sent else {}
        answer = await client.post(PREDICT, json={"send": failure}, headers=headers)
        assert answer.headers["x-request-id"] == kept
        assert [error.request_id for error in await gateway.recent_errors()] == [kept]


@pytest.mark.anyio
async def test_a_clients_own_id_is_kept_where_it_is_a_word(config: GatewayConfig) -> None:
    gateway = HAProxyGateway(config)
    async with running(gateway), httpx.AsyncClient(base_url=f"http://{config.listen}") as client:
        await gateway.publish(RouteTable((route("v"),), (split(v=100),)))
        for sent in ("0f8fad5b-d9cd-469f-a165-70867728950e", "a", "A.b_c-1", "x" * 64):
            assert (await client.post(PREDICT, headers={"x-request-id": sent})).headers["x-request-id"] == sent
        for sent in ("", "-", "a b", "a/b", 'a"b', "a|b", "%[src]", "x" * 65, "ä".encode()):
            given = (await client.post(PREDICT, headers={"x-request-id": sent})).headers["x-request-id"]
            assert len(given) == 36


@pytest.mark.anyio
@pytest.mark.parametrize(
    "target",
    [
        b'/v1/"x\\]%0a[]{}\\',
        b"/%20modelport1%201%20forged%20-%20500%20----%201/1/1/1/1%200%20a%20b%20GET%20/",
        b"/%0Amodelport1",
        b"/'`$(id)<svg>",
        b"/" + b"p" * 1400,
    ],
)
async def test_a_path_cannot_forge_anything(config: GatewayConfig, target: bytes) -> None:
    gateway = HAProxyGateway(config)
    async with running(gateway):
        await raw(config, b"POST " + target + b" HTTP/1.1\r\nhost: x\r\nx-request-id: mine\r\n\r\n")
        (error,) = await gateway.recent_errors()
    assert (error.request_id, error.http_status, error.reason) == ("mine", 503, "CONTROL_PLANE_DOWN")
    assert error.path.isprintable()
    assert " " not in error.path
    assert len(error.path) <= MAX_PATH


@pytest.mark.anyio
async def test_a_target_with_spaces_or_control_characters_is_no_request(config: GatewayConfig) -> None:
    gateway = HAProxyGateway(config)
    async with running(gateway):
        for target in (b"/a b modelport1", b"/\x01\x1b[0m", b"/\x7f"):
            assert b" 400 " in await raw(config, b"POST " + target + b" HTTP/1.1\r\nhost: x\r\n\r\n")
        assert await gateway.recent_errors() == ()


@pytest.mark.anyio
async def test_another_control_plane_finds_the_journal(config: GatewayConfig) -> None:
    first, second = HAProxyGateway(config), HAProxyGateway(config)
    async with httpx.AsyncClient(base_url=f"http://{config.listen}") as client:
        async with running(first):
            given = (await client.post(PREDICT)).headers["x-request-id"]
        async with running(second):
            assert [error.request_id for error in await second.recent_errors()] == [given]


@pytest.mark.anyio
@pytest.mark.slow
async def test_the_journal_forgets_the_oldest(config: GatewayConfig) -> None:
    gateway = HAProxyGateway(config)
    async with running(gateway), httpx.AsyncClient(base_url=f"http://{config.listen}") as client:
        for number in range(1500):
            await client.post(f"/{'x' * 900}:predict", headers={"x-request-id": f"r{number}"})
        ids = [error.request_id for error in await gateway.recent_errors()]
    assert ids == [f"r{number}" for number in range(1500 - len(ids), 1500)]
    assert 500 < len(ids) <= RING_BYTES // 900


def table_of(one: Upstream) -> RouteTable:
    limits = Limits(timeout_s=0.2, request_bytes=2000, response_bytes=2000)
    return RouteTable((route("v", one.server, limits=limits),), (split(v=100),))
