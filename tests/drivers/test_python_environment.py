"""Environments: built once and whole, by a program in place of uv but for some tests, where the real one installs."""

import os
import sys
import time
from pathlib import Path, PurePosixPath

import anyio
import psutil
import pytest
from anyio.lowlevel import checkpoint

from modelport.core.environments import Environment, PackageFile
from modelport.core.errors import EnvironmentBuildFailed, NoSpace
from modelport.drivers.environment_folder import prune
from modelport.drivers.python_environment import build, find_python
from tests.conformance.environments import package

pytestmark = pytest.mark.anyio

NUMPY = Environment(
    "3.11", ("numpy==2.4.6", "orjson==3.13.0"), (PackageFile(PurePosixPath("/a b/x-1.whl"), "0", ("s",)),)
)
# Stands where uv stands: makes an empty folder as a virtual environment, and installs as $INSTALL says.
UV = """#!/bin/sh
printf '%s\\n' "$*" >> "$CALLS"
case "$1" in
    venv) for last; do :; done; mkdir "$last" ;;
    pip) eval "$INSTALL" ;;
esac
"""


class Place:
    def __init__(self, folder: Path) -> None:
        self.directory = folder / "data" / "environments"
        self.uv = folder / "uv"
        self.uv.write_text(UV)
        self.uv.chmod(0o755)
        self._calls = folder / "calls"

    @property
    def installs(self) -> list[str]:
        return [line for line in self._calls.read_text().splitlines() if line.startswith("pip ")]

    async def build(self, environment: Environment = NUMPY, *, install: str = "true", **options: object) -> Path:
        environ = {**os.environ, "CALLS": str(self._calls), "INSTALL": install}
        python = Path(sys.executable)
        return await build(self.directory, environment, python=python, uv=self.uv, environ=environ, **options)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


async def test_pins_and_packages_are_handed_to_the_installer_as_they_are(place: Place) -> None:
    folder = await place.build()
    assert folder == place.directory / NUMPY.digest
    assert (folder / "requirements.txt").read_text() == "numpy==2.4.6\norjson==3.13.0\n"
    (call,) = place.installs
    assert "--compile-bytecode" not in call
    assert call.endswith(".venv/bin/python numpy==2.4.6 orjson==3.13.0 /a b/x-1.whl[s]")


async def test_several_that_ask_at_once_share_one_build(place: Place) -> None:
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(lambda: place.build(install="sleep 0.3"))
    await place.build()
    assert len(place.installs) == 1


async def test_a_failure_tells_the_last_lines_and_leaves_nothing_behind(place: Place) -> None:
    with pytest.raises(EnvironmentBuildFailed) as caught:
        await place.build(install="seq 1000; echo 'ERROR: No matching distribution found for nunpy' >&2; exit 1")
    first, *_, last = caught.value.message.splitlines()
    assert first == "The libraries cannot be installed (exit code 1):"
    assert last == "ERROR: No matching distribution found for nunpy"
    assert len(caught.value.message) < 1000
    assert not (place.directory / NUMPY.digest).exists()
    assert (await place.build() / "complete").exists()


async def test_a_long_complaint_is_told_from_its_beginning_to_its_end(place: Place) -> None:
    with pytest.raises(EnvironmentBuildFailed) as caught:
        await place.build(
            install="seq 100; echo 'ERROR: Cannot install a and b'; seq 200 299; echo 'ERROR: no'; exit 1"
        )
    lines = caught.value.message.splitlines()
    assert lines[1:3] == ["ERROR: Cannot install a and b", "200"]
    assert lines[-2:] == ["299", "ERROR: no"]
    assert len(lines) < 12


async def test_a_full_disk_is_told_as_such(place: Place) -> None:
    words = "cause: failed to write to file /cache/x.so: No space left on device (os error 28)"
    with pytest.raises(NoSpace):
        await place.build(install=f"echo 'error: Failed to download'; echo '{words}'; exit 1")
    assert (await place.build() / "complete").exists()


