"""The status: from what is seen of a version to its conditions, its state and the operations it closes. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from modelport.control.health import Health
from modelport.control.plan import Seen
from modelport.control.routing import healthy_replicas
from modelport.core.conditions import INSTALLED, Condition, ConditionType, Truth, set_condition
from modelport.core.errors import DeadlineExceeded, Status
from modelport.core.names import VersionName
from modelport.core.replicas import Replica, ReplicaState
from modelport.core.resources import Operation, OperationType, Version, VersionState, VersionStatus
from modelport.core.version_replicas import replica_names


def prepared(
    status: VersionStatus,
    *,
    image: str,
    artifact: str,
    copied: str,
    now: datetime,
    framework: str = "",
    installed: str = "",
) -> VersionStatus:
    """Return the status once the image is pinned and the artifacts are there; the start's deadline runs from now.

    With `installed`, which says what, the image is an environment that was built.
    """
    conditions = set_condition(
        status.conditions,
        ConditionType.IMAGE_PINNED,
        Truth.TRUE,
        now=now,
        reason=INSTALLED if installed else "",
        message=installed or image,
    )
    conditions = set_condition(conditions, ConditionType.ARTIFACTS_COPIED, Truth.TRUE, now=now, message=copied)
    return replace(status, conditions=conditions, image=image, artifact=artifact, framework=framework)


def observe(version: Version, seen: Seen, *, routed: frozenset[str]) -> VersionStatus:
    """Return the status of a version that is wanted; `routed` are the replicas that the gateway has confirmed."""
    names = replica_names(version)
    replicas = [seen.replicas[name] for name in names if name in seen.replicas]
    healthy = [r for r in healthy_replicas(version, seen.replicas, seen.health) if r.name in routed]
    old = version.status
    conditions = _conditions(old.conditions, version, seen, replicas, healthy)
    ready = len(healthy) >= version.nodes
    exits = [r.exit for r in replicas if r.state is ReplicaState.EXITED and r.exit is not None]
    status = replace(
        old,
        conditions=conditions,
        ready_replicas=len(healthy),
        last_exit=exits[-1] if exits else old.last_exit,
        warning=seen.warning,
    )
    if not ready:
        return status
    return replace(
        status,
        state=VersionState.READY,
        ready_time=old.ready_time or seen.now,
        warning="",
        observed_generation=version.generation,
    )


def failed(status: VersionStatus, error: Status) -> VersionStatus:
    """Return the status of a version that will not serve."""
    return replace(status, state=VersionState.FAILED, error=error, ready_replicas=0, warning="")


def close(operation: Operation, version: Version, *, now: datetime, deadline_s: float) -> Operation:
    """Return the operation as the version's state leaves it: closed when its goal is met or cannot be."""
    operation = replace(operation, start_time=operation.start_time or now)
    status = version.status
    if operation.type is OperationType.CREATE_VERSION:
        if status.state is VersionState.FAILED:
            return replace(operation, done=True, end_time=now, error=status.error)
        met = status.state is VersionState.READY
    elif operation.type is OperationType.UPDATE_VERSION:
        met = status.observed_generation >= operation.generation
        if not met and now - operation.create_time > timedelta(seconds=deadline_s):
            error = DeadlineExceeded(
                f"{status.ready_replicas} of {version.nodes} replicas were ready within {deadline_s:g} s",
                hint=f"Look at the replicas with `modelport logs {_short(version.name)}`",
            )
            return replace(operation, done=True, end_time=now, error=error.status())
    else:
        met = False  # a deletion is closed with the removal of the version
    return replace(operation, done=True, end_time=now) if met else operation


def _short(name: VersionName) -> str:
    return f"{name.model}/{name.version}"


def _conditions(
    conditions: tuple[Condition, ...],
    version: Version,
    seen: Seen,
    replicas: list[Replica],
    healthy: list[Replica],
) -> tuple[Condition, ...]:
    now, nodes = seen.now, version.nodes
    health: Mapping[str, Health] = seen.health
    running = [r for r in replicas if r.state is ReplicaState.RUNNING]
    dead = [r for r in replicas if r.state is ReplicaState.EXITED]
    known = [health[r.name] for r in running if r.name in health and health[r.name].attempt == r.attempt]
    last_probe = next((str(_unfolded(h)) for h in known if not h.healthy and h.transcript), "")
    steps = (
        (
            ConditionType.STARTED,
            len(running) >= nodes,
            _ending(dead[0]) if dead else f"{len(running)} of {nodes} replicas started",
        ),
        (
            ConditionType.LISTENING,
            sum(h.listening for h in known) >= nodes,
            _listening(running, known) or last_probe,
        ),
        (ConditionType.HEALTHY, sum(h.healthy for h in known) >= nodes, last_probe or _answers(known)),
        (ConditionType.ROUTED, len(healthy) >= nodes, f"{len(healthy)} of {nodes} replicas take requests"),
    )
    for type_, holds, message in steps:
        status = Truth.TRUE if holds else Truth.FALSE
        conditions = set_condition(conditions, type_, status, now=now, message=message)
    return conditions


def _unfolded(health: Health) -> object:
    # How often the same answer came changes all the time; a condition is written when something turns.
    return replace(health.transcript[-1], times=1)


def _listening(replicas: list[Replica], known: list[Health]) -> str:
    ports = [str(r.address) for r in replicas if r.address is not None]
    return ", ".join(ports[:3]) if known and all(h.listening for h in known) else ""


def _answers(known: list[Health]) -> str:
    return str(_unfolded(known[0])) if known and known[0].transcript else ""


def _ending(replica: Replica) -> str:
    return f"attempt {replica.attempt} {replica.exit or 'ended'}" + (f": {replica.message}" if replica.message else "")
