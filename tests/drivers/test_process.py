"""The process driver: the whole conformance suite, and what only processes do."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import anyio
import psutil
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from modelport.core.errors import ImageNotFound, ImageUnauthorized, InvalidArgument, ReplicaCannotStart
from modelport.core.replicas import Accelerators, EnvVar, Exit, ReplicaSpec, ReplicaState, Resources
from modelport.drivers import process_folder
from modelport.drivers.base import DriverState
from modelport.drivers.process import ProcessDriver
from modelport.drivers.process_shims import MARKER, signal_shim
from tests.conformance.driver import (
    DriverConformance,
    Subject,
    ask,
    find,
    host_process_lives,
    logged,
    until,
    until_serving,
    until_state,
)

ECHO = Path(__file__).parents[1] / "images" / "echo"
NAME = "mp-m-v-0123456789-0"
SPEC = ReplicaSpec(NAME, "projects/p/models/m/versions/v", ECHO.as_uri())

CONTROL_PLANE = """
import sys, time
from pathlib import Path
import anyio
from modelport.core.replicas import ReplicaSpec
from modelport.drivers.process import ProcessDriver

async def same(folder): return folder

async def main():
    root = Path(sys.argv[1])
    driver = ProcessDriver(root / "replicas", log_dir=root / "logs", environment_dir=root / "envs", snapshot=same)
    await driver.ensure(ReplicaSpec(sys.argv[2], "projects/p/models/m/versions/v", sys.argv[3]))
    print("started", flush=True)
    await anyio.sleep(60)

