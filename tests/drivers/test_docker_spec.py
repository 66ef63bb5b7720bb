"""Create bodies as a whole, and replicas read from what real engines showed, as kept in recorded/."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from modelport.core.replicas import Accelerators, Address, EnvVar, Exit, ReplicaSpec, ReplicaState, Resources
from modelport.drivers import docker_spec
from modelport.drivers.docker_spec import ContainerSettings, create_body

IMAGE = "sha256:6ac587f9cc2b5f4b5dce624b657adeafad32dcfdc15a7604a67b005e7e9d5542"
SETTINGS = ContainerSettings("0a1b2c3d", log_bytes=1_000_000, log_files=3)
SPEC = ReplicaSpec(
    "mp-iris-v1-0123456789-0",
    "projects/p/models/iris/versions/v1",
    IMAGE,
    command=("serve", "--port=$(AIP_HTTP_PORT)"),
    args=("--model=$(AIP_STORAGE_URI)", "$(GREETING)"),
    env=(EnvVar("GREETING", "hello"), EnvVar("EMPTY")),
    aip=(EnvVar("AIP_FRAMEWORK", "CUSTOM_CONTAINER"),),
    port=9000,
    model_dir=PurePosixPath("/data/cache/0123"),
    resources=Resources(cpus=0.5, memory_bytes=268435456, pids=64),
    attempt=2,
)
BARE = ReplicaSpec("mp-m-v-0-0", "projects/p/models/m/versions/v", IMAGE)

RECORDED = {engine: json.loads(Path(__file__).with_name("recorded").joinpath(f"{engine}.json").read_text())
            for engine in ("docker", "podman")}  # fmt: skip


def test_a_machine_type_larger_than_the_machine_means_all_of_it() -> None:
    settings = replace(SETTINGS, cpus=2)
    large = replace(SPEC, resources=Resources(cpus=96))
    assert create_body(large, settings)["HostConfig"]["NanoCpus"] == 2_000_000_000


def test_the_create_body_of_a_full_spec() -> None:
    assert create_body(SPEC, SETTINGS) == {
        "Image": IMAGE,
        "Entrypoint": ["serve", "--port=9000"],
        "Cmd": ["--model=/mnt/models", "hello"],
        "Env": [
            "AIP_FRAMEWORK=CUSTOM_CONTAINER",
            "AIP_HTTP_PORT=9000",
            "AIP_STORAGE_URI=/mnt/models",
            "PORT=9000",
            "GREETING=hello",
            "EMPTY=",
        ],
        "ExposedPorts": {"9000/tcp": {}},
        "Labels": {
            "modelport.installation": "0a1b2c3d",
            "modelport.owner": "projects/p/models/iris/versions/v1",
            "modelport.replica": "mp-iris-v1-0123456789-0",
            "modelport.digest": SPEC.digest,
            "modelport.attempt": "2",
            "modelport.port": "9000",
        },
        "HostConfig": {
            "AutoRemove": False,
            "RestartPolicy": {"Name": "no"},
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
            "Init": True,
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "1000000", "max-file": "3"}},
            "PortBindings": {"9000/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]},
            "Mounts": [{"Type": "bind", "Source": "/data/cache/0123", "Target": "/mnt/models", "ReadOnly": True}],
            "NanoCpus": 500_000_000,
            "Memory": 268435456,
            "MemorySwap": 268435456,
            "PidsLimit": 64,
        },
    }


def test_a_bare_spec_leaves_command_limits_and_mounts_to_image_and_engine() -> None:
    body = create_body(replace(BARE, resources=Resources(pids=None)), SETTINGS)
    assert not {"Entrypoint", "Cmd"} & body.keys()
    assert not {"Mounts", "NanoCpus", "Memory", "MemorySwap", "PidsLimit", "DeviceRequests"} & body["HostConfig"].keys()
    assert "AIP_STORAGE_URI=" in body["Env"]


@pytest.mark.parametrize(
    ("command", "args", "entrypoint", "cmd"),
    [
        ((), (), None, None),
        ((), ("--verbose",), None, ["--verbose"]),
        (("serve",), (), ["serve"], []),
        (("serve",), ("--verbose",), ["serve"], ["--verbose"]),
    ],
)
def test_command_and_args_replace_what_the_image_says_as_in_kubernetes(
    command: tuple[str, ...], args: tuple[str, ...], entrypoint: list[str] | None, cmd: list[str] | None
) -> None:
    body = create_body(replace(BARE, command=command, args=args), SETTINGS)
    assert (body.get("Entrypoint"), body.get("Cmd")) == (entrypoint, cmd)


@pytest.mark.parametrize(
    ("spec", "settings", "key", "value"),
    [
        (replace(BARE, resources=Resources(accelerators=Accelerators(2, "NVIDIA_TESLA_T4"))), SETTINGS,
         "DeviceRequests", [{"Count": 2, "Capabilities": [["gpu"]]}]),
        (replace(BARE, port=80), SETTINGS, "Sysctls", {"net.ipv4.ip_unprivileged_port_start": "0"}),
        (BARE, SETTINGS, "Sysctls", None),
        (BARE, replace(SETTINGS, publish=False), "PortBindings", None),
        (BARE, replace(SETTINGS, network="inside"), "NetworkMode", "inside"),
        (BARE, SETTINGS, "NetworkMode", None),
        (BARE, replace(SETTINGS, init=False), "Init", False),
    ],
)  # fmt: skip
def test_host_config(spec: ReplicaSpec, settings: ContainerSettings, key: str, value: Any) -> None:
    assert create_body(spec, settings)["HostConfig"].get(key) == value


@pytest.mark.parametrize("engine", ["docker", "podman"])
@pytest.mark.parametrize(
    ("case", "state", "exit"),
    [
        ("running", ReplicaState.RUNNING, None),
        ("created", ReplicaState.STARTING, None),
        ("exited", ReplicaState.EXITED, (3, None)),
        ("killed", ReplicaState.EXITED, (137, 9)),
        ("out_of_memory", ReplicaState.EXITED, (137, 9)),
        ("command_not_found", ReplicaState.EXITED, (127, None)),
    ],
)
def test_a_recorded_container_is_read(
    engine: str, case: str, state: ReplicaState, exit: tuple[int, int | None] | None
) -> None:
    inspected = RECORDED[engine][case]["inspected"]
    replica = docker_spec.inspected_replica(inspected)
    assert replica.name.startswith("mp-iris-v1-0123456789-")
    assert (replica.owner, replica.attempt) == ("projects/p/models/iris/versions/v1", 1)
    assert replica.state is state
    assert (replica.exit and (replica.exit.code, replica.exit.signal)) == exit
    assert (replica.started_at is None) == (state is ReplicaState.STARTING)
    assert (replica.address is not None) == (state is ReplicaState.RUNNING)
    assert docker_spec.needs_inspection(RECORDED[engine][case]["listed"]) == (state is not ReplicaState.RUNNING)


@pytest.mark.parametrize("engine", ["docker", "podman"])
def test_a_row_of_the_list_and_an_inspection_give_the_same_running_replica(engine: str) -> None:
    shown = RECORDED[engine]["running"]
    assert docker_spec.listed_replica(shown["listed"]) == docker_spec.inspected_replica(shown["inspected"])


def test_only_docker_tells_that_memory_ran_out() -> None:
    kills = [docker_spec.inspected_replica(RECORDED[engine]["out_of_memory"]["inspected"]).exit
             for engine in ("docker", "podman")]  # fmt: skip
    assert [kill and kill.oom_killed for kill in kills] == [True, False]


def test_a_missing_command_is_named() -> None:
    for engine in ("docker", "podman"):
        replica = docker_spec.inspected_replica(RECORDED[engine]["command_not_found"]["inspected"])
        assert "`no-such-command`" in replica.message


def test_a_start_that_docker_refused_has_ended_with_its_reason() -> None:
    replica = docker_spec.inspected_replica(RECORDED["docker"]["start_failed"]["inspected"])
    assert replica.state is ReplicaState.EXITED
    assert replica.exit == Exit(127)
    assert 'exec: "no-such-command": executable file not found' in replica.message


def test_without_a_published_port_the_address_is_the_containers_own() -> None:
    for shown in (RECORDED["docker"]["running"], RECORDED["podman"]["running"]):
        inspected, listed = json.loads(json.dumps((shown["inspected"], shown["listed"])))
        inspected["NetworkSettings"]["Ports"] = {}
        listed["Ports"] = []
        (network,) = inspected["NetworkSettings"]["Networks"].values()
        own = Address(network["IPAddress"], 8080)
        assert docker_spec.inspected_replica(inspected).address == own
        assert docker_spec.listed_replica(listed).address == own


@pytest.mark.parametrize(
    ("change", "fulfilled"),
    [({}, True), ({"attempt": 1}, True), ({"attempt": 3}, False), ({"port": 1}, False), ({"image": "other"}, False)],
)
def test_a_container_fulfils_its_spec_and_earlier_attempts_at_it(change: dict[str, Any], fulfilled: bool) -> None:
    labels = create_body(SPEC, SETTINGS)["Labels"]
    assert docker_spec.fulfils({"Config": {"Labels": labels}}, replace(SPEC, **change)) is fulfilled


@pytest.mark.parametrize("name", ["", "../../etc", "a/b", "a b", "-a", "a" * 192, "a\n", "ü"])
def test_what_cannot_be_a_replica_has_no_container_name(name: str) -> None:
    assert docker_spec.container_name(name, "0a1b2c3d") is None


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-11-21T20:25:47.951555507Z", datetime(2026, 11, 21, 20, 25, 47, 951555, UTC)),
        ("2026-11-21T20:25:47.9Z", datetime(2026, 11, 21, 20, 25, 47, 900000, UTC)),
        ("2026-11-21T20:25:47Z", datetime(2026, 11, 21, 20, 25, 47, 0, UTC)),
        ("2026-11-21T22:25:47+02:00", datetime(2026, 11, 21, 20, 25, 47, 0, UTC)),
        ("0001-01-01T00:00:00Z", None),
        ("", None),
        ("yesterday", None),
    ],
)
def test_engine_times_are_read(text: str, time: datetime | None) -> None:
    assert docker_spec.parse_time(text) == time


@pytest.mark.parametrize(
    ("host", "granted"),
    [
        ({"DeviceRequests": None, "Devices": []}, False),
        ({}, False),
        ({"DeviceRequests": [{"Count": 1}]}, True),
        ({"Devices": [{"PathOnHost": "/dev/nvidia0"}]}, True),
    ],
)
def test_granted_accelerators_are_seen(host: dict[str, Any], granted: bool) -> None:
    assert docker_spec.grants_accelerators({"HostConfig": host}) is granted