async def test_whoever_is_cancelled_ends_the_installer_with_all_that_it_started(place: Place, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    with anyio.move_on_after(10) as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: place.build(install=f"sleep 1000 & echo $! > {pids}; wait"))
            while not (pids.exists() and pids.read_text().strip()):
                await checkpoint()  # no longer: it may have started before whoever started it knows
            tasks.cancel_scope.cancel()
    assert not scope.cancelled_caught
    with anyio.fail_after(20):  # it was killed; the kernel may take a moment
        while _runs(int(pids.read_text())):
            await anyio.sleep(0.02)
    assert not (place.directory / NUMPY.digest).exists()


async def test_what_a_killed_builder_left_is_built_anew_once_its_installer_has_ended(
    place: Place, tmp_path: Path
) -> None:
    started, ended = tmp_path / "started", tmp_path / "ended"
    program = (
        "import anyio, os, sys; from pathlib import Path, PurePosixPath;"
        "from modelport.core.environments import Environment;"
        "from modelport.drivers.python_environment import build;"
        f"anyio.run(lambda: build(Path({str(place.directory)!r}), Environment('3.11', ('a==1',)),"
        f" python=Path(sys.executable), uv=Path({str(place.uv)!r})))"
    )
    environ = {**os.environ, "CALLS": str(tmp_path / "calls"), "INSTALL": f"touch {started}; sleep 1; touch {ended}"}
    with anyio.fail_after(20):
        async with await anyio.open_process([sys.executable, "-c", program], env=environ, stdout=None) as builder:
            while not started.exists():
                await anyio.sleep(0.02)
            builder.kill()
        assert not ended.exists()
        folder = await place.build(Environment("3.11", ("a==1",)))
    assert ended.exists()
    assert (folder / "complete").exists()
    assert len(place.installs) == 2


async def test_the_installer_gets_the_configuration_of_pip_and_nothing_that_leads_into_another_python(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.invalid/simple")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    await place.build(install=f'echo "$UV_DEFAULT_INDEX $PYTHONPATH" > {tmp_path}/env')
    assert (tmp_path / "env").read_text() == "https://index.invalid/simple \n"


async def test_an_environment_is_pruned_once_nobody_needs_it_or_has_asked_for_it_lately(place: Place) -> None:
    kept, asked, old = [await place.build(Environment("", (f"a=={n}",))) for n in range(3)]
    for folder in (kept, asked, old):
        os.utime(folder / "complete", (time.time() - 100, time.time() - 100))
    await place.build(Environment("", ("a==1",)))
    await prune(place.directory, frozenset({kept.name}), unused_s=50)
    assert [folder.exists() for folder in (kept, asked, old)] == [True, True, False]
    assert (await place.build(Environment("", ("a==2",)))).exists()


async def test_what_is_being_built_is_not_pruned(place: Place) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: place.build(install="sleep 0.5"))
        while not (place.directory / NUMPY.digest).exists():
            await anyio.sleep(0.02)
        await prune(place.directory, frozenset(), unused_s=-1)
    assert (place.directory / NUMPY.digest / "complete").exists()


def test_the_python_that_runs_is_the_one_for_its_own_version_and_for_none() -> None:
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert find_python("") == find_python(own) == Path(sys.executable)


def test_a_python_that_is_not_there_is_named_with_the_one_that_is() -> None:
    with pytest.raises(EnvironmentBuildFailed, match=r"no Python 3\.99 on this machine; modelport itself runs on 3\."):
        find_python("3.99")


@pytest.mark.slow
async def test_the_real_installer_installs_a_package_that_the_environments_python_imports(tmp_path: Path) -> None:
    environment = Environment("", (), (package(tmp_path, "tiny_thing"),))
    environ = {**os.environ, "PIP_NO_INDEX": "1"}
    folder = await build(tmp_path / "envs", environment, python=Path(sys.executable), environ=environ)
    command = [folder / ".venv" / "bin" / "python", "-c", "import tiny_thing; print(tiny_thing.__doc__)"]
    answer = await anyio.run_process(command)
    assert answer.stdout == b"tiny_thing\n"


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
