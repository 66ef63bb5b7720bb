"""What a replica is to the engine: the body that creates its container, and the replica in what the engine shows.

Pure: knows the Docker Engine API's JSON and no connection.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from modelport.core.environment import invocation
from modelport.core.replicas import Address, Exit, Replica, ReplicaSpec, ReplicaState

MODEL_DIR = "/mnt/models"

INSTALLATION = "modelport.installation"
_OWNER = "modelport.owner"
REPLICA = "modelport.replica"
_DIGEST = "modelport.digest"
_ATTEMPT = "modelport.attempt"
_PORT = "modelport.port"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,190}")
_LOOPBACK = "127.0.0.1"
_PRIVILEGED_PORTS = 1024
_SIGNALS = range(128 + 1, 128 + 32)
_COMMAND_PROBLEMS = {126: "cannot be executed", 127: "was not found"}

# Engines write times with nanoseconds, datetime takes microseconds.
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")

# What is read of a row of `GET /containers/json`.
LISTED = ("State", "Labels", "Ports", "Created", "NetworkSettings")

Json = Mapping[str, Any]


@dataclass(frozen=True)
class ContainerSettings:
    """What is the same for every container of one driver.

    Attributes:
        installation: whose containers these are; two installations on one engine do not see each other's.
        log_bytes: size at which the engine rotates a container's log.
        log_files: rotated logs that the engine keeps, where it can.
        publish: publish the port on loopback; else the container's own address is used.
        network: network to join; empty for the engine's default.
        init: run the engine's init as PID 1, without which most servers ignore SIGTERM.
        cpus: CPUs of the engine's machine, where they are known: Docker refuses a limit above them.
    """

    installation: str
    log_bytes: int
    log_files: int
    publish: bool = True
    network: str = ""
    init: bool = True
    cpus: float | None = None


def container_name(name: str, installation: str) -> str | None:
    """Return the container's name, or None for what cannot be the name of a replica."""
    return f"{name}-{installation}" if _NAME.fullmatch(name) else None


def create_body(spec: ReplicaSpec, settings: ContainerSettings) -> dict[str, Any]:
    """Return the body of `POST /containers/create`."""
    inside = invocation(spec, port=spec.port, storage_uri=MODEL_DIR if spec.model_dir else "")
    port = f"{spec.port}/tcp"
    body: dict[str, Any] = {
        "Image": spec.image,
        "Env": [f"{name}={value}" for name, value in inside.env.items()],
        "ExposedPorts": {port: {}},
        "Labels": {
            INSTALLATION: settings.installation,
            _OWNER: spec.owner,
            REPLICA: spec.name,
            _DIGEST: spec.digest,
            _ATTEMPT: str(spec.attempt),
            _PORT: str(spec.port),
        },
        "HostConfig": _host_config(spec, settings, port),
    }
    if inside.command:
        # As in Kubernetes: with a command of one's own, the image's CMD does not count.
        body["Entrypoint"] = list(inside.command)
        body["Cmd"] = list(inside.args)
    elif inside.args:
        body["Cmd"] = list(inside.args)
    return body


def _host_config(spec: ReplicaSpec, settings: ContainerSettings, port: str) -> dict[str, Any]:
    resources = spec.resources
    config: dict[str, Any] = {
        "AutoRemove": False,
        "RestartPolicy": {"Name": "no"},
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "Init": settings.init,
        "LogConfig": {
            "Type": "json-file",
            "Config": {"max-size": str(settings.log_bytes), "max-file": str(settings.log_files)},
        },
    }
    if settings.publish:
        config["PortBindings"] = {port: [{"HostIp": _LOOPBACK, "HostPort": ""}]}
    if settings.network:
        config["NetworkMode"] = settings.network
    if spec.port < _PRIVILEGED_PORTS:
        # Without capabilities not even root may listen there, unless the namespace says so; Docker's do by default.
        config["Sysctls"] = {"net.ipv4.ip_unprivileged_port_start": "0"}
    if spec.model_dir:
        config["Mounts"] = [{"Type": "bind", "Source": str(spec.model_dir), "Target": MODEL_DIR, "ReadOnly": True}]
    if resources.cpus is not None:
        # A machine type larger than the machine means all of it.
        config["NanoCpus"] = round(min(resources.cpus, settings.cpus or resources.cpus) * 1e9)
    if resources.memory_bytes is not None:
        config["Memory"] = config["MemorySwap"] = resources.memory_bytes
    if resources.pids is not None:
        config["PidsLimit"] = resources.pids
    if resources.accelerators is not None:
        config["DeviceRequests"] = [{"Count": resources.accelerators.count, "Capabilities": [["gpu"]]}]
    return config


def owned_filter(installation: str) -> dict[str, list[str]]:
    """Return the filter for containers of this installation."""
    return {"label": [f"{INSTALLATION}={installation}"]}


def is_unstarted(inspected: Json) -> bool:
    """Return whether the container was created and never ran: its start failed, or its reply was lost."""
    return str(inspected["State"]["Status"]) in ("created", "configured", "initialized")


