"""What can be seen of the platform and of one version, for people: status, conditions, replicas, logs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from anyio import create_memory_object_stream, create_task_group, move_on_after
from anyio.streams.memory import MemoryObjectSendStream

from modelport.control.fleet import Fleet
from modelport.control.probe import Prober
from modelport.core.conditions import Condition, Truth
from modelport.core.errors import Error, RequestNotFound, Status
from modelport.core.names import VersionName
from modelport.core.replicas import Address, Exit, LogLine, Replica, ReplicaState
from modelport.core.resources import Model, Version, VersionState
from modelport.core.version_replicas import replica_names
from modelport.drivers.base import Driver, DriverHealth, DriverState
from modelport.gateway.base import Gateway, GatewayStatus, RequestError
from modelport.store.store import Store

# Lines of several replicas as they come: (replica name, line).
Lines = AsyncIterator[tuple[str, LogLine]]


@dataclass(frozen=True)
class ReplicaView:
    """One replica, with whether its last health checks count as healthy."""

    name: str
    state: ReplicaState
    attempt: int
    healthy: bool
    address: Address | None = None
    started_at: datetime | None = None
    exit: Exit | None = None


@dataclass(frozen=True)
class VersionView:
    """One version with the way it has come: conditions in order, replicas as the substrate shows them."""

    version: Version
    is_default: bool
    conditions: tuple[Condition, ...]
    replicas: tuple[ReplicaView, ...]


@dataclass(frozen=True)
class VersionSummary:
    """One line of `modelport status`; `cause` is one sentence for whatever is not well, or empty."""

    name: VersionName
    state: VersionState
    since: datetime
    ready: int
    wanted: int
    is_default: bool
    cause: str = ""


@dataclass(frozen=True)
class RequestView:
    """A request that failed; `times` is how often its id is remembered, `version` what has become of its version."""

    error: RequestError
    times: int
    version: VersionSummary | None


@dataclass(frozen=True)
class PlatformStatus:
    """The platform at a glance."""

    version: str
    listen: str
    driver: str
    driver_health: DriverHealth
    gateway: GatewayStatus
    versions: tuple[VersionSummary, ...]


class Inspector(Protocol):
    """Implemented by the control plane; the API turns it into JSON. Reads only."""

    async def status(self) -> PlatformStatus:
        """Return the platform at a glance; never waits for a substrate that does not answer."""
        ...

    async def inspect(self, name: VersionName) -> VersionView:
        """Return one version with conditions and replicas. Raises VersionNotFound."""
        ...

    async def request(self, request_id: str) -> RequestView:
        """Return the last failed request with this id. Raises RequestNotFound, GatewayUnavailable."""
        ...

    def logs(self, name: VersionName, *, tail: int, follow: bool) -> AbstractAsyncContextManager[Lines]:
        """Open the lines of all replicas of a version, dead and removed ones included.

        Each replica gives its last `tail` lines; with `follow` new lines go on until the context is left. A context
        and not a generator, because tasks run behind it that must end where they began. Raises VersionNotFound; the
        iteration ends with the error of a driver that could not read on.
        """
        ...


class PlatformInspector:
    """Answers from the store and from what the control loop has seen; asks the driver for its health and logs only."""

    def __init__(
        self,
        *,
        store: Store,
        driver: Driver,
        gateway: Gateway,
        fleet: Fleet,
        prober: Prober,
        version: str,
        listen: str,
    ) -> None:
        self._store = store
        self._driver = driver
        self._gateway = gateway
        self._fleet = fleet
        self._prober = prober
        self._version = version
        self._listen = listen

    async def status(self) -> PlatformStatus:
        """Return the platform at a glance."""
        versions, models = await self._store.read(lambda tx: (tx.all(Version), tx.all(Model)))
        defaults = {VersionName(m.name.project, m.name.model, m.default_version) for m in models if m.default_version}
        health = DriverHealth(DriverState.UNHEALTHY, message="no answer within 2 s", remedy="Look at the engine")
        with move_on_after(2):
            health = await self._driver.health()
        return PlatformStatus(
            version=self._version,
            listen=self._listen,
            driver=self._driver.name,
            driver_health=health,
            gateway=self._gateway.status(),
            versions=tuple(_summary(version, version.name in defaults) for version in versions),
        )

    async def inspect(self, name: VersionName) -> VersionView:
        """Return one version with conditions and replicas."""
        version, model = await self._store.read(lambda tx: (tx.get(Version, name), tx.find(Model, name.model_name)))
        replicas = [
            ReplicaView(
                name=replica.name,
                state=replica.state,
                attempt=replica.attempt,
                healthy=self._healthy(replica),
                address=replica.address,
                started_at=replica.started_at,
                exit=replica.exit,
            )
            for _, replica in sorted(self._fleet.of(str(name)).items())
        ]
        is_default = model is not None and model.default_version == name.version
        return VersionView(version, is_default, version.status.conditions, tuple(replicas))

    async def request(self, request_id: str) -> RequestView:
        """Return the last failed request with this id."""
        found = [error for error in await self._gateway.recent_errors() if error.request_id == request_id]
        if not found:
            raise RequestNotFound(request_id)
        return RequestView(found[-1], len(found), await self._version_now(found[-1].version))

    async def _version_now(self, text: str) -> VersionSummary | None:
        if not text:
            return None
        name = VersionName.parse(text)
        version, model = await self._store.read(lambda tx: (tx.find(Version, name), tx.find(Model, name.model_name)))
        if version is None:
            return None
        return _summary(version, model is not None and model.default_version == name.version)

    @asynccontextmanager
    async def logs(self, name: VersionName, *, tail: int, follow: bool) -> AsyncIterator[Lines]:
        """Open the lines of all replicas of a version."""
        version = await self._store.read(lambda tx: tx.get(Version, name))
        names = dict.fromkeys((*replica_names(version), *self._fleet.of(str(name))))
        send, receive = create_memory_object_stream[tuple[str, LogLine]](100)
        failures: list[Error] = []

        async def read(replica: str, into: MemoryObjectSendStream[tuple[str, LogLine]]) -> None:
            lines = self._driver.logs(replica, tail=tail, follow=follow)
            async with into:
                try:
                    async for line in lines:
                        await into.send((replica, line))
                except Error as error:
                    failures.append(error)
                finally:
                    # Else files and connections stay open until the garbage collector comes by.
                    if isinstance(lines, AsyncGenerator):
                        await lines.aclose()

        async def received() -> Lines:
            async for item in receive:
                yield item
            if failures:
                raise failures[0]

        async with create_task_group() as tasks, receive:
            async with send:
                for replica in names:
                    tasks.start_soon(read, replica, send.clone())
            try:
                yield received()
            finally:
                # Before the stream is closed: a reader must find itself cancelled, not its stream broken.
                tasks.cancel_scope.cancel()

    def _healthy(self, replica: Replica) -> bool:
        health = self._prober.health(replica.name)
        running = replica.state is ReplicaState.RUNNING
        return running and health is not None and health.attempt == replica.attempt and health.healthy


def _summary(version: Version, is_default: bool) -> VersionSummary:
    status = version.status
    since = max((c.since for c in status.conditions), default=version.create_time)
    cause = ""
    if status.error is not None:
        cause = _cause(status.error)
    elif status.ready_replicas < version.nodes:
        untrue = [c for c in status.conditions if c.status is not Truth.TRUE]
        cause = status.warning or (f"{untrue[0].type}: {untrue[0].message}" if untrue else "")
    return VersionSummary(version.name, version.state, since, status.ready_replicas, version.nodes, is_default, cause)


def _cause(error: Status) -> str:
    """Return a failure in one line."""
    if error.finding:
        return f"{error.finding}: {error.metadata.get('what', '')}"
    return error.metadata.get("cause") or error.message.splitlines()[0]
