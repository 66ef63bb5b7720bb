"""The fake driver: the whole conformance suite, and what each scripted image does."""

from __future__ import annotations

import secrets
from pathlib import Path

import anyio
import httpx
import pytest

from modelport.core.errors import ImageNotFound
from modelport.core.replicas import Replica, ReplicaSpec, ReplicaState
from modelport.drivers.fake import FakeDriver
from tests.conformance.driver import DriverConformance, Subject, ask, find, until_state


@pytest.fixture
def log_dir(tmp_path: Path) -> Path:
    return tmp_path / "logs"


class TestFakeDriver(DriverConformance):
    @pytest.fixture
    def subject(self, log_dir: Path) -> Subject:
        return Subject(lambda: FakeDriver(log_dir), "fake:ok", "fake:no-such-kind", runs_programs=False, survives=False)


async def started(driver: FakeDriver, image: str) -> Replica:
    spec = ReplicaSpec(f"mp-m-v-{secrets.token_hex(5)}-0", "projects/p/models/m/versions/v", image)
    await driver.ensure(spec)
    replica = await find(driver, spec.name)
    assert replica is not None
    return replica


@pytest.mark.anyio
async def test_a_slow_replica_is_ready_after_its_time(log_dir: Path) -> None:
    driver = FakeDriver(log_dir)
    replica = await started(driver, "fake:slow?ready=1")
    assert (await ask(replica, "/health")).status_code == 503
    await anyio.sleep(1)
    assert (await ask(replica, "/health")).status_code == 200
    await driver.stop(replica.name, grace_s=0)


@pytest.mark.anyio
async def test_an_unhealthy_replica_still_predicts(log_dir: Path) -> None:
    driver = FakeDriver(log_dir)
    replica = await started(driver, "fake:unhealthy")
    assert (await ask(replica, "/health")).status_code == 500
    assert (await ask(replica, "/predict", {"instances": [1]})).json() == {"predictions": [1]}
    assert (await ask(replica, "/predict", {"rows": [1]})).status_code == 400
    await driver.stop(replica.name, grace_s=0)


@pytest.mark.anyio
async def test_a_replica_that_does_not_listen_runs_but_refuses(log_dir: Path) -> None:
    driver = FakeDriver(log_dir)
    replica = await started(driver, "fake:no-listen")
    assert replica.state is ReplicaState.RUNNING
    with pytest.raises(httpx.ConnectError):
        await ask(replica, "/health")
    await driver.stop(replica.name, grace_s=0)


@pytest.mark.anyio
async def test_a_crash_may_come_later_and_with_any_code(log_dir: Path) -> None:
    driver = FakeDriver(log_dir)
    replica = await started(driver, "fake:crash?after=1&code=9")
    assert (await ask(replica, "/health")).status_code == 200
    dead = await until_state(driver, replica.name, ReplicaState.EXITED)
    assert dead.exit is not None
    assert dead.exit.code == 9
    with pytest.raises(httpx.ConnectError):
        await ask(replica, "/health")


@pytest.mark.anyio
@pytest.mark.parametrize("image", ["python:3.11", "fake", "fake:", "fake:maybe?code=1", "/srv/model"])
async def test_images_of_other_kinds_are_not_found(log_dir: Path, image: str) -> None:
    with pytest.raises(ImageNotFound, match="no image of the fake driver"):
        await FakeDriver(log_dir).pin(image)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("image", "sockets"),
    [("fake:loopback", ["127.0.0.1:8080"]), ("fake:other-port", ["0.0.0.0:5000"]), ("fake:no-listen", [])],
)
async def test_facts_of_a_replica_that_nobody_reaches(log_dir: Path, image: str, sockets: list[str]) -> None:
    driver = FakeDriver(log_dir)
    replica = await started(driver, image)
    facts = await driver.facts(replica.name)
    assert facts is not None
    assert [f"{one.host}:{one.port}" for one in facts.sockets or ()] == sockets
    with pytest.raises(httpx.ConnectError):
        await ask(replica, "/health")
    await driver.stop(replica.name, grace_s=0)


@pytest.mark.anyio
async def test_a_replica_may_be_killed_for_memory(log_dir: Path) -> None:
    driver = FakeDriver(log_dir)
    replica = await started(driver, "fake:oom")
    assert replica.exit is not None
    assert (replica.exit.code, replica.exit.signal, replica.exit.oom_killed) == (137, 9, True)
    facts = await driver.facts(replica.name)
    assert facts is not None
    assert facts.oom_kills == 1
