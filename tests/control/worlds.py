"""Small versions, replicas and probe results for the tests of pure decisions."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from modelport.control.health import Health
from modelport.core.conditions import Condition, ConditionType, Truth
from modelport.core.names import VersionName
from modelport.core.replicas import Address, Exit, Replica, ReplicaState
from modelport.core.resources import ContainerSpec, Version, VersionSpec, VersionState, VersionStatus
from modelport.core.version_replicas import replica_names
from modelport.doctor.evidence import Exchange

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def version(*, nodes: int = 1, state: VersionState = VersionState.CREATING, copied: float = 0, **fields) -> Version:
    """A version whose image is pinned and whose artifacts were copied `copied` seconds ago."""
    conditions = (Condition(ConditionType.ARTIFACTS_COPIED, Truth.TRUE, "", "", ago(copied)),)
    status = VersionStatus(state, conditions, image="sha256:1", ready_time=NOW if state is VersionState.READY else None)
    if state is VersionState.READY:
        status = replace(status, observed_generation=1)
    return Version(
        VersionName("p", "m", "v"), "uid", VersionSpec(ContainerSpec("i")), NOW, nodes, status=status, **fields
    )


def replica(of: Version, index: int = 0, *, attempt: int = 1, end: Exit | None = None, started: float = 1) -> Replica:
    name = replica_name_of(of, index)
    state = ReplicaState.EXITED if end else ReplicaState.RUNNING
    return Replica(name, str(of.name), "d", attempt, state, Address("127.0.0.1", 9000 + index), end, ago(started))


def replica_name_of(of: Version, index: int) -> str:
    return replica_names(replace(of, nodes=index + 1))[index]


def healthy(attempt: int = 1) -> Health:
    probe = Exchange(NOW, "http://127.0.0.1:9000/health", 200, "", 0.001)
    return Health(attempt, None, listening_time=NOW, healthy_time=NOW, healthy=True, transcript=(probe,))


def silent(seconds: float, attempt: int = 1) -> Health:
    probe = Exchange(NOW, "http://127.0.0.1:9000/health", None, "connection refused", 0.001)
    return Health(attempt, ago(seconds), transcript=(probe,))


def is_true(conditions: tuple[Condition, ...], type: ConditionType) -> bool:
    return any(condition.type is type and condition.status is Truth.TRUE for condition in conditions)
