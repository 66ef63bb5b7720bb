"""Evidence: everything known of a container that does or does not do what the contract asks; judged by pure functions.

All of it is bounded, holds no secrets (see `redaction`), and can be written to JSON and read back (see `case`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from modelport.core.facts import HostFacts, ImageFacts, ReplicaFacts
from modelport.core.replicas import EnvVar, Exit, LogLine

# What `Exchange.error` says most often.
REFUSED = "connection refused"
CLOSED = "connection closed without an answer"
NOT_HTTP = "an answer that is not HTTP"


class Phase(StrEnum):
    """The steps of the way, in order; `Evidence.phase` is the one that failed, or the last that was passed."""

    SPEC = "spec"
    IMAGE = "image"
    ARTIFACTS = "artifacts"
    START = "start"
    LISTEN = "listen"
    HEALTH = "health"
    ROUTE = "route"
    PREDICT = "predict"
    RESPONSE = "response"
    LOAD = "load"
    STOP = "stop"
    DONE = "done"


@dataclass(frozen=True)
class Exchange:
    """One HTTP request to a replica and what came back.

    Attributes:
        url: with the address at which the replica was asked.
        status: HTTP status, or None when none came.
        error: why none came: `connection refused`, `connection timed out`, `no answer within 10 s`, …
        latency_s: until the answer was complete, or until the error.
        times: equal neighbours are folded into one.
        headers: of the answer, names in lower case, at most 30.
        body: first 4 KiB of the answer as text.
        size_bytes: size of the whole answer, where it was read.
        sent: first 2 KiB of the request's body.
        sent_bytes: size of the request's body.
        last_time: when the last of several was sent; `time` is that of the first.
    """

    time: datetime
    url: str
    status: int | None
    error: str
    latency_s: float
    times: int = 1
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""
    size_bytes: int | None = None
    sent: str = ""
    sent_bytes: int = 0
    last_time: datetime | None = None

    @property
    def outcome(self) -> str:
        """Return the status, or why there is none."""
        return str(self.status) if self.status is not None else self.error

    @property
    def path(self) -> str:
        """Return the path of the URL."""
        return "/" + self.url.partition("://")[2].partition("/")[2]

    def header(self, name: str) -> str:
        """Return a header of the answer, or nothing."""
        return next((value for key, value in self.headers if key == name.lower()), "")

    def __str__(self) -> str:
        return f"{self.method} {self.url} → {self.outcome}" + (f" ({self.times} times)" if self.times > 1 else "")


class Purpose(StrEnum):
    """Why a prediction was asked for.

    SAMPLE: instances that the user gave, or that the server's own OpenAPI document shows; SAFE: a guess, whose failure
    proves nothing; BARE: the instances of the one before as a bare list, without the object around them; NO_PARAMETERS
    and WITH_PARAMETERS: the same instances without and with `parameters`; REPEAT: the first one again; LARGE: about
    1.5 MB; CONCURRENT: several at a time; DRAINING: under way while the replica is told to end.
    """

    SAMPLE = "sample"
    SAFE = "safe"
    BARE = "bare"
    NO_PARAMETERS = "no-parameters"
    WITH_PARAMETERS = "with-parameters"
    REPEAT = "repeat"
    LARGE = "large"
    CONCURRENT = "concurrent"
    DRAINING = "draining"


@dataclass(frozen=True)
class Prediction:
    """One prediction: how many instances were sent and why; `complete_body` is the answer where it is up to 64 KiB.

    `native` is one in a protocol of the server's own: the contract says nothing of what its answer looks like.
    """

    purpose: Purpose
    instances: int
    exchange: Exchange
    complete_body: str | None = None
    native: bool = False


@dataclass(frozen=True)
class Usage:
    """One sample of what a replica uses; `at_s` counts from its start."""

    at_s: float
    cpu_s: float | None = None
    memory_bytes: int | None = None


@dataclass(frozen=True)
class Stopping:
    """How the replica ended when it was told to: SIGTERM, then `grace_s` to go."""

    grace_s: float
    took_s: float
    killed: bool
    exit: Exit | None = None


@dataclass(frozen=True)
class ArtifactTree:
    """What lies under AIP_STORAGE_URI: up to 200 relative paths, with sizes, and how many there are."""

    uri: str
    mounted_at: str
    files: tuple[tuple[str, int], ...] = ()
    total_files: int = 0
    total_bytes: int = 0


@dataclass(frozen=True)
class SpecFacts:
    """What was asked for, after expansion; values of secret-looking variables are masked.

    Attributes:
        port: on which the replica must listen, as seen from inside it.
        routes_given: whether the spec names routes, or has the defaults of the API.
        port_given: whether the spec names a port.
        written_command: command and args before expansion.
        dockerfile: whether the image was built from a folder's Dockerfile, which the user can then change.
    """

    image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[EnvVar, ...] = ()
    port: int = 8080
    port_given: bool = False
    predict_route: str = ""
    health_route: str = ""
    routes_given: bool = False
    machine_type: str = ""
    cpus: float | None = None
    memory_bytes: int | None = None
    accelerators: int = 0
    deployment_uri: str = ""
    storage_uri: str = ""
    written_command: tuple[str, ...] = ()
    dockerfile: bool = False


@dataclass(frozen=True)
class Evidence:
    """What is known. Bounded: logs and exchanges are tails; empty and None mean "not looked at or not known".

    Attributes:
        version: full name; in a check, of a version that does not exist.
        phase: the step that failed, or the last that was passed.
        passed: whether all that was tried went well as far as the one who gathered can tell.
        error: what went wrong, in one sentence.
        error_reason: reason of the error that an adapter reported, such as `IMAGE_NOT_FOUND`, if one did.
        hint: what that error advised.
        exits: how attempts ended, oldest first.
        log: last lines, all attempts, both streams; `log_dropped` tells how many came before them.
        listening_s: seconds from the start until the port first accepted a connection.
        healthy_s: seconds from the start until the first 200 on the health route.
        running_s: how long the last attempt has run, or ran.
        quiet_s: how long nothing has happened: no log line, no new socket, hardly any CPU time.
        health: transcript of the health checks, equal neighbours folded.
        sweep: what other usual routes answer, also on other ports that the replica listens on.
        facts: what was last seen inside the replica while it ran; `facts.sockets` may be from an earlier look.
        usage: over time, oldest first.
        predictions: in the order in which they were sent.
        health_under_load: health checks made while predictions were under way.
    """

    version: str
    phase: Phase
    driver: str
    now: datetime
    elapsed_s: float
    passed: bool = False
    error: str = ""
    error_reason: str = ""
    hint: str = ""
    spec: SpecFacts = field(default_factory=SpecFacts)
    host: HostFacts = field(default_factory=HostFacts)
    image: ImageFacts | None = None
    artifacts: ArtifactTree | None = None
    exits: tuple[Exit, ...] = ()
    log: tuple[LogLine, ...] = ()
    log_dropped: int = 0
    running_s: float = 0.0
    listening_s: float | None = None
    healthy_s: float | None = None
    quiet_s: float = 0.0
    facts: ReplicaFacts | None = None
    usage: tuple[Usage, ...] = ()
    health: tuple[Exchange, ...] = ()
    sweep: tuple[Exchange, ...] = ()
    predictions: tuple[Prediction, ...] = ()
    health_under_load: tuple[Exchange, ...] = ()
    stopping: Stopping | None = None

    @property
    def exit(self) -> Exit | None:
        """Return how the last attempt ended, where it ended by itself."""
        return self.exits[-1] if self.exits else None

    @property
    def last_words(self) -> tuple[LogLine, ...]:
        """Return the log of the last attempt only."""
        last = max((line.attempt for line in self.log), default=1)
        return tuple(line for line in self.log if line.attempt == last)