def fulfils(inspected: Json, spec: ReplicaSpec) -> bool:
    """Return whether this container is what `spec` asks for, or a later attempt at it."""
    labels = inspected["Config"]["Labels"]
    return bool(labels[_DIGEST] == spec.digest and int(labels[_ATTEMPT]) >= spec.attempt)


def grants_accelerators(inspected: Json) -> bool:
    """Return whether the engine took note of the wish for GPUs; Podman 4 forgets it without a word."""
    host = inspected["HostConfig"]
    return bool(host.get("DeviceRequests") or host.get("Devices"))


def attempt_of(inspected: Json) -> int:
    """Return the attempt that the container stands for."""
    return int(inspected["Config"]["Labels"][_ATTEMPT])


def needs_inspection(listed: Json) -> bool:
    """Return whether a row of `GET /containers/json` says too little: why a replica ended, or did not start."""
    return _state(str(listed["State"])) is not ReplicaState.RUNNING


def listed_replica(listed: Json) -> Replica:
    """Read a running replica from a row of `GET /containers/json`."""
    port = int(listed["Labels"][_PORT])
    published = [
        Address(str(entry["IP"]), int(entry["PublicPort"]))
        for entry in listed.get("Ports") or ()
        if entry.get("PublicPort") and entry["PrivatePort"] == port
    ]
    return _replica(
        listed["Labels"],
        state=_state(str(listed["State"])),
        address=published[0] if published else _own_address(listed, port),
        started_at=datetime.fromtimestamp(listed["Created"], UTC),
    )


def inspected_replica(inspected: Json) -> Replica:
    """Read a replica from `GET /containers/NAME/json`."""
    state, config = inspected["State"], inspected["Config"]
    labels = config["Labels"]
    # Docker keeps why a start failed; such a container has ended as far as anybody is concerned.
    if is_unstarted(inspected):
        failed = bool(state.get("Error"))
        return _replica(
            labels,
            state=ReplicaState.EXITED if failed else ReplicaState.STARTING,
            exit=_exit(state) if failed else None,
            message=str(state.get("Error") or ""),
        )
    if _state(str(state["Status"])) is ReplicaState.RUNNING:
        port = int(labels[_PORT])
        bindings = (inspected["NetworkSettings"].get("Ports") or {}).get(f"{port}/tcp")
        published = Address(str(bindings[0]["HostIp"]), int(bindings[0]["HostPort"])) if bindings else None
        created = parse_time(str(inspected["Created"]))
        return _replica(
            labels,
            state=ReplicaState.RUNNING,
            address=published or _own_address(inspected, port),
            started_at=created.replace(microsecond=0) if created else None,
        )
    return _replica(
        labels,
        state=ReplicaState.EXITED,
        exit=_exit(state),
        started_at=parse_time(str(state.get("StartedAt", ""))),
        message=str(state.get("Error") or "") or _command_problem(config, int(state["ExitCode"])),
    )


def parse_time(text: str) -> datetime | None:
    """Read a time as engines write it; None for the zero time and for what is none."""
    match = _TIME.fullmatch(text)
    if match is None or text.startswith("0001-"):
        return None
    zone = "+00:00" if match[3] == "Z" else match[3]
    return datetime.fromisoformat(f"{match[1]}.{(match[2] or '0')[:6]:0<6}{zone}").astimezone(UTC)


def _state(word: str) -> ReplicaState:
    match word:
        case "created" | "configured" | "initialized":
            return ReplicaState.STARTING
        case "exited" | "dead" | "stopped" | "removing":
            return ReplicaState.EXITED
        case _:  # running, paused, restarting, stopping
            return ReplicaState.RUNNING


def _replica(
    labels: Mapping[str, str],
    *,
    state: ReplicaState,
    address: Address | None = None,
    exit: Exit | None = None,
    started_at: datetime | None = None,
    message: str = "",
) -> Replica:
    return Replica(
        name=labels[REPLICA],
        owner=labels[_OWNER],
        digest=labels[_DIGEST],
        attempt=int(labels[_ATTEMPT]),
        state=state,
        address=address,
        exit=exit,
        started_at=started_at,
        message=message,
    )


def own_host(shown: Json) -> str:
    """Return the container's own IP address, or nothing."""
    networks: Mapping[str, Json] = (shown.get("NetworkSettings") or {}).get("Networks") or {}
    return next((str(network["IPAddress"]) for network in networks.values() if network.get("IPAddress")), "")


def _own_address(shown: Json, port: int) -> Address | None:
    host = own_host(shown)
    return Address(host, port) if host else None


def _exit(state: Json) -> Exit:
    code = int(state["ExitCode"])
    return Exit(
        code=code,
        # Engines report death by signal as a shell does.
        signal=code - 128 if code in _SIGNALS else None,
        oom_killed=bool(state.get("OOMKilled")),
        finished_at=parse_time(str(state.get("FinishedAt", ""))),
    )


def _command_problem(config: Json, code: int) -> str:
    """Say which command it was when the init could not run it; a shell reports a program of its own the same way."""
    if code not in _COMMAND_PROBLEMS:
        return ""
    words = [*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ())]
    command = str(words[0])[:200] if words else ""
    return f"`{command}`, or a program that it starts, {_COMMAND_PROBLEMS[code]} (exit code {code})"
