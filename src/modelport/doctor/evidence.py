"""Evidence: everything known of a version that does not become ready, gathered once, judged by pure functions."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from modelport.core.replicas import Exit, LogLine


@dataclass(frozen=True)
class ProbeAttempt:
    """One probe of a replica: `status` is the HTTP status, or None when none came; `error` says why not."""

    time: datetime
    url: str
    status: int | None
    error: str
    latency_s: float
    times: int = 1

    def __str__(self) -> str:
        outcome = str(self.status) if self.status is not None else self.error
        return f"GET {self.url} → {outcome}" + (f" ({self.times} times)" if self.times > 1 else "")


@dataclass(frozen=True)
class Evidence:
    """What is known when a version fails. Bounded: logs and probes are tails.

    Attributes:
        version: full name.
        phase: the step that failed: `image`, `artifacts`, `start`, `listen`, `health` or `route`.
        error: what went wrong, in one sentence.
        error_reason: reason of the error that an adapter reported, such as `IMAGE_NOT_FOUND`, if one did.
        hint: what that error advised.
        exits: how attempts ended, oldest first.
        log_tail: last lines of the replica that failed.
        probes: last probes, equal ones folded together.
        elapsed_s: time since the version was created.
        spec: what was asked for, as far as it matters: image, command, args, port, routes.
    """

    version: str
    phase: str
    driver: str
    now: datetime
    elapsed_s: float
    error: str = ""
    error_reason: str = ""
    hint: str = ""
    exits: tuple[Exit, ...] = ()
    log_tail: tuple[LogLine, ...] = ()
    probes: tuple[ProbeAttempt, ...] = ()
    spec: dict[str, str] = field(default_factory=dict)
