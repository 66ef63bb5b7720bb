"""Liveness and health of one replica as a pure state machine over probe attempts.

The rules are those of the container contract. Liveness: a TCP connection must be accepted; four failures with ten
seconds after each mean restart. Health: exactly 200 within ten seconds; the first 200 makes a replica healthy, four
failures in a row make it unhealthy (it leaves the routes and is not restarted), and any 200 brings it back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from modelport.doctor.evidence import Exchange

_TRANSCRIPT = 12


@dataclass(frozen=True)
class ProbeRules:
    """The pace of probes: `period_s` between them, `start_period_s` until the first 200, `failures` that count."""

    period_s: float = 10.0
    timeout_s: float = 10.0
    failures: int = 4
    start_period_s: float = 0.03


@dataclass(frozen=True)
class Health:
    """What the probes of one attempt of a replica have shown so far.

    Attributes:
        silent_since: when it was started, or last stopped accepting connections; None while it accepts them.
        listening_time: when it first accepted a connection.
        healthy_time: when it first answered 200.
        failures: failed checks since the last success.
        healthy: whether it may take requests.
        transcript: the last attempts, equal neighbours folded.
    """

    attempt: int
    silent_since: datetime | None
    listening_time: datetime | None = None
    healthy_time: datetime | None = None
    failures: int = 0
    healthy: bool = False
    transcript: tuple[Exchange, ...] = ()

    @property
    def listening(self) -> bool:
        """Return whether the last probe found the port open."""
        return self.listening_time is not None and self.silent_since is None


def advance(health: Health, probe: Exchange, *, accepted: bool, rules: ProbeRules) -> Health:
    """Return the health after one more probe; `accepted` tells whether the TCP connection was."""
    health = replace(health, transcript=_record(health.transcript, probe))
    if accepted:
        health = replace(health, silent_since=None, listening_time=health.listening_time or probe.time)
    elif health.silent_since is None:
        health = replace(health, silent_since=probe.time)
    if probe.status == 200:
        return replace(health, failures=0, healthy=True, healthy_time=health.healthy_time or probe.time)
    failures = health.failures + 1
    return replace(health, failures=failures, healthy=health.healthy and failures < rules.failures)


def must_restart(health: Health, now: datetime, rules: ProbeRules) -> bool:
    """Return whether liveness is lost: no connection accepted for as long as the counted attempts take."""
    budget = timedelta(seconds=rules.failures * rules.period_s)
    return health.silent_since is not None and now - health.silent_since >= budget


def next_probe_s(health: Health, rules: ProbeRules) -> float:
    """Return the pause before the next probe: short until the first 200, the contract's pace afterwards."""
    return rules.start_period_s if health.healthy_time is None else rules.period_s


def _record(transcript: tuple[Exchange, ...], probe: Exchange) -> tuple[Exchange, ...]:
    if transcript and (last := transcript[-1]).status == probe.status and last.error == probe.error:
        return (*transcript[:-1], replace(last, times=last.times + 1, latency_s=probe.latency_s, last_time=probe.time))
    return (*transcript, probe)[-_TRANSCRIPT:]
