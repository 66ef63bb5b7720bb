"""Replicas: what a driver is asked to run (`ReplicaSpec`) and what it sees running (`Replica`)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import PurePosixPath


@dataclass(frozen=True)
class EnvVar:
    """One environment variable as written in the version: the value may hold `$(VAR)`."""

    name: str
    value: str = ""


@dataclass(frozen=True)
class Accelerators:
    """GPUs for one replica; `type` is the name of the original API, such as `NVIDIA_TESLA_T4`."""

    count: int
    type: str


@dataclass(frozen=True)
class Resources:
    """Limits of one replica. `None` is no limit."""

    cpus: float | None = None
    memory_bytes: int | None = None
    pids: int | None = 4096
    accelerators: Accelerators | None = None


@dataclass(frozen=True)
class ReplicaSpec:
    """All that a driver needs to run one replica; command, args and env are not yet expanded.

    The driver decides the port (`process`: a free one) and where the model lies as the container sees it, then calls
    `core.environment.invocation` for the final command line and environment.

    Attributes:
        name: computed by `core.names.replica_name`; a driver finds the replica again by it.
        owner: full name of the version.
        image: pinned reference, as `Driver.pin` returned it.
        aip: the AIP_* variables except AIP_HTTP_PORT and AIP_STORAGE_URI.
        port: the container port of the version.
        model_dir: host folder of the copied artifacts, mounted read-only; None without deploymentUri.
        attempt: 1 for the first start; a higher attempt replaces a dead or hung replica of the same name.
    """

    name: str
    owner: str
    image: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[EnvVar, ...] = ()
    aip: tuple[EnvVar, ...] = ()
    port: int = 8080
    model_dir: PurePosixPath | None = None
    resources: Resources = Resources()
    attempt: int = 1

    @property
    def digest(self) -> str:
        """Return a digest of all that would need a restart if it changed; `attempt` does not count."""
        fields = asdict(self)
        del fields["attempt"]
        return hashlib.sha256(json.dumps(fields, sort_keys=True, default=str).encode()).hexdigest()[:16]


class ReplicaState(StrEnum):
    """STARTING: asked for, not yet running; RUNNING: its process lives; EXITED: it has ended."""

    STARTING = "STARTING"
    RUNNING = "RUNNING"
    EXITED = "EXITED"


@dataclass(frozen=True)
class Address:
    """Where the control plane and the gateway reach a replica."""

    host: str
    port: int

    @property
    def base_url(self) -> str:
        """Return what its URLs begin with."""
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Exit:
    """How a replica ended: an exit code, or the signal that ended it; `oom_killed` only when the substrate knows."""

    code: int | None
    signal: int | None = None
    oom_killed: bool = False
    finished_at: datetime | None = None

    def __str__(self) -> str:
        if self.oom_killed:
            return "killed for exceeding its memory limit"
        if self.signal is not None:
            return f"ended by signal {self.signal}"
        return f"exited with code {self.code}" if self.code is not None else "exited"


@dataclass(frozen=True)
class Replica:
    """One replica as the substrate shows it, running or dead."""

    name: str
    owner: str
    digest: str
    attempt: int
    state: ReplicaState
    address: Address | None = None
    exit: Exit | None = None
    started_at: datetime | None = None
    message: str = ""


@dataclass(frozen=True)
class LogLine:
    """One line of a replica's output, without its newline; `stream` is `stdout` or `stderr`."""

    time: datetime | None
    stream: str
    text: str
    attempt: int = 1
