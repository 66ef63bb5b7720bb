"""The plan: from what is wanted of a version and what is seen of it to what to do next. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from modelport.control.health import Health, ProbeRules, must_restart
from modelport.control.routing import wanted_replicas
from modelport.core.conditions import ConditionType
from modelport.core.errors import Error
from modelport.core.replicas import Exit, Replica, ReplicaState
from modelport.core.resources import Version, VersionState
from modelport.core.version_replicas import replica_names

# A replica that ran this long before it died is started again at once; others wait 1, 2, 4 … seconds.
_STEADY = timedelta(minutes=10)
_LONGEST_BACKOFF_S = 60.0
_DRAIN_POLL_S = 0.1
_UPDATE_POLL_S = 1.0


@dataclass(frozen=True)
class Rules:
    """The settings that plans depend on."""

    probe: ProbeRules = field(default_factory=ProbeRules)
    create_deadline_s: float = 300.0
    start_attempts: int = 2
    drain_s: float = 60.0


@dataclass(frozen=True)
class Seen:
    """What is seen of one version at one moment.

    Attributes:
        replicas: every replica of this owner by name, wanted or not.
        health: what the probes showed, by name.
        in_flight: requests under way by replica name.
        leaving_since: since when a replica is out of the routes and on its way out.
        verdict: why a version that is being created will never be ready, once that is certain.
        warning: what looks wrong with it before that.
    """

    now: datetime
    replicas: Mapping[str, Replica] = field(default_factory=dict)
    health: Mapping[str, Health] = field(default_factory=dict)
    in_flight: Mapping[str, int] = field(default_factory=dict)
    leaving_since: Mapping[str, datetime] = field(default_factory=dict)
    verdict: Verdict | None = None
    warning: str = ""


@dataclass(frozen=True)
class Start:
    """Start attempt `attempt` of the replica with this index; it replaces an earlier attempt."""

    index: int
    attempt: int


@dataclass(frozen=True)
class Verdict:
    """The version will not become ready: the step at which it failed, and why in one sentence.

    `error_reason` and `hint` are those of the error that an adapter raised, if one did.
    """

    phase: str
    reason: str
    error_reason: str = ""
    hint: str = ""

    @classmethod
    def of(cls, phase: str, error: Error) -> Verdict:
        """Return the verdict that an adapter's error means."""
        return cls(phase, error.message, error.reason, error.hint)


@dataclass(frozen=True)
class Plan:
    """What to do now, and when to look again; `None` when only an event can change anything."""

    starts: tuple[Start, ...] = ()
    stops: tuple[str, ...] = ()
    look_again_s: float | None = None
    verdict: Verdict | None = None


def plan(version: Version, seen: Seen, rules: Rules) -> Plan:
    """Return the next actions. The routes published before this call hold only healthy, wanted replicas."""
    wanted = wanted_replicas(version)
    starts: list[Start] = []
    pauses: list[float] = []
    leaving = leave(seen, frozenset(wanted), rules)
    stops = leaving.stops
    if leaving.look_again_s is not None:
        pauses.append(leaving.look_again_s)
    creating = version.status.state is VersionState.CREATING
    for index, name in enumerate(wanted):
        replica = seen.replicas.get(name)
        if replica is None:
            starts.append(Start(index, 1))
            continue
        if replica.state is ReplicaState.STARTING:
            # Made and not started: a call that was cut off, or an engine that was. The same attempt completes it.
            starts.append(Start(index, replica.attempt))
            continue
        ended = _ended(replica, seen, rules)
        if not ended:
            continue
        if creating and replica.attempt >= rules.start_attempts:
            return Plan(stops=stops, verdict=_verdict(replica, ended))
        pause = 0.0 if creating else _backoff_s(replica, seen.now)
        if pause > 0:
            pauses.append(pause)
        else:
            starts.append(Start(index, replica.attempt + 1))
    if creating and seen.verdict is not None:
        return Plan(stops=stops, verdict=seen.verdict)
    if creating and (left := deadline_s(version, seen.now, rules)) is not None:
        if left <= 0:
            return Plan(stops=stops, verdict=_too_late(version, seen, rules))
        pauses.append(left)
    if version.state is VersionState.UPDATING:
        pauses.append(_UPDATE_POLL_S)  # nothing else may turn, and the operation must end
    return Plan(tuple(starts), stops, min(pauses, default=None))


def deadline_s(version: Version, now: datetime, rules: Rules) -> float | None:
    """Return the time left to become ready; it runs from the moment at which image and artifacts were there."""
    since = [c.since for c in version.status.conditions if c.type is ConditionType.ARTIFACTS_COPIED]
    return rules.create_deadline_s - (now - since[0]).total_seconds() if since else None


def leave(seen: Seen, wanted: frozenset[str], rules: Rules) -> Plan:
    """Return which replicas that nobody wants may stop now: those whose requests have ended, or that took too long."""
    stops, draining = [], False
    for name, replica in seen.replicas.items():
        if name in wanted:
            continue
        waited = (seen.now - seen.leaving_since.get(name, seen.now)).total_seconds()
        busy = replica.state is ReplicaState.RUNNING and seen.in_flight.get(name, 0) > 0
        if busy and waited < rules.drain_s:
            draining = True
        else:
            stops.append(name)
    return Plan(stops=tuple(stops), look_again_s=_DRAIN_POLL_S if draining else None)


def _ended(replica: Replica, seen: Seen, rules: Rules) -> str:
    """Return how the replica ended, or nothing while it lives; a lost liveness counts as an end."""
    if replica.state is ReplicaState.EXITED:
        return str(replica.exit or Exit(None))
    health = seen.health.get(replica.name)
    if health is not None and health.attempt == replica.attempt and must_restart(health, seen.now, rules.probe):
        return (
            f"accepted no connection for {rules.probe.failures * rules.probe.period_s:g} s"
            + (f" ({health.transcript[-1].error})" if health.transcript else "")
        )  # fmt: skip
    return ""


def _backoff_s(replica: Replica, now: datetime) -> float:
    finished = replica.exit.finished_at if replica.exit else None
    if replica.started_at is None or finished is None or finished - replica.started_at >= _STEADY:
        return 0.0
    wait = min(_LONGEST_BACKOFF_S, 2.0 ** min(replica.attempt - 2, 10)) if replica.attempt > 1 else 0.0
    return max(0.0, wait - (now - finished).total_seconds())


def _verdict(replica: Replica, ended: str) -> Verdict:
    phase = "start" if replica.state is ReplicaState.EXITED else "listen"
    times = f"{replica.attempt} times" if replica.attempt > 1 else "once"
    detail = f": {replica.message}" if replica.message else ""
    return Verdict(phase, f"the container was started {times} and {ended}{detail}")


def _too_late(version: Version, seen: Seen, rules: Rules) -> Verdict:
    known = [seen.health[name] for name in replica_names(version) if name in seen.health]
    last = next((h.transcript[-1] for h in known if not h.healthy and h.transcript), None)
    phase = "health" if any(h.listening_time for h in known) else "listen"
    return Verdict(
        phase, f"it was not healthy within {rules.create_deadline_s:g} s" + (f"; last probe: {last}" if last else "")
    )
