"""What engines' answers say, in the dialects of Docker and of Podman."""

from __future__ import annotations

import os
from typing import Any

import pytest

from modelport.core.facts import EntryFile, ListeningSocket, ProcessFacts
from modelport.core.replicas import EnvVar
from modelport.drivers import docker_facts, host_facts
from modelport.drivers.cgroups import Usage
from modelport.drivers.container_exec import processes_of, usage_of
from modelport.drivers.container_proc import Inside, RunningContainer, is_here, look_inside
from modelport.drivers.docker_facts import Engine

DOCKER = Engine(podman=False, cgroup_version=1)
SOCKET = ListeningSocket("0.0.0.0", 8080, 7, "python3")


def inspected(**changes: Any) -> dict[str, Any]:
    state = {"Status": "running", "Running": True, "Pid": 4242, "OOMKilled": False, "StartedAt": "2026-11-21T20:00:00Z"}
    return {
        "Id": "abc",
        "Image": "sha256:1",
        "State": state | changes.pop("state", {}),
        "Config": {
            "Entrypoint": ["python3"],
            "Cmd": ["server.py"],
            "WorkingDir": "/app",
            "User": "1000",
            "Labels": {"modelport.attempt": "2"},
        }
        | changes.pop("config", {}),
        "HostConfig": {"Memory": 64 << 20, "ShmSize": 65536000, "NetworkMode": "default"} | changes.pop("host", {}),
        "NetworkSettings": {"Networks": {"bridge": {"IPAddress": "172.17.0.2"}}},
    }


def facts(shown: dict[str, Any], inside: Inside | None = None, kills: int | None = None, reports: bool = True) -> Any:
    return docker_facts.replica_facts(
        shown, image=None, entry=EntryFile("/x", True), inside=inside, watched_kills=kills, reports_oom=reports
    )


def test_facts_of_a_running_container() -> None:
    inside = Inside((SOCKET,), (ProcessFacts(1, ("tini",)),), Usage(1, 2, 3, 4.0, 0))
    found = facts(inspected(), inside)
    assert (found.attempt, found.command, found.working_dir, found.user) == (
        2,
        ("python3", "server.py"),
        "/app",
        "1000",
    )
    assert (found.sockets, found.cpu_s, found.memory_bytes, found.memory_peak_bytes) == ((SOCKET,), 4.0, 1, 2)
    assert (found.memory_limit_bytes, found.shared_memory_bytes, found.address) == (64 << 20, 65536000, "172.17.0.2")


@pytest.mark.parametrize(
    ("state", "usage", "watched", "reports", "kills", "believed"),
    [
        ({"Running": False, "OOMKilled": True}, Usage(), None, True, 1, True),
        ({"Running": False}, Usage(), None, True, 0, True),
        ({"Running": False}, Usage(), None, False, None, False),
        ({"Running": False}, Usage(), 0, False, 0, True),
        ({"Running": False}, Usage(), 3, False, 3, True),
        ({}, Usage(oom_kills=2), None, True, 2, True),
        ({}, Usage(oom_kills=0), 1, False, 1, True),
        ({}, Usage(), None, True, None, True),
    ],
)
def test_what_was_killed_for_memory_is_told_by_whoever_knows(
    state: dict[str, Any], usage: Usage, watched: int | None, reports: bool, kills: int | None, believed: bool
) -> None:
    found = facts(inspected(state=state), Inside(usage=usage), watched, reports)
    assert (found.oom_kills, found.reports_oom) == (kills, believed)


@pytest.mark.parametrize(
    ("engine", "expected"),
    [
        (DOCKER, True),
        (Engine(podman=False, cgroup_version=None), True),
        (Engine(podman=True, cgroup_version=2), True),
        (Engine(podman=True, cgroup_version=1), False),
        (Engine(podman=True, cgroup_version=None), False),
    ],
)
def test_an_engine_that_keeps_silent_about_memory_is_known(engine: Engine, expected: bool) -> None:
    assert engine.reports_oom is expected


@pytest.mark.parametrize(
    ("entrypoint", "cmd", "expected"),
    [
        (["a"], ["b"], ("a", "b")),
        (None, ["b"], ("b",)),
        (["a"], None, ("a",)),
        ("a b", None, ("a b",)),
        (None, None, ()),
    ],
)
def test_a_command_line_begins_with_the_entrypoint(entrypoint: object, cmd: object, expected: tuple[str, ...]) -> None:
    assert docker_facts.command(inspected(config={"Entrypoint": entrypoint, "Cmd": cmd})) == expected


