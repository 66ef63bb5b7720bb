"""Routing: which versions and replicas stand in the gateway's table, as pure functions over what is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from modelport.control.health import Health
from modelport.core.names import ModelName, VersionName
from modelport.core.replicas import Replica, ReplicaState
from modelport.core.resources import Goal, Version, VersionState
from modelport.core.routes import Limits, RouteTable, Server, Split, VersionRoute
from modelport.core.version_replicas import predict_route, replica_names


def is_wanted(version: Version) -> bool:
    """Return whether replicas of the version should run."""
    creating = version.status.state is VersionState.CREATING
    return (
        version.goal is Goal.SERVE
        and version.status.state is not VersionState.FAILED
        and not (creating and version.cancelled)
    )


def wanted_replicas(version: Version | None) -> tuple[str, ...]:
    """Return the names of the replicas that should run, in order; none of a version that is gone or not wanted."""
    return replica_names(version) if version is not None and is_wanted(version) else ()


def healthy_replicas(
    version: Version, replicas: Mapping[str, Replica], health: Mapping[str, Health]
) -> tuple[Replica, ...]:
    """Return the replicas that may take requests: wanted, running, reachable, and healthy in this very attempt."""
    return tuple(
        replica
        for name in wanted_replicas(version)
        if (replica := replicas.get(name)) is not None
        and replica.state is ReplicaState.RUNNING
        and replica.address is not None
        and (known := health.get(name)) is not None
        and known.attempt == replica.attempt
        and known.healthy
    )


def version_route(version: Version, healthy: Iterable[Replica], limits: Limits) -> VersionRoute | None:
    """Return the version's route, or None while it has never been ready or is no longer wanted.

    A version that was ready keeps its route without replicas, so that callers hear what is the matter.
    """
    servers = tuple(Server(r.name, r.address) for r in healthy if r.address is not None)
    first_time = version.status.ready_time is None
    if not is_wanted(version) or (first_time and len(servers) < version.nodes):
        return None
    return VersionRoute(str(version.name), predict_route(version), servers, limits)


class Routes:
    """What the table is made of: the route of each live version, the default version of each model."""

    def __init__(self) -> None:
        self._routes: dict[VersionName, VersionRoute] = {}
        self._defaults: dict[ModelName, str] = {}

    def set_route(self, name: VersionName, route: VersionRoute | None) -> None:
        """State a version's route, or that it has none."""
        if route is None:
            self._routes.pop(name, None)
        else:
            self._routes[name] = route

    def set_default(self, model: ModelName, version: str) -> None:
        """State which version answers for a model; empty for none."""
        if version:
            self._defaults[model] = version
        else:
            self._defaults.pop(model, None)

    def table(self) -> RouteTable:
        """Return the whole table; a model whose default version has no route has no split."""
        splits = []
        for model, version in sorted(self._defaults.items()):
            name = VersionName(model.project, model.model, version)
            if name in self._routes:
                splits.append(Split(str(model), ((str(name), 100),)))
        return RouteTable(tuple(route for _, route in sorted(self._routes.items())), tuple(splits))
