"""What every gateway must do; subclass `GatewayConformance` and give it a `gateway` fixture with eight slots."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import anyio
import pytest

from modelport.core.errors import GatewayRejected, GatewayUnavailable, SlotsExhausted
from modelport.core.replicas import Address
from modelport.core.routes import Limits, RouteTable, Server, Split, VersionRoute
from modelport.gateway.base import Gateway
from modelport.gateway.tables import canonical

SLOTS = 8
MODEL = "projects/p/models/m"
LIMITS = Limits()


def version(name: str, model: str = MODEL) -> str:
    return f"{model}/versions/{name}"


def route(name: str, *servers: Server, path: str = "/predict", limits: Limits = LIMITS) -> VersionRoute:
    return VersionRoute(version(name), path, servers, limits)


def server(name: str, port: int = 9, host: str = "127.0.0.1") -> Server:
    return Server(name, Address(host, port))


def split(**shares: int) -> Split:
    return Split(MODEL, tuple((version(name), share) for name, share in shares.items()))


@asynccontextmanager
async def running(gateway: Gateway) -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks:
        await tasks.start(lambda *, task_status: gateway.run(task_status=task_status))
        yield
        tasks.cancel_scope.cancel()


TABLE = RouteTable(
    routes=(
        route(
            "v1", server("r-b"), server("r-a", 10), path="/v1/models/m:predict", limits=Limits(2, 3, 4.5, 6.25, 7, 8)
        ),
        route("v2", server("r-c", 11, "::1"), path="/a%20path/with(brackets)/and|bars"),
        route("v3"),
    ),
    splits=(split(v1=1, v2=98, v3=1), Split("projects/q/models/n", ((version("v2"), 100),))),
)


class GatewayConformance:
    @pytest.mark.anyio
    async def test_publishing_before_the_start_is_unavailable(self, gateway: Gateway) -> None:
        assert not gateway.status().running
        assert gateway.status().message
        with pytest.raises(GatewayUnavailable):
            await gateway.publish(RouteTable())
        with pytest.raises(GatewayUnavailable):
            await gateway.recent_errors()

    @pytest.mark.anyio
    async def test_a_fresh_gateway_serves_an_empty_table(self, gateway: Gateway) -> None:
        async with running(gateway):
            assert gateway.status().running
            assert gateway.status().digest == ""
            assert await gateway.adopted() == RouteTable()
            assert await gateway.in_flight() == {}
            assert await gateway.recent_errors() == ()

    @pytest.mark.anyio
    async def test_a_published_table_is_read_back(self, gateway: Gateway) -> None:
        async with running(gateway):
            await gateway.publish(TABLE)
            assert await gateway.adopted() == canonical(TABLE)
            assert gateway.status().digest == TABLE.digest
            assert await gateway.in_flight() == {"r-a": 0, "r-b": 0, "r-c": 0}

    @pytest.mark.anyio
    @pytest.mark.parametrize(
        "changed",
        [
            RouteTable(),
            replace(TABLE, splits=()),
            replace(TABLE, splits=(split(v1=99, v2=1),)),
            replace(TABLE, splits=(split(v3=100),)),
            RouteTable((route("v2", server("r-c", 12)),), (split(v2=100),)),
            RouteTable((route("v1", server("r-a", 10), limits=Limits(5, 0, 1, 1, 1, 1)),)),
            RouteTable(
                tuple(route(f"w{number}", server(f"s{number}", number + 1)) for number in range(4)),
                (split(w0=25, w1=25, w2=25, w3=25),),
            ),
        ],
    )
    async def test_a_change_and_its_way_back_are_read_back(self, gateway: Gateway, changed: RouteTable) -> None:
        async with running(gateway):
            for table in (TABLE, changed, TABLE, TABLE):
                await gateway.publish(table)
                assert await gateway.adopted() == canonical(table)
                assert gateway.status().digest == table.digest

    @pytest.mark.anyio
    async def test_more_versions_than_slots_leave_the_old_table(self, gateway: Gateway) -> None:
        async with running(gateway):
            await gateway.publish(TABLE)
            with pytest.raises(SlotsExhausted):
                await gateway.publish(RouteTable(tuple(route(f"v{number}") for number in range(SLOTS + 1))))
            assert await gateway.adopted() == canonical(TABLE)
            assert gateway.status().digest == TABLE.digest

    @pytest.mark.anyio
    @pytest.mark.parametrize(
        "crafted",
        [
            RouteTable((VersionRoute("projects/p/models/m/versions/v\nshutdown sessions", "/", ()),)),
            RouteTable((VersionRoute("projects/p/models/m/versions/v;clear map routes.map", "/", ()),)),
            RouteTable((VersionRoute("projects/p/models/m/versions/v x", "/", ()),)),
            RouteTable((VersionRoute("projects/p/models/m/versions/../../x", "/", ()),)),
            RouteTable((VersionRoute("ready", "/", ()),)),
            RouteTable((route("v", server("a;disable frontend public")),)),
            RouteTable((route("v", server("a b")),)),
            RouteTable((route("v", server("a", host="127.0.0.1 maxconn 1")),)),
            RouteTable((route("v", server("a", host="example.org")),)),
            RouteTable((route("v", server("a", port=0)),)),
            RouteTable((route("v", path="predict"),)),
            RouteTable((route("v", path="/" + "x" * 5000),)),
            RouteTable((route("v", limits=Limits(concurrency=0)),)),
            RouteTable((route("v", limits=Limits(timeout_s=1e9)),)),
            RouteTable((route("v"),), (Split("projects/p/models/m;", ((version("v"), 100),)),)),
        ],
        ids=range(15),
    )
    async def test_a_crafted_table_is_refused_and_changes_nothing(self, gateway: Gateway, crafted: RouteTable) -> None:
        async with running(gateway):
            await gateway.publish(TABLE)
            with pytest.raises(GatewayRejected):
                await gateway.publish(crafted)
            assert await gateway.adopted() == canonical(TABLE)

    @pytest.mark.anyio
    @pytest.mark.parametrize(
        "path", ["/a b", "/a;b", "/a\nb", "/a'b\"", "/a\\ b", "/a?b#c", "/100%", "/%[src]", "/ä", "/a|b", "/<<"]
    )
    async def test_an_odd_predict_path_is_percent_encoded(self, gateway: Gateway, path: str) -> None:
        table = RouteTable((route("v", path=path),))
        async with running(gateway):
            await gateway.publish(table)
            adopted = await gateway.adopted()
        assert adopted == canonical(table)
        assert set(adopted.routes[0].predict_path).isdisjoint(" ;\n'\"\\?#|<>[]ä")

    @pytest.mark.anyio
    async def test_another_order_is_the_same_table(self, gateway: Gateway) -> None:
        async with running(gateway):
            await gateway.publish(TABLE)
            turned = RouteTable(TABLE.routes[::-1], TABLE.splits[::-1])
            await gateway.publish(turned)
            assert await gateway.adopted() == canonical(TABLE)
            assert gateway.status().digest == turned.digest

    @abstractmethod
    async def fail(self, gateway: Gateway, request_id: str) -> None:
        """Let a prediction for version `v3` of the table, which has no replica, fail under this id."""

    @pytest.mark.anyio
    async def test_a_failed_request_is_remembered(self, gateway: Gateway) -> None:
        async with running(gateway):
            await gateway.publish(TABLE)
            await self.fail(gateway, "first")
            await self.fail(gateway, "second")
            first, second = await gateway.recent_errors()
            assert (first.request_id, second.request_id) == ("first", "second")
            assert first.time <= second.time
            assert abs(second.time - datetime.now(UTC)) < timedelta(seconds=10)
            assert (first.http_status, first.reason) == (503, "NO_HEALTHY_REPLICA")
            assert (first.version, first.path) == (version("v3"), f"/v1/{version('v3')}:predict")