anyio.run(main)
"""


async def unchanged(folder: Path) -> Path:
    """Stand in for the artifact cache: the folders of these tests do not change."""
    return folder


def marked_processes(root: Path) -> list[int]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARKER, "").startswith(f"{root}/"):
                found.append(process.pid)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


@pytest.fixture(autouse=True)
def no_orphans(tmp_path: Path) -> Iterator[None]:
    yield
    assert marked_processes(tmp_path) == []


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., ProcessDriver]:
    def make(**arguments: object) -> ProcessDriver:
        given = {"log_dir": tmp_path / "logs", "environment_dir": tmp_path / "envs", "snapshot": unchanged, **arguments}
        return ProcessDriver(tmp_path / "replicas", **given)  # type: ignore[arg-type]

    return make


@pytest.fixture
async def driver(build: Callable[..., ProcessDriver]) -> AsyncIterator[ProcessDriver]:
    driver = build()
    yield driver
    for replica in await driver.list():
        await driver.stop(replica.name, grace_s=0)


class TestProcessDriver(DriverConformance):
    @pytest.fixture
    def driver(self, subject: Subject) -> ProcessDriver:  # the suite ends its own replicas
        return subject.make()  # type: ignore[return-value]

    @pytest.fixture
    def subject(self, tmp_path: Path, build: Callable[..., ProcessDriver]) -> Subject:
        return Subject(build, str(ECHO), str(tmp_path / "no-such-folder"), starts_missing_commands=True)


def with_env(spec: ReplicaSpec = SPEC, **env: str) -> ReplicaSpec:
    return replace(spec, env=tuple(EnvVar(name, value) for name, value in env.items()))


async def until_dead(*pids: int, deadline_s: float = 5) -> None:
    async def alive() -> list[int]:
        return [pid for pid in pids if host_process_lives(pid)]

    await until(alive, lambda living: not living, deadline_s=deadline_s)


@pytest.mark.anyio
async def test_a_replica_survives_the_death_of_its_control_plane(driver: ProcessDriver, tmp_path: Path) -> None:
    command = [sys.executable, "-c", CONTROL_PLANE, str(tmp_path), NAME, SPEC.image]
    async with await anyio.open_process(command, stderr=None) as control_plane:
        assert control_plane.stdout is not None
        await BufferedByteReceiveStream(control_plane.stdout).receive_until(b"started\n", 100)
        control_plane.kill()
    replica = await until_serving(driver, NAME)
    started_at = replica.started_at
    await driver.ensure(SPEC)
    replica = await until_serving(driver, NAME)
    assert (replica.attempt, replica.started_at) == (1, started_at)
    await driver.stop(NAME, grace_s=5)


@pytest.mark.anyio
async def test_a_killed_shim_takes_its_program_with_it(driver: ProcessDriver, tmp_path: Path) -> None:
    await driver.ensure(SPEC)
    server = (await ask(await until_serving(driver, NAME), "/pids")).json()["server"]
    named = anyio.Event()

    async def listen() -> None:
        seen = 0
        async for name in driver.events():
            seen += name == NAME
            if seen == 2:  # the first time it was new to the listener
                named.set()

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(listen)
            await anyio.sleep(0.3)
            assert signal_shim(tmp_path / "replicas" / NAME, signal.SIGKILL)
            await named.wait()
            group.cancel_scope.cancel()
    replica = await until_state(driver, NAME, ReplicaState.EXITED)
    assert replica.exit == Exit(None)
    assert "supervising process was killed" in replica.message
    await until_dead(server)
    await driver.ensure(SPEC)
    assert await find(driver, NAME) == replica
    await driver.ensure(replace(SPEC, attempt=2))
    assert (await until_serving(driver, NAME)).attempt == 2


@pytest.mark.anyio
async def test_what_a_killed_shim_left_behind_ends_on_stop(driver: ProcessDriver, tmp_path: Path) -> None:
    await driver.ensure(with_env(SPAWN="1"))
    pids = (await ask(await until_serving(driver, NAME), "/pids")).json()
    signal_shim(tmp_path / "replicas" / NAME, signal.SIGKILL)
    await until_dead(pids["server"])
    assert host_process_lives(pids["grandchild"])
    await driver.stop(NAME, grace_s=5)
    await until_dead(pids["grandchild"])


@pytest.mark.anyio
async def test_stopping_a_replica_ends_its_grandchildren(driver: ProcessDriver) -> None:
    await driver.ensure(with_env(SPAWN="1"))
    pids = (await ask(await until_serving(driver, NAME), "/pids")).json()
    assert host_process_lives(pids["grandchild"])
    await driver.stop(NAME, grace_s=5)
    assert not host_process_lives(pids["server"])
    assert not host_process_lives(pids["grandchild"])


@pytest.mark.anyio
async def test_a_killed_program_is_reported_and_its_grandchildren_end(driver: ProcessDriver) -> None:
    await driver.ensure(with_env(SPAWN="1"))
    pids = (await ask(await until_serving(driver, NAME), "/pids")).json()
    os.kill(pids["server"], signal.SIGKILL)
    replica = await until_state(driver, NAME, ReplicaState.EXITED, deadline_s=5)
    assert replica.exit is not None
    assert (replica.exit.code, replica.exit.signal) == (None, signal.SIGKILL)
    assert not host_process_lives(pids["grandchild"])


@pytest.mark.anyio
async def test_a_stopped_stop_can_be_taken_up_again(driver: ProcessDriver) -> None:
    await driver.ensure(with_env(STUBBORN="1"))
    await until_serving(driver, NAME)
    with anyio.move_on_after(0.3):
        await driver.stop(NAME, grace_s=60)
    with anyio.fail_after(20):
        await driver.stop(NAME, grace_s=0)
    assert await driver.list() == []


@pytest.mark.anyio
async def test_a_shim_that_hangs_is_killed_with_its_program(
    driver: ProcessDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelport.drivers.process._STOP_MARGIN_S", 0.3)
    await driver.ensure(SPEC)
    server = (await ask(await until_serving(driver, NAME), "/pids")).json()["server"]
    signal_shim(tmp_path / "replicas" / NAME, signal.SIGSTOP)
    with anyio.fail_after(20):
        await driver.stop(NAME, grace_s=0)
    await until_dead(server)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        (("no-such-program", "--x"), 127, "`no-such-program` is not on PATH"),
        (("./missing.sh",), 127, "`./missing.sh` is not there"),
        (("./bad-interpreter",), 127, "interpreter named in its first line"),
        (("./plain.txt",), 126, "`./plain.txt` is not executable"),
        (("./no-shebang",), 126, "has no `#!` line"),
    ],
)
async def test_a_program_that_cannot_be_executed_is_a_dead_replica(
    driver: ProcessDriver, tmp_path: Path, command: tuple[str, ...], code: int, says: str
) -> None:
    folder = tmp_path / "image"
    folder.mkdir()
    for name, text, mode in (
        ("plain.txt", "x", 0o644),
        ("no-shebang", "x", 0o755),
        ("bad-interpreter", "#!/no/such/interpreter\n", 0o755),
    ):
        (folder / name).write_text(text)
        (folder / name).chmod(mode)
    await driver.ensure(replace(SPEC, image=folder.as_uri(), command=command))
    replica = await until_state(driver, NAME, ReplicaState.EXITED)
    assert replica.exit is not None
    assert replica.exit.code == code
    assert says in replica.message
    lines = await logged(driver, NAME)
    assert [line.stream for line in lines] == ["stderr"]
    assert says in lines[0].text


@pytest.mark.anyio
async def test_a_replica_that_never_got_a_shim_counts_as_missing(driver: ProcessDriver, tmp_path: Path) -> None:
    record = process_folder.Record(
        name=NAME, owner=SPEC.owner, digest=SPEC.digest, attempt=1, port=1, argv=("x",), env={}, cwd="/",
        log_folder="", log_bytes=1, log_files=1,
    )  # fmt: skip
    lock = process_folder.create(tmp_path / "replicas", record)
    assert lock is not None
    assert [replica.state for replica in await driver.list()] == [ReplicaState.STARTING]
    os.close(lock)  # as the kernel does when the control plane dies here
    assert await driver.list() == []
    await driver.ensure(SPEC)
    await until_serving(driver, NAME)


@pytest.mark.anyio
async def test_a_process_id_that_now_is_another_program_is_not_hit(driver: ProcessDriver, tmp_path: Path) -> None:
    folder = tmp_path / "replicas" / NAME
    await driver.ensure(with_env(CRASH="1"))
    await until_state(driver, NAME, ReplicaState.EXITED)

    async def held() -> bool:
        return process_folder.is_held(folder)

    await until(held, lambda is_held: not is_held)
    innocent = await anyio.open_process([sys.executable, "-c", "import time; time.sleep(60)"])
    (folder / "running.json").write_text(json.dumps({"shim": innocent.pid, "pid": innocent.pid, "started_at": 0}))
    (folder / "exit.json").unlink()
    assert signal_shim(folder, signal.SIGKILL) is False
    await driver.stop(NAME, grace_s=0)
    await anyio.sleep(0.1)
    assert innocent.returncode is None
    innocent.kill()
    await innocent.aclose()


@pytest.mark.anyio
async def test_the_program_runs_in_its_folder_with_a_marker(driver: ProcessDriver, tmp_path: Path) -> None:
    await driver.ensure(SPEC)
    replica = await until_serving(driver, NAME)
    assert (await ask(replica, "/cwd")).json() == str(ECHO)
    env = (await ask(replica, "/env")).json()
    assert env[MARKER] == str(tmp_path / "replicas" / NAME)
    assert env["PORT"] == env["AIP_HTTP_PORT"] == str(replica.address.port if replica.address else "")
    assert (tmp_path / "replicas" / NAME).stat().st_mode & 0o077 == 0


@pytest.mark.anyio
async def test_images_are_named_by_path_or_url(driver: ProcessDriver, tmp_path: Path) -> None:
    folder = tmp_path / "my model"
    folder.mkdir()
    (tmp_path / "link").symlink_to(folder)
    for image in (str(folder), folder.as_uri(), f"file://localhost{quote(str(folder))}", str(tmp_path / "link")):
        assert await driver.pin(image) == folder.as_uri()


@pytest.mark.anyio
@pytest.mark.parametrize(
    "image",
    ["python:3.11", "gcr.io/p/image@sha256:0", "relative/folder", "", "/dev/null", "file://host/tmp", "http://x/tmp",
     "/tmp/\0", "/" + "x" * 5000, "file://["],
)  # fmt: skip
async def test_what_is_no_folder_is_not_found(driver: ProcessDriver, image: str) -> None:
    with pytest.raises(ImageNotFound, match="is not a folder of this machine"):
        await driver.pin(image)


@pytest.mark.anyio
async def test_images_outside_the_allowed_folders_are_refused(
    build: Callable[..., ProcessDriver], tmp_path: Path
) -> None:
    for name in ("allowed/model", "allowed-too", "secret"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "allowed" / "way-out").symlink_to(tmp_path / "secret")
    driver = build(local_roots=(tmp_path / "allowed",))
    assert await driver.pin(str(tmp_path / "allowed" / "model"))
    for image in ("secret", "allowed/way-out", "allowed/../secret", "allowed-too"):
        with pytest.raises(ImageUnauthorized, match="lies in none of the folders"):
            await driver.pin(str(tmp_path / image))


@pytest.mark.anyio
async def test_an_image_that_was_removed_is_not_found(driver: ProcessDriver, tmp_path: Path) -> None:
    with pytest.raises(ImageNotFound):
        await driver.ensure(replace(SPEC, image=(tmp_path / "gone").as_uri()))


@pytest.mark.anyio
async def test_a_running_replica_outlives_its_image(driver: ProcessDriver, tmp_path: Path) -> None:
    shutil.copytree(ECHO, tmp_path / "image")
    spec = replace(SPEC, image=(tmp_path / "image").as_uri())
    await driver.ensure(spec)
    await until_serving(driver, NAME)
    shutil.rmtree(tmp_path / "image")
    await driver.ensure(spec)
    await until_serving(driver, NAME)


@pytest.mark.anyio
@pytest.mark.slow
async def test_a_replica_whose_folder_was_removed_ends(driver: ProcessDriver, tmp_path: Path) -> None:
    await driver.ensure(with_env(SPAWN="1"))
    pids = (await ask(await until_serving(driver, NAME), "/pids")).json()
    shutil.rmtree(tmp_path / "replicas")
    shutil.rmtree(tmp_path / "logs")
    await until_dead(*pids.values(), deadline_s=15)


@pytest.mark.anyio
async def test_gpus_cannot_be_asked_for(driver: ProcessDriver) -> None:
    resources = Resources(accelerators=Accelerators(1, "NVIDIA_TESLA_T4"))
    with pytest.raises(ReplicaCannotStart, match="assigns no GPUs"):
        await driver.ensure(replace(SPEC, resources=resources))


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", ".new-1"])
async def test_names_cannot_lead_out_of_the_directory(driver: ProcessDriver, name: str) -> None:
    with pytest.raises(InvalidArgument):
        await driver.ensure(replace(SPEC, name=name))
    with pytest.raises(InvalidArgument):
        await driver.stop(name, grace_s=0)


@pytest.mark.anyio
async def test_a_directory_that_cannot_be_written_is_unhealthy(
    build: Callable[..., ProcessDriver], tmp_path: Path
) -> None:
    (tmp_path / "replicas").write_text("not a folder")
    health = await build().health()
    assert health.state is DriverState.UNHEALTHY
    assert "cannot be written" in health.message
    assert health.remedy


@pytest.mark.anyio
async def test_a_shim_that_fails_says_why(build: Callable[..., ProcessDriver], tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("not a folder")
    driver = build()
    with pytest.raises(ReplicaCannotStart, match=r"shim of replica .* failed: NotADirectoryError"):
        await driver.ensure(SPEC)
    assert await driver.list() == []


def test_the_shim_imports_the_standard_library_only() -> None:
    source = "import sys; sys.path.append(sys.argv[1]); import modelport.drivers.process_shim; print(*sys.modules)"
    root = str(Path(process_folder.__file__).parents[2])
    result = subprocess.run([sys.executable, "-I", "-S", "-c", source, root], capture_output=True, check=True)
    imported = {name.partition(".")[0] for name in result.stdout.decode().split()}
    assert imported <= sys.stdlib_module_names | {"modelport", "__main__"}
    assert "dataclasses" not in result.stdout.decode().split()