def test_an_image_with_all_that_it_may_say() -> None:
    image = {
        "Id": "sha256:1",
        "Os": "linux",
        "Architecture": "arm64",
        "Size": 5,
        "Config": {
            "User": "app",
            "Env": ["PATH=/bin", "A=b=c", "EMPTY"],
            "Entrypoint": ["/tini", "--"],
            "Cmd": ["serve"],
            "ExposedPorts": {"9000/tcp": {}, "80/tcp": {}, "53/udp": {}, "7000-7001/tcp": {}},
            "WorkingDir": "/app",
        },
    }
    found = docker_facts.image_facts("iris:1", image)
    assert (found.reference, found.id, found.os, found.architecture) == ("iris:1", "sha256:1", "linux", "arm64")
    assert found.env == (EnvVar("PATH", "/bin"), EnvVar("A", "b=c"), EnvVar("EMPTY"))
    assert (found.entrypoint, found.command, found.exposed) == (("/tini", "--"), ("serve",), (80, 9000))
    assert (found.user, found.working_dir, found.size_bytes) == ("app", "/app", 5)


def test_an_image_that_says_nothing() -> None:
    found = docker_facts.image_facts("base", {"Id": "1", "Config": {"Env": None, "ExposedPorts": None}})
    assert (found.env, found.exposed, found.entrypoint, found.command) == ((), (), (), ())


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, RunningContainer("abc", 4242, 1795291200.0)),
        ({"host": {"NetworkMode": "host"}}, RunningContainer("abc", 4242, 1795291200.0, shares_host_network=True)),
        ({"state": {"StartedAt": ""}}, RunningContainer("abc", 4242, None)),
        ({"state": {"Running": False}}, None),
        ({"state": {"Pid": 0}}, None),
    ],
)
def test_only_what_runs_can_be_looked_into(changes: dict[str, Any], expected: RunningContainer | None) -> None:
    assert docker_facts.running_container(inspected(**changes)) == expected


def test_a_process_of_this_machine_is_not_taken_for_a_container_of_another() -> None:
    ourselves = RunningContainer("f" * 64, os.getpid(), started_at=None)
    assert not is_here(ourselves)
    assert look_inside(ourselves) is None
    assert look_inside(RunningContainer("f" * 64, 2**22 + 1, started_at=None)) is None


@pytest.mark.parametrize(
    ("machine", "expected"), [("x86_64", "amd64"), ("aarch64", "arm64"), ("amd64", "amd64"), ("s390x", "s390x")]
)
def test_architectures_have_the_names_of_images(machine: str, expected: str) -> None:
    assert host_facts.architecture(machine) == expected


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ({"Runtimes": {"runc": {}, "nvidia": {}}}, True),
        ({"Runtimes": {"runc": {}}}, False),
        ({"DiscoveredDevices": [{"Source": "cdi", "ID": "nvidia.com/gpu=0"}]}, True),
        ({"Runtimes": None, "DiscoveredDevices": None}, False),
    ],
)
def test_an_engine_tells_whether_it_hands_out_gpus(info: dict[str, Any], expected: bool) -> None:
    assert docker_facts.knows_gpus(info) is expected


def test_processes_are_read_from_either_engine() -> None:
    docker = {"Titles": ["PID", "STAT", "COMMAND"], "Processes": [["8978", "Ss", "python3 -m http.server"]]}
    ours = ["3", "R", "cat /proc/net/tcp /proc/net/tcp6"]  # which looks for sockets at the same time
    podman = {"Titles": ["PID", "STATE", "COMMAND"], "Processes": [["1", "Z", "sleep 600"], ["2 S x"], ours]}
    assert processes_of(docker) == (ProcessFacts(8978, ("python3", "-m", "http.server"), "sleeping"),)
    assert processes_of(podman) == (ProcessFacts(1, ("sleep", "600"), "zombie"),)


@pytest.mark.parametrize(
    ("stats", "expected"),
    [
        (
            {
                "memory_stats": {"usage": 30, "max_usage": 40, "limit": 64, "stats": {"total_inactive_file": 10}},
                "cpu_stats": {"cpu_usage": {"total_usage": 1_500_000_000}},
            },
            Usage(20, 40, 64, 1.5),
        ),
        ({"memory_stats": {"usage": 30, "limit": 64, "stats": {"inactive_file": 5}}}, Usage(25, None, 64)),
        ({"memory_stats": {"usage": 30, "limit": 64}}, Usage(30, None, 64)),
        ({"memory_stats": {}, "cpu_stats": None}, Usage()),
    ],
)
def test_usage_is_read_from_either_engine(stats: dict[str, Any], expected: Usage) -> None:
    assert usage_of(stats) == expected
