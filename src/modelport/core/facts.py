"""Facts: what a driver can tell about a replica, its image and the machine beyond whether it runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from modelport.core.replicas import EnvVar


@dataclass(frozen=True)
class ImageFacts:
    """What an image says about itself; empty where the driver has no such notion.

    Attributes:
        reference: as it was asked for.
        architecture: as in OCI, such as `amd64` or `arm64`.
        user: USER of the image; empty is root.
        exposed: ports of EXPOSE, in order.
    """

    reference: str
    id: str = ""
    os: str = ""
    architecture: str = ""
    user: str = ""
    env: tuple[EnvVar, ...] = ()
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    exposed: tuple[int, ...] = ()
    working_dir: str = ""
    size_bytes: int | None = None


@dataclass(frozen=True)
class ListeningSocket:
    """One TCP socket in state LISTEN inside a replica; `host` is an IP address as text, `::` and `0.0.0.0` are any."""

    host: str
    port: int
    pid: int | None = None
    program: str = ""

    @property
    def loopback(self) -> bool:
        """Return whether only programs inside the replica can reach it."""
        return self.host.startswith("127.") or self.host in ("::1", "::ffff:127.0.0.1")

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        owner = ", ".join(part for part in (self.program, f"pid {self.pid}" if self.pid else "") if part)
        return f"LISTEN {host}:{self.port}" + (f" ({owner})" if owner else "")


@dataclass(frozen=True)
class ProcessFacts:
    """One process of a replica; pids as the replica itself sees them where the driver can tell, else the host's."""

    pid: int
    command: tuple[str, ...]
    state: str = ""


@dataclass(frozen=True)
class EntryFile:
    """The file that the replica's command line starts, as it lies in the image.

    Attributes:
        path: as found, absolute; as written where it was not found.
        exists: whether it is there.
        mode: permission bits, such as 0o644.
        head: first 256 bytes, decoded as Latin-1.
    """

    path: str
    exists: bool
    mode: int = 0
    head: str = ""


@dataclass(frozen=True)
class ReplicaFacts:
    """What is seen inside one replica at one moment. `None` always means that it could not be seen.

    Attributes:
        taken_at: when.
        attempt: of the replica.
        command: the final command line, entrypoint included.
        sockets: listening TCP sockets.
        processes: its processes, at most 50.
        cpu_s: CPU time used so far by all its processes.
        memory_bytes: in use now, without the page cache where that can be told apart.
        memory_peak_bytes: the most that was ever in use.
        memory_limit_bytes: the limit that is enforced.
        oom_kills: processes that were killed for memory.
        reports_oom: whether `Exit.oom_killed` of this substrate can be believed when it is False.
        shared_memory_bytes: size of /dev/shm.
        entry: the file that the command line starts.
        address: its own IP address, at which ports that are not published may be reached from here.
    """

    taken_at: datetime
    attempt: int = 1
    image: ImageFacts | None = None
    command: tuple[str, ...] = ()
    working_dir: str = ""
    user: str = ""
    sockets: tuple[ListeningSocket, ...] | None = None
    processes: tuple[ProcessFacts, ...] | None = None
    cpu_s: float | None = None
    memory_bytes: int | None = None
    memory_peak_bytes: int | None = None
    memory_limit_bytes: int | None = None
    oom_kills: int | None = None
    reports_oom: bool = False
    shared_memory_bytes: int | None = None
    entry: EntryFile | None = None
    address: str = ""


@dataclass(frozen=True)
class HostFacts:
    """What the machine is that replicas run on; `attributes` are the driver's own, such as the engine's socket."""

    driver: str = ""
    driver_version: str = ""
    architecture: str = ""
    cgroup_version: int | None = None
    cpus: float | None = None
    memory_bytes: int | None = None
    disk_free_bytes: int | None = None
    gpus: tuple[str, ...] = ()
    gpu_runtime: bool | None = None
    attributes: dict[str, str] = field(default_factory=dict)
