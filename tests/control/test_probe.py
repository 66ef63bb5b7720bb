"""The prober against real sockets: what it calls refused, listening, healthy, and when it says so."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import anyio
import pytest
from anyio.abc import SocketStream

from modelport.control.health import Health, ProbeRules
from modelport.control.probe import Prober, ProbeTarget
from modelport.core.replicas import Address

pytestmark = pytest.mark.anyio
RULES = ProbeRules(period_s=0.1, timeout_s=0.5, failures=2, start_period_s=0.02)


class Server:
    """A socket that answers what the test says: a status, a moment of silence, or nothing but an open door."""

    status = 200
    silence_s = 0.0

    async def handle(self, stream: SocketStream) -> None:
        async with stream:
            await stream.receive()
            await anyio.sleep(self.silence_s)
            await stream.send(f"HTTP/1.1 {self.status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())


@asynccontextmanager
async def watched(server: Server, *, listen: bool = True) -> AsyncIterator[tuple[Prober, list[str]]]:
    changes: list[str] = []
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    if not listen:
        await listener.aclose()
    prober = Prober(RULES, now=lambda: datetime.now(UTC), changed=changes.append)
    async with anyio.create_task_group() as tasks:
        if listen:
            tasks.start_soon(listener.serve, server.handle)
        async with prober:
            prober.watch("owner", [ProbeTarget("r", 1, Address("127.0.0.1", port), "/health")])
            yield prober, changes
        tasks.cancel_scope.cancel()
    if listen:
        await listener.aclose()


async def until(prober: Prober, check) -> Health:
    with anyio.fail_after(20):
        while (health := prober.health("r")) is None or not check(health):
            await anyio.sleep(0.005)
    return health


async def test_an_answer_of_200_is_healthy() -> None:
    async with watched(Server()) as (prober, changes):
        health = await until(prober, lambda h: h.healthy)
    assert health.listening
    assert "owner" in changes


async def test_a_redirect_is_not_followed_and_not_healthy() -> None:
    server = Server()
    server.status = 302
    async with watched(server) as (prober, _):
        health = await until(prober, lambda h: h.transcript)
    assert not health.healthy
    assert health.transcript[-1].status == 302


async def test_a_closed_port_is_refused() -> None:
    async with watched(Server(), listen=False) as (prober, _):
        health = await until(prober, lambda h: h.transcript)
    assert not health.listening
    assert health.transcript[-1].error == "connection refused"


async def test_listening_is_known_before_the_answer() -> None:
    server = Server()
    server.silence_s = 0.4
    async with watched(server) as (prober, changes):
        health = await until(prober, lambda h: h.listening)
        assert not health.transcript
        assert changes == ["owner"]
        await until(prober, lambda h: h.healthy)


async def test_a_door_that_shuts_at_once_is_not_listening() -> None:
    class Proxy(Server):
        async def handle(self, stream: SocketStream) -> None:
            await stream.aclose()

    async with watched(Proxy()) as (prober, _):
        health = await until(prober, lambda h: h.transcript and h.transcript[-1].times > 3)
    assert not health.listening
    assert health.transcript[-1].error == "connection closed without an answer"


async def test_what_is_not_http_listens_all_the_same() -> None:
    class Http2(Server):
        async def handle(self, stream: SocketStream) -> None:
            async with stream:
                await stream.receive()
                await stream.send(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00")  # a SETTINGS frame, as gRPC servers send

    async with watched(Http2()) as (prober, _):
        health = await until(prober, lambda h: h.transcript)
    assert health.listening
    assert health.transcript[-1].error == "an answer that is not HTTP"


async def test_silence_is_a_failed_check_and_no_lost_liveness() -> None:
    server = Server()
    server.silence_s = 60
    async with watched(server) as (prober, _):
        health = await until(prober, lambda h: h.transcript)
    assert health.transcript[-1].error == "no answer within 0.5 s"
    assert health.listening


async def test_a_replica_turns_unhealthy_and_back() -> None:
    server = Server()
    async with watched(server) as (prober, _):
        await until(prober, lambda h: h.healthy)
        server.status = 500
        await until(prober, lambda h: not h.healthy)
        server.status = 200
        await until(prober, lambda h: h.healthy)


async def test_what_is_no_longer_watched_is_forgotten() -> None:
    async with watched(Server()) as (prober, _):
        await until(prober, lambda h: h.healthy)
        prober.watch("owner", [])
        assert prober.health("r") is None


async def test_a_trusted_replica_is_healthy_before_its_first_probe() -> None:
    prober = Prober(RULES, now=lambda: datetime.now(UTC))
    prober.trust("r", 3)
    health = prober.health("r")
    assert health is not None
    assert health.healthy
    assert health.attempt == 3
