"""What every driver must do with environments; subclass `EnvironmentConformance` and give it a `subject` fixture."""

from __future__ import annotations

import hashlib
import secrets
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pytest

from modelport.core.environments import Environment, PackageFile
from modelport.core.errors import EnvironmentBuildFailed
from modelport.core.replicas import EnvVar, ReplicaSpec, ReplicaState
from modelport.drivers.base import Driver
from tests.conformance.driver import logged, texts, until_state

AIP = (EnvVar("AIP_FRAMEWORK", "SCIKIT_LEARN"), EnvVar("AIP_MODEL_NAME", "m"), EnvVar("AIP_VERSION_NAME", "v"))
# Not the newest one: what the pinned requirement says must win over what the package asks for.
PINNED = "six==1.16.0"
PROGRAM = "import six, sys, tiny; print('has', tiny.__doc__, six.__version__, sys.prefix != sys.base_prefix)"


@dataclass(frozen=True)
class Subject:
    """A driver under test.

    Attributes:
        make: builds a new driver object over the same substrate.
        runs_programs: False for a driver that only plays at installing.
    """

    make: Callable[[], Driver]
    runs_programs: bool = True


def package(folder: Path, name: str, *, requires: str = "") -> PackageFile:
    """Write a wheel with one module that says its own name."""
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        information = f"{name}-1.0.dist-info"
        wheel.writestr(f"{name}.py", f'"""{name}"""\n')
        requirement = f"Requires-Dist: {requires}\n" if requires else ""
        wheel.writestr(f"{information}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{requirement}")
        wheel.writestr(f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{information}/RECORD", "")
    return packed(path)


def packed(path: Path) -> PackageFile:
    return PackageFile(PurePosixPath(path), hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.mark.anyio
class EnvironmentConformance:
    @pytest.fixture
    def driver(self, subject: Subject) -> Driver:
        return subject.make()

    async def test_a_replica_runs_with_what_was_installed(
        self, subject: Subject, driver: Driver, tmp_path: Path
    ) -> None:
        wanted = Environment("", (PINNED,), (package(tmp_path, "tiny", requires="six"),))
        image = await driver.environment(wanted)

        assert await subject.make().environment(wanted) == image
        await driver.prune(frozenset())
        assert await driver.environment(wanted) == image

        if not subject.runs_programs:
            return
        name = f"mp-m-v-{secrets.token_hex(5)}-0"
        spec = ReplicaSpec(name, "projects/p/models/m/versions/v", image, ("python", "-c"), (PROGRAM,), aip=AIP)
        try:
            await driver.ensure(spec)
            replica = await until_state(driver, name, ReplicaState.EXITED)
            assert "has tiny 1.16.0 True" in texts(await logged(driver, name)), replica
        finally:
            await driver.stop(name, grace_s=1)

    async def test_what_cannot_be_installed_says_so_in_the_installers_words(
        self, subject: Subject, driver: Driver, tmp_path: Path
    ) -> None:
        if not subject.runs_programs:
            pytest.skip("it installs nothing")
        broken = tmp_path / "broken-1.0-py3-none-any.whl"
        broken.write_bytes(b"no zip file")

        with pytest.raises(EnvironmentBuildFailed, match=r"(?s)broken-1\.0.*(invalid|zip file)") as caught:
            await driver.environment(Environment("", (), (packed(broken),)))
        assert caught.value.hint
