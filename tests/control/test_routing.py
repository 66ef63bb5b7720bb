from dataclasses import replace

from modelport.control.routing import Routes, healthy_replicas, version_route
from modelport.core.names import ModelName, VersionName
from modelport.core.replicas import Exit, ReplicaState
from modelport.core.resources import Goal, VersionState
from modelport.core.routes import Limits, VersionRoute
from tests.control.worlds import healthy, replica, silent, version

READY = VersionState.READY


def test_only_running_healthy_replicas_of_this_attempt_take_requests() -> None:
    v = version(nodes=5, state=READY)
    good, dead, sick, earlier = (replica(v, i) for i in range(4))
    dead = replace(dead, state=ReplicaState.EXITED, exit=Exit(1))
    health = {
        good.name: healthy(),
        dead.name: healthy(),
        sick.name: silent(1),
        earlier.name: healthy(attempt=0),
    }
    replicas = {r.name: r for r in (good, dead, sick, earlier)}
    assert healthy_replicas(v, replicas, health) == (good,)


def test_a_version_is_routed_first_when_all_its_nodes_are_healthy() -> None:
    v = version(nodes=2)
    assert version_route(v, [replica(v, 0)], Limits()) is None
    assert version_route(v, [replica(v, 0), replica(v, 1)], Limits()) is not None


def test_a_ready_version_keeps_its_route_without_replicas() -> None:
    route = version_route(version(state=READY), [], Limits())
    assert route is not None
    assert route.servers == ()


def test_a_deleted_version_has_no_route() -> None:
    v = replace(version(state=READY), goal=Goal.DELETE)
    assert version_route(v, [replica(v)], Limits()) is None


def test_the_predict_path_is_the_default_of_the_api() -> None:
    route = version_route(version(state=READY), [], Limits())
    assert route is not None
    assert route.predict_path == "/v1/models/m/versions/v:predict"


def test_the_default_version_has_all_the_traffic() -> None:
    routes = Routes()
    for name in ("v1", "v2"):
        full = VersionName("p", "m", name)
        routes.set_route(full, VersionRoute(str(full), "/p", ()))
    routes.set_default(ModelName("p", "m"), "v2")
    (split,) = routes.table().splits
    assert split.shares == (("projects/p/models/m/versions/v2", 100),)


def test_a_default_version_without_a_route_has_no_split() -> None:
    routes = Routes()
    routes.set_default(ModelName("p", "m"), "v1")
    assert routes.table().splits == ()
