"""What real engines' containers look like from outside: sockets, processes, memory that ran out, entry files."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

import anyio
import pytest

from modelport.core.errors import FailedPrecondition, ReplicaCannotStart
from modelport.core.facts import ReplicaFacts
from modelport.core.replicas import EnvVar, Replica, ReplicaSpec, ReplicaState, Resources
from modelport.drivers import docker_entry
from modelport.drivers.container_exec import look_through_engine
from modelport.drivers.docker import DockerDriver
from modelport.drivers.docker_networks import internal_network
from tests.conformance.driver import OWNER, find, logged, texts, until, until_logged, until_serving, until_state
from tests.engines.fixtures import ECHO_IMAGE

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.anyio]

SMALL = Resources(memory_bytes=64 * 1024**2)
GREEDY = "import sys; print('begun', flush=True); x = bytearray(200 << 20)"
# As gunicorn does: a parent that lives on when a worker is killed, and starts another.
PARENT = f"""
import subprocess, sys, time
while True:
    worker = subprocess.run([sys.executable, "-c", {GREEDY!r}])
    print("worker ended with", worker.returncode, flush=True)
    time.sleep(0.3)
"""


@pytest.fixture
async def driver(echo_engine: str, tmp_path: Path) -> AsyncIterator[DockerDriver]:
    async with DockerDriver(echo_engine, installation=secrets.token_hex(4), log_dir=tmp_path / "logs") as made:
        yield made
        for replica in await made.list():
            await made.stop(replica.name, grace_s=0)


@pytest.fixture
async def echo(driver: DockerDriver) -> ReplicaSpec:
    return ReplicaSpec(f"mp-m-v-{secrets.token_hex(5)}-0", OWNER, await driver.pin(ECHO_IMAGE))


async def facts_of(driver: DockerDriver, name: str) -> ReplicaFacts:
    facts = await driver.facts(name)
    assert facts is not None
    return facts


async def ended(driver: DockerDriver, spec: ReplicaSpec) -> tuple[Replica, ReplicaFacts]:
    await driver.ensure(spec)
    replica = await until_state(driver, spec.name, ReplicaState.EXITED)
    return replica, await facts_of(driver, spec.name)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("python3", "-c", GREEDY), 137),
        (("sh", "-c", f'python3 -c "{GREEDY}"; exit 3'), 3),
    ],
    ids=["at-once", "child-of-a-shell"],
)
async def test_memory_that_ran_out_is_known_after_death(
    driver: DockerDriver, echo: ReplicaSpec, command: tuple[str, ...], code: int
) -> None:
    replica, facts = await ended(driver, replace(echo, command=command, resources=SMALL))
    assert replica.exit is not None
    assert (replica.exit.code, replica.exit.oom_killed) == (code, True)
    assert (facts.oom_kills or 0, facts.reports_oom) == (1, True)
    assert facts.memory_limit_bytes == SMALL.memory_bytes


async def test_memory_that_ran_out_in_a_worker_is_known_while_its_parent_lives(
    driver: DockerDriver, echo: ReplicaSpec
) -> None:
    await driver.ensure(replace(echo, command=("python3", "-c", PARENT), resources=SMALL))
    await until_logged(driver, echo.name, "worker ended with -9")
    facts = await until(lambda: facts_of(driver, echo.name), lambda facts: bool(facts.oom_kills))
    assert (facts.oom_kills or 0) >= 1
    replica = await find(driver, echo.name)
    assert replica is not None
    assert replica.state is ReplicaState.RUNNING


@pytest.mark.parametrize("command", [("sh", "-c", "exit 137"), ("sh", "-c", "kill -9 $$"), ("true",)], ids=str)
async def test_an_end_for_another_reason_is_not_taken_for_memory(
    driver: DockerDriver, echo: ReplicaSpec, command: tuple[str, ...]
) -> None:
    replica, facts = await ended(driver, replace(echo, command=command, resources=SMALL))
    assert replica.exit is not None
    assert not replica.exit.oom_killed
    assert (facts.oom_kills, facts.reports_oom) == (0, True)


async def test_a_driver_that_came_later_watches_over_memory_too(
    driver: DockerDriver, echo: ReplicaSpec, tmp_path: Path
) -> None:
    program = f"import time; time.sleep(3); {GREEDY}"
    await driver.ensure(replace(echo, command=("python3", "-c", program), resources=SMALL))
    await driver.close()
    assert (await facts_of(driver, echo.name)).oom_kills == 0
    replica = await until_state(driver, echo.name, ReplicaState.EXITED)
    assert replica.exit is not None
    assert replica.exit.oom_killed
    assert (await facts_of(driver, echo.name)).oom_kills == 1


async def test_a_watch_is_let_go_with_its_container(driver: DockerDriver, echo: ReplicaSpec) -> None:
    before = open_descriptors()
    for _ in range(3):
        await ended(driver, replace(echo, command=("true",), resources=SMALL))
        await driver.stop(echo.name, grace_s=0)
    assert open_descriptors() <= before + 3  # connections to the engine


async def test_it_is_logged_when_memory_cannot_be_watched(
    driver: DockerDriver,
    echo: ReplicaSpec,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("modelport.drivers.docker_observer.group_of", lambda container: None)
    _, facts = await ended(driver, replace(echo, command=("true",), resources=SMALL))
    assert facts.reports_oom == ("is not watched" not in caplog.text)


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_the_engine_tells_what_proc_tells(driver: DockerDriver, echo: ReplicaSpec) -> None:
    await driver.ensure(echo)
    await until_serving(driver, echo.name)
    facts = await facts_of(driver, echo.name)
    container = await driver._inspect(echo.name)
    assert container is not None
    podman = "Podman" in (await driver.health()).version
    told = await look_through_engine(driver._client, container["Id"], podman=podman)
    assert facts.sockets is not None
    assert told.sockets == tuple(replace(socket, pid=None, program="") for socket in facts.sockets)
    assert {process.command[-1] for process in told.processes or ()} == {
        process.command[-1] for process in facts.processes or ()
    }
    assert (told.usage.cpu_s or 0) > 0
    assert (told.usage.memory_bytes or 0) > 1024**2


async def test_only_sockets_of_the_replica_itself_are_shown(driver: DockerDriver, echo: ReplicaSpec) -> None:
    # In a network that a user made, Docker's own name server listens inside the container.
    async with internal_network(driver._host, f"mp-test-{secrets.token_hex(4)}") as network:
        driver._settings = replace(driver._settings, network=network, publish=False)
        server = "from http.server import *; HTTPServer(('127.0.0.1', 5000), BaseHTTPRequestHandler).serve_forever()"
        await driver.ensure(replace(echo, command=("python3", "-c", server)))
        facts = await until(lambda: facts_of(driver, echo.name), lambda facts: bool(facts.sockets))
        assert [(one.host, one.port, one.loopback) for one in facts.sockets or ()] == [("127.0.0.1", 5000, True)]
        await driver.stop(echo.name, grace_s=0)


async def test_an_internal_network_has_no_way_out_and_a_way_in(driver: DockerDriver, echo: ReplicaSpec) -> None:
    name = f"mp-test-{secrets.token_hex(4)}"
    async with internal_network(driver._host, name):
        driver._settings = replace(driver._settings, network=name, publish=False)
        await driver.ensure(echo)
        replica = await until_serving(driver, echo.name)
        assert replica.address is not None
        assert replica.address.host == (await facts_of(driver, echo.name)).address
        out = "import socket; socket.create_connection(('192.0.2.1', 80), 3)"
        other = replace(echo, name=f"{echo.name}1", command=("python3", "-c", out))
        await ended(driver, other)
        # Without a route it fails at once; old versions of Docker drop what is sent.
        assert any("Error" in text for text in texts(await logged(driver, other.name), "stderr"))
        with pytest.raises(FailedPrecondition):
            async with internal_network(driver._host, name):
                pass
        for spec in (echo, other):
            await driver.stop(spec.name, grace_s=0)


async def test_an_internal_network_goes_with_what_is_still_in_it(driver: DockerDriver, echo: ReplicaSpec) -> None:
    name = f"mp-test-{secrets.token_hex(4)}"
    for _ in range(2):
        async with internal_network(driver._host, name):
            driver._settings = replace(driver._settings, network=name, publish=False)
            await driver.ensure(echo)
            await until_serving(driver, echo.name)
        await driver.stop(echo.name, grace_s=0)


@pytest.mark.parametrize(
    ("command", "path", "executable"),
    [
        (("python3", "-c", ""), "/usr/bin/python3", True),
        (("sh", "-c", "true"), "/usr/bin/sh", True),
        (("/bin/sh", "-c", "true"), "/bin/sh", True),
        (("/etc/hostname.none",), "/etc/hostname.none", None),
        (("no-such-command",), "no-such-command", None),
        (("/etc/os-release",), "/etc/os-release", False),
    ],
    ids=str,
)
async def test_the_entry_is_found_in_a_container_that_has_ended(
    driver: DockerDriver, echo: ReplicaSpec, command: tuple[str, ...], path: str, executable: bool | None
) -> None:
    _, facts = await ended(driver, replace(echo, command=command))
    assert facts.entry is not None
    assert facts.entry.path == path
    assert facts.entry.exists is (executable is not None)
    assert bool(facts.entry.mode & 0o111) is bool(executable)
    container = await driver._inspect(echo.name)
    assert container is not None
    # An engine of another machine is asked for the file, with the same result.
    assert await docker_entry.container_entry(driver._client, container, local=False) == facts.entry


async def test_a_container_that_could_not_start_has_its_entry(driver: DockerDriver, echo: ReplicaSpec) -> None:
    driver._settings = replace(driver._settings, init=False)  # then it is the engine that starts the command
    with pytest.raises(ReplicaCannotStart):
        await driver.ensure(replace(echo, command=("/etc/os-release",), resources=SMALL))
    facts = await facts_of(driver, echo.name)
    assert facts.entry is not None
    assert (facts.entry.path, facts.entry.mode & 0o111, facts.sockets) == ("/etc/os-release", 0, None)
    assert facts.entry.head.startswith("PRETTY_NAME")


async def test_an_entry_in_the_model_folder_is_found_there(
    driver: DockerDriver, echo: ReplicaSpec, tmp_path: Path
) -> None:
    script = tmp_path / "model" / "start.sh"
    script.parent.mkdir()
    script.write_bytes(b"#!/bin/sh\r\ntrue\r\n")
    script.chmod(0o755)
    model_dir = PurePosixPath(script.parent)
    _, facts = await ended(driver, replace(echo, command=("/mnt/models/start.sh",), model_dir=model_dir))
    assert facts.entry is not None
    assert (facts.entry.path, facts.entry.mode, facts.entry.head[:11]) == (
        "/mnt/models/start.sh",
        0o755,
        "#!/bin/sh\r\n",
    )


async def test_looking_ten_times_a_second_is_cheap(driver: DockerDriver, echo: ReplicaSpec) -> None:
    await driver.ensure(replace(echo, env=(EnvVar("A", "1"),)))
    await until_serving(driver, echo.name)
    await facts_of(driver, echo.name)
    with anyio.fail_after(20):
        for _ in range(20):
            assert (await facts_of(driver, echo.name)).sockets


async def test_an_engine_that_is_away_costs_facts_and_no_error(tmp_path: Path) -> None:
    async with DockerDriver(f"unix://{tmp_path}/none.sock", installation="x", log_dir=tmp_path) as driver:
        assert await driver.facts("mp-m-v-0123456789-0") is None
        assert await driver.image_facts("iris:1") is None
        assert (await driver.host_facts()).driver == "docker"


async def test_the_host_is_described(driver: DockerDriver) -> None:
    facts = await driver.host_facts()
    assert facts.driver_version.startswith(("Docker ", "Podman "))
    assert facts.architecture in ("amd64", "arm64")
    assert facts.cgroup_version in (1, 2)
    assert (facts.cpus or 0) >= 1
    assert (facts.memory_bytes or 0) > 1024**3
    assert (facts.disk_free_bytes or 0) > 0
    assert facts.attributes["engine"] == driver._host
