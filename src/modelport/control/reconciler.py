"""The reconciler: for each version observe, publish the routes, act on replicas, record; one worker a version.

It is the only writer of `Version.status` and the only one to close operations on versions. It may be killed anywhere:
everything is found again by listing replicas and reading the gateway.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import anyio
from anyio.abc import TaskGroup, TaskStatus

from modelport.control.actions import Actions
from modelport.control.diagnostics import Diagnostics
from modelport.control.fleet import Fleet
from modelport.control.health import Health
from modelport.control.plan import Plan, Rules, Seen, Verdict, leave, plan
from modelport.control.preparation import Preparation
from modelport.control.probe import Prober, ProbeTarget
from modelport.control.queue import WorkQueue
from modelport.control.routing import Routes, healthy_replicas, is_wanted, version_route, wanted_replicas
from modelport.control.status import close, failed, observe
from modelport.core.errors import Aborted, Cancelled, Error, SlotsExhausted, Unavailable
from modelport.core.names import VersionName
from modelport.core.replicas import ReplicaState
from modelport.core.resources import Goal, Model, Version, VersionState, VersionStatus
from modelport.core.routes import Limits, RouteTable
from modelport.core.version_replicas import health_route, replica_names, replica_spec
from modelport.doctor.diagnose import diagnose
from modelport.doctor.summary import summarise
from modelport.drivers.base import Driver
from modelport.gateway.base import Gateway
from modelport.store.store import Store, Tx

_log = logging.getLogger(__name__)
_LONGEST_RETRY_S = 5.0
_ADOPT_RETRY_S = 0.2


@dataclass(frozen=True)
class ReconcilerSettings:
    """What the reconciler needs to know beside its parts."""

    rules: Rules
    limits: Limits


class Reconciler:
    """Brings every version to what is wanted of it, again and again."""

    def __init__(
        self,
        *,
        store: Store,
        driver: Driver,
        gateway: Gateway,
        fleet: Fleet,
        prober: Prober,
        preparation: Preparation,
        diagnostics: Diagnostics,
        queue: WorkQueue,
        actions: Actions,
        settings: ReconcilerSettings,
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._driver = driver
        self._gateway = gateway
        self._fleet = fleet
        self._prober = prober
        self._preparation = preparation
        self._diagnostics = diagnostics
        self._queue = queue
        self._actions = actions
        self._rules = settings.rules
        self._limits = settings.limits
        self._now = now
        self._routes = Routes()
        self._publishing = anyio.Lock()
        self._leaving_since: dict[str, dict[str, datetime]] = {}
        self._failures: dict[str, int] = {}
        self._tasks: TaskGroup

    def notify(self, name: VersionName) -> None:
        """Say that something is wanted of a version, or was seen of it."""
        self._queue.add(str(name))

    async def run(self, *, task_status: TaskStatus[None]) -> None:
        """Adopt what runs, then reconcile for ever. Started once the routes stand as they were before."""
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            task_status.started()
            await tasks.start(self._fleet.run)
            await self._adopt()
            await self._queue.run(self._handle)

    async def _adopt(self) -> None:
        """Take over: replicas that were routed count as healthy until their probes say otherwise."""
        table = await self._served()
        routed = {server.name: server.address for route in table.routes for server in route.servers}
        versions, models = await self._store.read(lambda tx: (tx.all(Version), tx.all(Model)))
        for version in versions:
            replicas = self._fleet.of(str(version.name))
            for replica in replicas.values():
                if replica.state is ReplicaState.RUNNING and routed.get(replica.name) == replica.address:
                    self._prober.trust(replica.name, replica.attempt)
            if version.status.ready_time is not None:
                healthy = healthy_replicas(version, replicas, self._health(version))
                self._routes.set_route(version.name, version_route(version, healthy, self._limits))
        for model in models:
            self._routes.set_default(model.name, model.default_version)
        try:
            await self._publish()
        except Error as error:
            # What the gateway serves stays as it is; every version below publishes again.
            _log.warning("the routes could not be published: %s", error.message)
        for name in {str(version.name) for version in versions} | self._fleet.owners():
            self._queue.add(name)

    async def _served(self) -> RouteTable:
        """Return what the gateway serves, once it can say so: routes must not be taken away for not being known."""
        while True:
            try:
                return await self._gateway.adopted()
            except Unavailable as error:
                _log.warning("%s", error.message)
            await anyio.sleep(_ADOPT_RETRY_S)

    async def _handle(self, key: str) -> None:
        try:
            again = await self._reconcile(VersionName.parse(key))
        except (Unavailable, Aborted) as error:
            again = self._retry_s(key)
            _log.warning("%s: %s; again in %.1f s", key, error.message, again)
        except Exception:  # the gate of this loop: one version's defect must not stop the others
            again = self._retry_s(key)
            _log.exception("%s: reconciling failed; again in %.1f s", key, again)
        else:
            self._failures.pop(key, None)
        if again is not None:
            self._queue.add(key, after_s=again)

    def _retry_s(self, key: str) -> float:
        self._failures[key] = self._failures.get(key, 0) + 1
        return float(min(_LONGEST_RETRY_S, 0.1 * 2 ** self._failures[key]))

    async def _reconcile(self, name: VersionName) -> float | None:
        """Do what is to be done now; return when to look again."""
        version, model = await self._store.read(lambda tx: (tx.find(Version, name), tx.find(Model, name.model_name)))
        if version is not None and is_wanted(version) and not version.status.image:
            version = await self._prepare(version)
        if version is not None and version.cancelled and version.status.state is VersionState.CREATING:
            version = await self._fail(version, Cancelled("The operation was cancelled"))

        replicas = self._fleet.of(str(name))
        self._watch(name, version)
        try:
            routed = await self._route(name, version, model)
        except SlotsExhausted as error:
            self._routes.set_route(name, None)
            if version is None or version.status.state is not VersionState.CREATING:
                raise Unavailable(error.message, hint=error.hint) from error
            await self._fail(version, await self._failure(version, Verdict.of("route", error)))
            return 0.0
        seen = await self._see(name, version)
        if version is None or version.goal is Goal.DELETE:
            todo = leave(seen, frozenset(), self._rules)
            if not replicas:
                await self._forget(name, version)
                return None
        else:
            todo = plan(version, seen, self._rules)
            verdict = todo.verdict or self._refused(version)
            if verdict is not None:
                await self._fail(version, await self._failure(version, verdict))
                return 0.0
            if is_wanted(version):
                version = await self._record(version, seen, routed)
        await self._act(name, version, todo)
        return todo.look_again_s

    async def _prepare(self, version: Version) -> Version:
        try:
            return await self._preparation.prepare(version)
        except Unavailable:
            raise
        except Error as error:
            of_files = error.reason.startswith("ARTIFACT") or error.reason in ("NO_SPACE", "MODEL_CANNOT_BE_LOADED")
            phase = "artifacts" if of_files else "image"
            return await self._fail(version, await self._failure(version, Verdict.of(phase, error)))

    def _watch(self, name: VersionName, version: Version | None) -> None:
        """Probe the replicas that are wanted and run, and no others."""
        wanted = wanted_replicas(version)
        targets = [
            ProbeTarget(replica.name, replica.attempt, replica.address, health_route(version))
            for replica in self._fleet.of(str(name)).values()
            if version is not None
            and replica.name in wanted
            and replica.state is ReplicaState.RUNNING
            and replica.address is not None
        ]
        self._prober.watch(str(name), targets, keep=frozenset(wanted))
        if version is not None:
            if is_wanted(version) and version.status.state is VersionState.CREATING:
                self._diagnostics.follow(version)
            else:
                self._diagnostics.forget(version)

    async def _route(self, name: VersionName, version: Version | None, model: Model | None) -> frozenset[str]:
        """Publish the routes as they should be now; return the replicas of this version that take requests."""
        route = None
        if version is not None:
            healthy = healthy_replicas(version, self._fleet.of(str(name)), self._health(version))
            route = version_route(version, healthy, self._limits)
        self._routes.set_route(name, route)
        self._routes.set_default(name.model_name, model.default_version if model is not None else "")
        await self._publish()
        return frozenset(server.name for server in route.servers) if route is not None else frozenset()

    async def _publish(self) -> None:
        async with self._publishing:
            await self._gateway.publish(self._routes.table())

    async def _see(self, name: VersionName, version: Version | None) -> Seen:
        replicas = self._fleet.of(str(name))
        wanted = wanted_replicas(version)
        now = self._now()
        before = self._leaving_since.pop(str(name), {})
        leaving = {replica: before.get(replica, now) for replica in replicas if replica not in wanted}
        if leaving:
            self._leaving_since[str(name)] = leaving
        in_flight = await self._gateway.in_flight() if leaving else {}
        if version is None:
            return Seen(now, replicas, {}, in_flight, leaving)
        verdict, warning = self._diagnostics.verdict(version), self._diagnostics.warning(version)
        return Seen(now, replicas, self._health(version), in_flight, leaving, verdict, warning)

    def _health(self, version: Version) -> dict[str, Health]:
        known = {name: self._prober.health(name) for name in replica_names(version)}
        return {name: health for name, health in known.items() if health is not None}

    def _refused(self, version: Version) -> Verdict | None:
        """Return a verdict when the substrate refuses for good to start a replica of a version not yet ready."""
        if version.status.state is not VersionState.CREATING:
            return None
        errors = [error for name in replica_names(version) if (error := self._actions.error(name)) is not None]
        return Verdict.of("start", errors[0]) if errors else None

    async def _act(self, name: VersionName, version: Version | None, todo: Plan) -> None:
        for start in todo.starts:
            if version is None or self._actions.busy(replica_names(version)[start.index]):
                continue
            model_dir = await self._preparation.model_dir(version)
            spec = replica_spec(version, start.index, attempt=start.attempt, model_dir=model_dir)
            self._actions.start(self._tasks, spec)
        for replica in todo.stops:
            self._actions.stop(self._tasks, replica, str(name))

    async def _record(self, version: Version, seen: Seen, routed: frozenset[str]) -> Version:
        """Write status and operations if either changes, both in one transaction."""
        return await self._write(version, lambda fresh: observe(fresh, seen, routed=routed), seen.now)

    async def _fail(self, version: Version, error: Error) -> Version:
        _log.warning("%s failed: %s", version.name, error.finding or error.message)
        return await self._write(version, lambda fresh: failed(fresh.status, error.status()), self._now())

    async def _write(self, version: Version, status: Callable[[Version], VersionStatus], now: datetime) -> Version:
        def write(tx: Tx) -> Version:
            fresh = tx.get(Version, version.name)
            if fresh.uid != version.uid or (fresh.cancelled and not version.cancelled):
                raise Aborted(f"`{version.name}` is not the version that was looked at")
            updated = replace(fresh, status=status(fresh))
            if updated.status != fresh.status:
                updated = tx.update(updated)
            for operation in tx.running_operations(version.name):
                after = close(operation, updated, now=now, deadline_s=self._rules.create_deadline_s)
                if after != operation:
                    tx.update(after)
                if after.done and after.error is not None and updated.status.state is VersionState.READY:
                    # An update that was given up is over: the version serves, and may be changed or deleted again.
                    status_ = replace(updated.status, observed_generation=updated.generation)
                    updated = tx.update(replace(updated, status=status_))
            return updated

        running = await self._store.read(lambda tx: tx.running_operations(version.name))
        if not running and status(version) == version.status:
            return version
        return await self._store.write(write)

    async def _forget(self, name: VersionName, version: Version | None) -> None:
        """Remove a version of which nothing runs any more, and close what waited for that."""
        now = self._now()

        def remove(tx: Tx) -> None:
            tx.delete(Version, name)
            for operation in tx.running_operations(name):
                tx.update(replace(operation, start_time=operation.start_time or now, done=True, end_time=now))

        if version is not None:
            await self._store.write(remove)
            await self._preparation.prune()

    async def _failure(self, version: Version, verdict: Verdict) -> Error:
        """Say why a version failed, by all that is known of it."""
        evidence = await self._diagnostics.evidence(version, verdict)
        self._diagnostics.forget(version)
        return summarise(evidence, diagnose(evidence))
