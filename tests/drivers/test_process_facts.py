"""What is seen of processes of this machine, and of nobody else's."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from modelport.core.facts import ReplicaFacts
from modelport.core.replicas import ReplicaSpec
from modelport.drivers.process import ProcessDriver
from tests.conformance.driver import OWNER, until, until_serving

pytestmark = pytest.mark.anyio

ECHO = Path(__file__).parents[1] / "images" / "echo"
SPEC = ReplicaSpec("mp-m-v-0123456789-0", OWNER, ECHO.as_uri())


@pytest.fixture
async def driver(tmp_path: Path) -> AsyncIterator[ProcessDriver]:
    async def same(folder: Path) -> Path:
        return folder

    made = ProcessDriver(
        tmp_path / "replicas", log_dir=tmp_path / "logs", environment_dir=tmp_path / "envs", snapshot=same
    )
    yield made
    for replica in await made.list():
        await made.stop(replica.name, grace_s=0)


async def facts_of(driver: ProcessDriver, name: str) -> ReplicaFacts:
    facts = await driver.facts(name)
    assert facts is not None
    return facts


async def test_replicas_on_one_machine_do_not_see_sockets_of_others(driver: ProcessDriver) -> None:
    other = replace(SPEC, name="mp-m-v-0123456789-1")
    with socket.create_server(("127.0.0.1", 0)):
        await driver.ensure(SPEC)
        await driver.ensure(other)
        ports = [(await until_serving(driver, spec.name)).address for spec in (SPEC, other)]
        seen = [(await facts_of(driver, spec.name)).sockets for spec in (SPEC, other)]
    assert [[one.port for one in sockets or ()] for sockets in seen] == [[port.port] for port in ports if port]


async def test_a_child_of_a_shell_belongs_to_the_replica(driver: ProcessDriver) -> None:
    line = "python3 -m http.server --bind 127.0.0.1 $AIP_HTTP_PORT; exit 1"
    await driver.ensure(replace(SPEC, command=("sh", "-c", line)))
    facts = await until(lambda: facts_of(driver, SPEC.name), lambda facts: bool(facts.sockets))
    assert (facts.processes or ())[0].command[0] == "sh"
    assert (facts.sockets or ())[0].loopback
    assert (facts.sockets or ())[0].pid == (facts.processes or ())[1].pid
    assert facts.entry is not None
    assert facts.entry.path.endswith("/sh")


async def test_a_program_without_a_socket_listens_nowhere(driver: ProcessDriver) -> None:
    await driver.ensure(replace(SPEC, command=("sleep", "60")))
    assert (await facts_of(driver, SPEC.name)).sockets == ()


async def test_a_command_that_is_not_there_is_an_entry_that_does_not_exist(driver: ProcessDriver) -> None:
    await driver.ensure(replace(SPEC, command=("no-such-command",)))
    facts = await facts_of(driver, SPEC.name)
    assert facts.entry is not None
    assert (facts.entry.path, facts.entry.exists) == ("no-such-command", False)


async def test_a_folder_tells_how_it_starts(driver: ProcessDriver, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text('FROM python\nENV A=1\nENTRYPOINT ["python", "serve.py"]\n')
    facts = await driver.image_facts(str(tmp_path))
    assert facts is not None
    assert (facts.entrypoint, facts.working_dir, facts.env[0].name) == (("python", "serve.py"), str(tmp_path), "A")


async def test_the_host_is_this_machine(driver: ProcessDriver) -> None:
    facts = await driver.host_facts()
    assert (facts.cpus or 0) >= 1
    assert (facts.disk_free_bytes or 0) > 0
    assert facts.architecture
