"""What requests and routes live through: publications, the death of HAProxy, and of whoever drives it."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import anyio
import httpx
import pytest

from modelport.core.errors import FailedPrecondition, GatewayUnavailable
from modelport.core.replicas import Address
from modelport.core.routes import Limits, RouteTable, Server
from modelport.gateway.config import GatewayConfig
from modelport.gateway.haproxy import HAProxyGateway
from modelport.gateway.tables import canonical
from tests.conformance.gateway import MODEL, TABLE, route, running, server, split
from tests.gateway.conftest import pids_below
from tests.gateway.upstreams import upstream
from tests.ports import free_port

PREDICT = f"/v1/{MODEL}:predict"


@asynccontextmanager
async def client_of(config: GatewayConfig) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://{config.listen}", timeout=20) as client:
        yield client


def the_pid(config: GatewayConfig) -> int:
    (pid,) = pids_below(config.directory)
    return pid


async def until_gone(gateway: HAProxyGateway, *names: str, within_s: float = 20) -> None:
    with anyio.fail_after(within_s):
        while set(names) & set(await gateway.in_flight()):
            await anyio.sleep(0.05)


@pytest.mark.anyio
@pytest.mark.slow
async def test_a_stream_outlives_ten_publications_and_its_own_route(config: GatewayConfig) -> None:
    gateway = HAProxyGateway(config)
    async with upstream("a") as a, upstream("b") as b, running(gateway), client_of(config) as client:
        old = route("v1", a.server)
        new = route("v2", b.server)
        await gateway.publish(RouteTable((old,), (split(v1=100),)))
        async with client.stream("POST", PREDICT, json={"stream": 30, "pause": 0.1}) as response:
            changes = [RouteTable((old, new), (split(v1=share, v2=100 - share),)) for share in (90, 50, 10, 1)]
            changes += [RouteTable((old, replace(new, predict_path="/other")), (split(v2=100),))]
            changes += [RouteTable((old, replace(new, limits=Limits(concurrency=3))), (split(v2=100),))]
            changes += [RouteTable((replace(old, servers=()), new), (split(v2=100),))]
            changes += [RouteTable((new,), (split(v2=100),)), RouteTable((new,)), RouteTable((new,), (split(v2=100),))]
            for table in changes:
                await gateway.publish(table)
                await anyio.sleep(0.15)
            # Out of every route, but not forgotten while it still has a request.
            assert (await gateway.in_flight())["a"] == 1
            assert (await client.post(PREDICT, content=b"{}")).json()["replica"] == "b"
            await response.aread()
            assert response.text == "".join(f"{number:02d} " for number in range(30))
        await until_gone(gateway, "a")
        assert await gateway.adopted() == canonical(changes[-1])


@pytest.mark.anyio
async def test_queued_requests_of_a_removed_version_are_answered(config: GatewayConfig) -> None:
    gateway = HAProxyGateway(config)
    async with upstream("a") as a, running(gateway), client_of(config) as client:
        await gateway.publish(RouteTable((route("v", a.server, limits=Limits(concurrency=1)),)))
        statuses: list[int] = []

        async def predict() -> None:
            response = await client.post(f"/v1/{MODEL}/versions/v:predict", json={"sleep": 0.2})
            statuses.append(response.status_code)

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(predict)
            while not a.under_way:
                await anyio.sleep(0.01)
            await anyio.sleep(0.1)
            await gateway.publish(RouteTable())
        assert statuses == [200] * 5
        await until_gone(gateway, "a")


@pytest.mark.anyio
async def test_no_request_fails_while_everything_changes(config: GatewayConfig) -> None:
    gateway = HAProxyGateway(config)
    async with (
        upstream("a") as a,
        upstream("b") as b,
        upstream("c") as c,
        running(gateway),
        client_of(config) as client,
    ):
        tables = [
            RouteTable((route("v1", a.server), route("v2", b.server)), (split(v1=100),)),
            RouteTable((route("v1", a.server), route("v2", b.server)), (split(v1=50, v2=50),)),
            RouteTable((route("v2", b.server, c.server),), (split(v2=100),)),
            RouteTable((route("v2", c.server), route("v3", a.server)), (split(v2=99, v3=1),)),
            RouteTable((route("v3", a.server), route("v1", b.server)), (split(v3=100),)),
        ]
        await gateway.publish(tables[0])
        answers: list[int] = []
        done = False

        async def predict() -> None:
            while not done:
                answers.append((await client.post(PREDICT, content=b"{}")).status_code)

        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(predict)
            for number in range(15):
                await gateway.publish(tables[number % len(tables)])
                await anyio.sleep(0.03)
            done = True
        assert set(answers) == {200}
        assert len(answers) > 50


@pytest.mark.anyio
async def test_a_replica_may_move_to_another_address(config: GatewayConfig) -> None:
    gateway = HAProxyGateway(config)
    async with upstream("a") as a, upstream("b") as b, running(gateway), client_of(config) as client:
        await gateway.publish(
            RouteTable((route("v", Server("r", Address("127.0.0.1", free_port()))),), (split(v=100),))
        )
        # Long enough for the checks to find it dead.
        while (await client.post(PREDICT, content=b"{}")).json()["error"]["details"][0][
            "reason"
        ] != "NO_HEALTHY_REPLICA":
            pass
        for replica in (a, b, a):
            await gateway.publish(RouteTable((route("v", replace(replica.server, name="r")),), (split(v=100),)))
            for _ in range(3):
                assert (await client.post(PREDICT, content=b"{}")).json()["replica"] == replica.name


@pytest.mark.anyio
async def test_a_replica_that_left_may_come_back(config: GatewayConfig) -> None:
    gateway = HAProxyGateway(config)
    async with upstream("a") as a, running(gateway), client_of(config) as client:
        there = RouteTable((route("v", a.server),), (split(v=100),))
        for _ in range(3):
            await gateway.publish(there)
            assert (await client.post(PREDICT, content=b"{}")).status_code == 200
            await gateway.publish(replace(there, routes=(route("v"),)))
            assert (await client.post(PREDICT, content=b"{}")).status_code == 503


@pytest.mark.anyio
async def test_freed_slots_are_used_again(config: GatewayConfig) -> None:
    gateway = HAProxyGateway(config)
    async with running(gateway):
        for turn in range(5):
            table = RouteTable(tuple(route(f"v{turn}_{n}", server(f"r{turn}-{n}")) for n in range(config.slots // 2)))
            await gateway.publish(table)
            assert await gateway.adopted() == canonical(table)


@pytest.mark.anyio
async def test_a_killed_haproxy_is_back_with_its_table(config: GatewayConfig) -> None:
    gateway = HAProxyGateway(config)
    async with upstream("a") as a, running(gateway), client_of(config) as client:
        table = RouteTable((route("v", a.server),), (split(v=100),))
        await gateway.publish(table)
        for _ in range(2):
            pid = the_pid(config)
            os.kill(pid, signal.SIGKILL)
            with anyio.fail_after(20):
                while True:
                    try:
                        if (await client.post(PREDICT, content=b"{}")).status_code == 200:
                            break
                    except httpx.TransportError:
                        await anyio.sleep(0.02)
            assert the_pid(config) != pid
            assert await gateway.adopted() == canonical(table)


@pytest.mark.anyio
async def test_an_adopted_haproxy_is_watched_too(config: GatewayConfig) -> None:
    first = HAProxyGateway(config)
    async with running(first):
        await first.publish(TABLE)
    pid = the_pid(config)
    second = HAProxyGateway(config)
    async with running(second):
        assert the_pid(config) == pid
        assert await second.adopted() == canonical(TABLE)
        assert second.status().digest == canonical(TABLE).digest
        os.kill(pid, signal.SIGKILL)
        with anyio.fail_after(20):
            while pid in (pids := pids_below(config.directory)) or not pids or not second.status().running:
                await anyio.sleep(0.02)
        assert await second.adopted() == canonical(TABLE)


@pytest.mark.anyio
async def test_predictions_go_on_without_the_control_plane(config: GatewayConfig) -> None:
    async with upstream("a") as a, client_of(config) as client:
        first = HAProxyGateway(config)
        async with running(first):
            await first.publish(RouteTable((route("v", a.server),), (split(v=100),)))
        assert (await client.post(PREDICT, content=b"{}")).status_code == 200
        # What was half done when the first one died is finished by the second.
        second = HAProxyGateway(config)
        async with running(second):
            await second.publish(RouteTable())
            await until_gone(second, "a")


@pytest.mark.anyio
@pytest.mark.parametrize("change", ["queue_timeout_s", "listen"])
async def test_another_configuration_takes_over_with_the_same_table(config: GatewayConfig, change: str) -> None:
    async with upstream("a") as a:
        first = HAProxyGateway(config)
        async with running(first):
            await first.publish(RouteTable((route("v", a.server),), (split(v=100),)))
        pid = the_pid(config)
        other = replace(config, queue_timeout_s=20.0)
        if change == "listen":
            other = replace(config, listen=f"127.0.0.1:{free_port()}")
        async with (
            client_of(config) as client,
            client.stream("POST", PREDICT, json={"stream": 10, "pause": 0.1}) as old,
            running(HAProxyGateway(other)),
            client_of(other) as new_client,
        ):
            assert (await new_client.post(PREDICT, content=b"{}")).status_code == 200
            await old.aread()
        assert old.text.count(" ") == 10
        with anyio.fail_after(20):
            while pid in pids_below(config.directory):
                await anyio.sleep(0.02)


@pytest.mark.anyio
async def test_a_port_in_use_is_refused_with_a_hint(config: GatewayConfig) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(config.address)
        taken.listen()
        with pytest.RaisesGroup(pytest.RaisesExc(FailedPrecondition, match="EADDRINUSE"), allow_unwrapped=True):
            async with running(HAProxyGateway(config)):
                pass
    assert pids_below(config.directory) == []


@pytest.mark.anyio
async def test_a_missing_binary_is_named(config: GatewayConfig) -> None:
    gateway = HAProxyGateway(replace(config, binary="no-such-haproxy"))
    with pytest.RaisesGroup(pytest.RaisesExc(FailedPrecondition, match="no-such-haproxy"), allow_unwrapped=True):
        async with running(gateway):
            pass


@pytest.mark.anyio
async def test_a_stopped_haproxy_is_unavailable_not_a_hang(config: GatewayConfig) -> None:
    gateway = HAProxyGateway(config)
    async with running(gateway):
        await gateway.publish(TABLE)
        pid = the_pid(config)
        os.kill(pid, signal.SIGSTOP)
        try:
            gateway._admin._timeout_s = 0.3
            with pytest.raises(GatewayUnavailable):
                await gateway.publish(RouteTable())
            with pytest.raises(GatewayUnavailable):
                await gateway.in_flight()
        finally:
            os.kill(pid, signal.SIGCONT)
        await gateway.publish(RouteTable())
        assert await gateway.adopted() == RouteTable()
