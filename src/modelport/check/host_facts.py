"""What `modelport doctor` looks at on a host, as data; `None` always means that it could not be seen."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from modelport.core.facts import HostFacts


@dataclass(frozen=True)
class Site:
    """Where and with what the platform would run here: the settings that matter to the host."""

    data_dir: Path
    listen: str
    slots: int = 1024
    driver: str = "auto"
    docker_host: str = ""
    haproxy: str = ""


@dataclass(frozen=True)
class EngineFacts:
    """One place where a container engine may be.

    Attributes:
        url: of its API.
        named: by a setting or DOCKER_HOST; else it is one of the usual places.
        error: why it does not answer, with what to do; empty where it answers.
        data_root: where it keeps images and containers, as far as that lies on this machine.
    """

    url: str
    named: bool = False
    error: str = ""
    remedy: str = ""
    api_version: str = ""
    podman: bool = False
    reports_oom: bool = True
    knows_gpus: bool = False
    data_root: str = ""
    host: HostFacts = field(default_factory=HostFacts)


@dataclass(frozen=True)
class FolderFacts:
    """The data directory; `holder` is the pid of a control plane that runs on it, `error` why it cannot be written."""

    path: str
    exists: bool
    error: str = ""
    file_system: str = ""
    free_bytes: int | None = None
    holder: int | None = None


@dataclass(frozen=True)
class PortFacts:
    """The public port: `error` is the errno's name where it cannot be had; `ours`: our own gateway listens there."""

    listen: str
    error: str = ""
    program: str = ""
    pid: int | None = None
    ours: bool = False


@dataclass(frozen=True)
class ProxyFacts:
    """HAProxy: `problem` is why there is none, or what it says to our configuration."""

    path: str = ""
    version: str = ""
    problem: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class LimitFacts:
    """Limits of this process, which its children inherit; `None` is no limit."""

    open_files: int | None
    processes: int | None


@dataclass(frozen=True)
class LoginFacts:
    """Registries that a login is kept for, and credential helpers that are named and not installed; no secrets."""

    file: str
    registries: tuple[str, ...] = ()
    missing_helpers: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class ClockFacts:
    """Seconds by which this clock differs from others, and by which it was moved while it was looked at."""

    of_files_s: float | None = None
    of_platform_s: float | None = None
    moved_s: float = 0.0


@dataclass(frozen=True)
class HostSurvey:
    """All that was seen; a part that gave no answer in time is None and stands in `unanswered`."""

    python: tuple[int, int, int]
    site: Site
    missing_packages: tuple[str, ...] | None = None
    engines: tuple[EngineFacts, ...] | None = None
    folder: FolderFacts | None = None
    engine_disk: tuple[tuple[str, int], ...] = ()
    port: PortFacts | None = None
    proxy: ProxyFacts | None = None
    limits: LimitFacts | None = None
    login: LoginFacts | None = None
    gpus: tuple[str, ...] | None = None
    gpu_runtime: bool | None = None
    clock: ClockFacts | None = None
    unanswered: tuple[str, ...] = ()
