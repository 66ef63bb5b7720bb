"""What an engine's answers say of a container, an image and the machine that it runs on.

Pure: knows the Docker Engine API's JSON, in Docker's and in Podman's dialect, and no connection.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from modelport.core.facts import EntryFile, HostFacts, ImageFacts, ReplicaFacts
from modelport.core.replicas import EnvVar
from modelport.drivers import docker_spec
from modelport.drivers.container_proc import Inside, RunningContainer
from modelport.drivers.host_facts import architecture

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Engine:
    """What it is; `cgroup_version` is that of the machine it runs on."""

    podman: bool
    cgroup_version: int | None

    @property
    def reports_oom(self) -> bool:
        """Return whether it always tells when the kernel killed a process of a container for memory.

        Podman's monitor learns it from cgroup v2 alone.
        """
        return not self.podman or self.cgroup_version == 2


def engine_name(version: Json) -> str:
    """Return the engine and its version from `GET /version`."""
    names = [str(component.get("Name", "")) for component in version.get("Components") or ()]
    product = "Podman" if any(name.startswith("Podman") for name in names) else "Docker"
    return f"{product} {version.get('Version', '')}"


def cgroup_version(info: Json) -> int | None:
    """Return the version of control groups from `GET /info`."""
    word = str(info.get("CgroupVersion") or "")
    return int(word) if word.isdigit() else None


def image_facts(reference: str, image: Json) -> ImageFacts:
    """Read an image from `GET /images/NAME/json`."""
    config = image.get("Config") or {}
    return ImageFacts(
        reference=reference,
        id=str(image.get("Id", "")),
        os=str(image.get("Os", "")),
        architecture=architecture(str(image.get("Architecture", ""))),
        user=str(config.get("User") or ""),
        env=tuple(_variable(entry) for entry in config.get("Env") or ()),
        entrypoint=_words(config.get("Entrypoint")),
        command=_words(config.get("Cmd")),
        exposed=_ports(config.get("ExposedPorts") or {}),
        working_dir=str(config.get("WorkingDir") or ""),
        size_bytes=image.get("Size"),
    )


def command(inspected: Json) -> tuple[str, ...]:
    """Return the final command line of a container."""
    config = inspected["Config"]
    return _words(config.get("Entrypoint")) + _words(config.get("Cmd"))


def running_container(inspected: Json) -> RunningContainer | None:
    """Return which process to look at; None for a container that does not run."""
    state = inspected["State"]
    if not state.get("Running") or not state.get("Pid"):
        return None
    started = docker_spec.parse_time(str(state.get("StartedAt", "")))
    return RunningContainer(
        id=str(inspected["Id"]),
        pid=int(state["Pid"]),
        started_at=started.timestamp() if started else None,
        shares_host_network=inspected["HostConfig"].get("NetworkMode") == "host",
    )


def replica_facts(
    inspected: Json,
    *,
    image: ImageFacts | None,
    entry: EntryFile | None,
    inside: Inside | None,
    watched_kills: int | None,
    reports_oom: bool,
) -> ReplicaFacts:
    """Put together what is known of one container.

    Args:
        inspected: `GET /containers/NAME/json`.
        image: its image.
        entry: the file that it starts.
        inside: what is seen in it; None unless it runs.
        watched_kills: what our own watch over its memory saw; None where there is none.
        reports_oom: whether the engine would have told of a process that was killed for memory.
    """
    config, host, state = inspected["Config"], inspected["HostConfig"], inspected["State"]
    inside = inside or Inside()
    usage = inside.usage
    told = 1 if state.get("OOMKilled") else 0 if reports_oom and not state.get("Running") else None
    kills = [count for count in (usage.oom_kills, watched_kills, told) if count is not None]
    return ReplicaFacts(
        taken_at=datetime.now(UTC),
        attempt=docker_spec.attempt_of(inspected),
        image=image,
        command=command(inspected),
        working_dir=str(config.get("WorkingDir") or "/"),
        user=str(config.get("User") or ""),
        sockets=inside.sockets,
        processes=inside.processes,
        cpu_s=usage.cpu_s,
        memory_bytes=usage.memory_bytes,
        memory_peak_bytes=usage.memory_peak_bytes,
        memory_limit_bytes=host.get("Memory") or usage.memory_limit_bytes,
        oom_kills=max(kills) if kills else None,
        reports_oom=reports_oom or watched_kills is not None,
        shared_memory_bytes=host.get("ShmSize") or None,
        entry=entry,
        address=docker_spec.own_host(inspected),
    )


def host_facts(driver: str, version: Json, info: Json, attributes: dict[str, str]) -> HostFacts:
    """Read the engine's machine from `GET /version` and `GET /info`; disk and GPUs are not in it."""
    return HostFacts(
        driver=driver,
        driver_version=engine_name(version),
        architecture=architecture(str(info.get("Architecture", ""))),
        cgroup_version=cgroup_version(info),
        cpus=float(info["NCPU"]) if info.get("NCPU") else None,
        memory_bytes=info.get("MemTotal") or None,
        attributes=attributes,
    )


def knows_gpus(info: Json) -> bool:
    """Return whether the engine says that it can hand GPUs to containers."""
    devices = info.get("DiscoveredDevices") or ()
    return "nvidia" in (info.get("Runtimes") or {}) or any("nvidia" in str(device.get("ID", "")) for device in devices)


def _variable(entry: str) -> EnvVar:
    name, _, value = entry.partition("=")
    return EnvVar(name, value)


def _words(command: object) -> tuple[str, ...]:
    if isinstance(command, str):
        return (command,)
    return tuple(str(word) for word in command) if isinstance(command, list | tuple) else ()


def _ports(exposed: Mapping[str, Any]) -> tuple[int, ...]:
    numbers = (key.partition("/") for key in exposed)
    return tuple(sorted(int(port) for port, _, protocol in numbers if port.isdigit() and protocol in ("", "tcp")))
