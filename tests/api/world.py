"""The API over a real store on a temporary file, with a clock and ids of its own."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from modelport.api.app import create_app
from modelport.api.services import Services
from modelport.control.inspect import Lines, PlatformStatus, ReplicaView, RequestView, VersionSummary, VersionView
from modelport.control.models import Models
from modelport.control.operations import Operations
from modelport.control.runtime_catalogue import RuntimeCatalogue, RuntimeVersion
from modelport.control.versions import Versions
from modelport.core.conditions import ConditionType, Truth, set_condition
from modelport.core.errors import RequestNotFound, Status
from modelport.core.frameworks import Framework
from modelport.core.names import VersionName
from modelport.core.replicas import Address, LogLine, ReplicaState
from modelport.core.resources import Operation, Version, VersionState
from modelport.drivers.base import DriverHealth, DriverState
from modelport.gateway.base import GatewayStatus, RequestError
from modelport.store.store import Store

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Clock:
    """Time that moves a second at every look."""

    def __init__(self) -> None:
        self.time = START

    def __call__(self) -> datetime:
        self.time += timedelta(seconds=1)
        return self.time


class StoredInspector:
    """An inspector that shows what the store has, and one made-up replica with two lines of log."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def status(self) -> PlatformStatus:
        versions = await self._store.read(lambda tx: tx.all(Version))
        return PlatformStatus(
            version="1",
            listen="127.0.0.1:8470",
            driver="fake",
            driver_health=DriverHealth(DriverState.HEALTHY, version="2"),
            gateway=GatewayStatus(running=True, version="2.8", digest="d"),
            versions=tuple(
                VersionSummary(v.name, v.state, v.create_time, v.status.ready_replicas, v.nodes, is_default=False)
                for v in versions
            ),
        )

    async def inspect(self, name: VersionName) -> VersionView:
        version = await self._store.read(lambda tx: tx.get(Version, name))
        conditions = set_condition((), ConditionType.STARTED, Truth.TRUE, now=START, reason="RUNNING")
        replica = ReplicaView("r-0", ReplicaState.RUNNING, 1, healthy=True, address=Address("127.0.0.1", 9))
        return VersionView(version, is_default=True, conditions=conditions, replicas=(replica,))

    async def request(self, request_id: str) -> RequestView:
        if request_id != "failed-1":
            raise RequestNotFound(request_id)
        error = RequestError(START, request_id, 503, "QUEUE_TIMEOUT", "projects/p/models/iris/versions/v1", queued_s=30)
        return RequestView(error, 1, None)

    @asynccontextmanager
    async def logs(self, name: VersionName, *, tail: int, follow: bool) -> AsyncIterator[Lines]:
        async def lines() -> Lines:
            for text in ("one", "two")[-tail:]:
                yield "r-0", LogLine(START, "stdout", text)

        yield lines()


@dataclass
class Api:
    """The application, its store, and the versions that the reconciler was woken for."""

    app: FastAPI
    store: Store
    client: httpx.AsyncClient
    woken: list[VersionName] = field(default_factory=list)

    async def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        return await self.client.request(method, path, **options)

    async def ok(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        response = await self.call(method, path, **options)
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        return body

    async def refused(self, code: int, method: str, path: str, **options: Any) -> dict[str, Any]:
        response = await self.call(method, path, **options)
        assert response.status_code == code, response.text
        error: dict[str, Any] = response.json()["error"]
        assert error["code"] == code
        return error

    async def model(self, name: str = "iris", **fields: Any) -> dict[str, Any]:
        return await self.ok("POST", "/v1/projects/p/models", json={"name": name, **fields})

    async def version(self, name: str = "v1", model: str = "iris", **fields: Any) -> dict[str, Any]:
        body = {"name": name, "container": {"image": "registry/iris:1"}, **fields}
        return await self.ok("POST", f"/v1/projects/p/models/{model}/versions", json=body)

    async def settle(
        self, name: str = "v1", state: VersionState = VersionState.READY, error: Status | None = None
    ) -> None:
        """Do what the reconciler would: write the status and close the operations."""
        key = VersionName("p", "iris", name)

        def write(tx: Any) -> None:
            version = tx.get(Version, key)
            status = replace(version.status, state=state, error=error, observed_generation=version.generation)
            tx.update(replace(version, status=status))
            for operation in tx.running_operations(key):
                tx.update(replace(operation, done=True, end_time=START, error=error))

        await self.store.write(write)

    async def operations(self) -> tuple[Operation, ...]:
        return await self.store.read(lambda tx: tx.all(Operation))


RUNTIMES = RuntimeCatalogue(
    (RuntimeVersion("2026.11", ("3.11",), ("numpy==2.4.6",), {Framework.SCIKIT_LEARN: ("scikit-learn==1.9.1",)}),)
)


def services(store: Store, woken: list[VersionName]) -> Services:
    clock, ids = Clock(), itertools.count(1)
    return Services(
        models=Models(store, clock, woken.append),
        versions=Versions(store, clock, lambda: f"uid{next(ids)}", woken.append, RUNTIMES),
        operations=Operations(store, clock, woken.append),
        inspector=StoredInspector(store),
    )


def open_api(folder: Path) -> Api:
    store = Store(folder / "modelport.db")
    woken: list[VersionName] = []
    app = create_app(services(store, woken), lambda: "request-1")
    return Api(app, store, client_of(app), woken)


def client_of(app: FastAPI) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://testserver")
