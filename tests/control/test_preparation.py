"""A version of files is prepared: files first, for they tell the libraries; then those; then both are recorded."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from modelport.artifacts.base import ArtifactLimits
from modelport.artifacts.cache import ArtifactCache
from modelport.control.preparation import Preparation
from modelport.control.runtimes import Runtimes
from modelport.core.conditions import INSTALLED, ConditionType, Truth
from modelport.core.environments import Environment
from modelport.core.errors import EnvironmentBuildFailed, ModelCannotBeLoaded
from modelport.core.frameworks import Framework
from modelport.core.resources import Version, VersionStatus
from modelport.drivers.fake import FakeDriver
from modelport.store.store import Store
from modelport.wheel import write_wheel
from tests.control.test_runtime_rules import CATALOGUE
from tests.control.test_runtimes import of_files
from tests.control.worlds import NOW

pytestmark = pytest.mark.anyio


class Builder(FakeDriver):
    """Remembers what it was asked to build and to keep, and what the version said meanwhile."""

    def __init__(self, folder: Path, store: Store) -> None:
        super().__init__(folder)
        self.store = store
        self.asked: list[Environment] = []
        self.kept: list[frozenset[str]] = []
        self.said: list[str] = []
        self.failure: EnvironmentBuildFailed | None = None

    async def environment(self, environment: Environment) -> str:
        self.asked.append(environment)
        (version,) = await self.store.read(lambda tx: tx.all(Version))
        self.said += [condition.message for condition in version.status.conditions]
        if self.failure:
            raise self.failure
        return "fake:ok"

    async def prune(self, keep: frozenset[str]) -> None:
        self.kept.append(keep)


class Place:
    def __init__(self, folder: Path) -> None:
        self.model = folder / "model"
        self.model.mkdir()
        self.store = Store(folder / "m.db")
        self.driver = Builder(folder / "logs", self.store)
        artifacts = ArtifactCache(folder / "cache", ArtifactLimits(), {}, (folder,))
        runtimes = Runtimes(CATALOGUE, artifacts, directory=folder / "packages", write_wheel=write_wheel)
        self.preparation = Preparation(
            store=self.store,
            driver=self.driver,
            artifacts=artifacts,
            runtimes=runtimes,
            deadline_s=60,
            now=lambda: NOW,
        )

    async def version(self, **runtime: object) -> Version:
        version = replace(of_files(str(self.model), **runtime), status=VersionStatus())
        return await self.store.write(lambda tx: tx.insert(version))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.store.close()


async def test_what_the_files_tell_is_installed_and_recorded(place: Place) -> None:
    (place.model / "model.joblib").write_text("42")
    prepared = await place.preparation.prepare(await place.version())
    (environment,) = place.driver.asked
    assert environment.requirements == ("numpy==2.4.6", "scikit-learn==1.9.1")
    assert place.driver.said == ["installing scikit-learn 1.9.1 (runtime version 2026.11)"]
    assert (prepared.status.image, prepared.status.framework) == ("fake:ok", Framework.SCIKIT_LEARN)
    assert (await place.preparation.model_dir(prepared)) is not None
    known = {condition.type: condition for condition in prepared.status.conditions}
    assert {condition.status for condition in known.values()} == {Truth.TRUE}
    assert known[ConditionType.IMAGE_PINNED].reason == INSTALLED
    assert known[ConditionType.IMAGE_PINNED].message == "scikit-learn 1.9.1 (runtime version 2026.11)"
    assert known[ConditionType.ARTIFACTS_COPIED].message == "1 files, 2 bytes"


async def test_nothing_is_installed_for_files_that_tell_nothing(place: Place) -> None:
    (place.model / "weights.bin").write_text("42")
    with pytest.raises(ModelCannotBeLoaded, match=r"weights\.bin"):
        await place.preparation.prepare(await place.version())
    assert place.driver.asked == []


async def test_a_failed_installation_records_nothing(place: Place) -> None:
    (place.model / "model.joblib").write_text("42")
    place.driver.failure = EnvironmentBuildFailed("no")
    version = await place.version()
    with pytest.raises(EnvironmentBuildFailed):
        await place.preparation.prepare(version)
    kept = await place.store.read(lambda tx: tx.get(Version, version.name))
    assert (kept.status.image, kept.status.artifact) == ("", "")


async def test_environments_that_versions_use_are_kept(place: Place) -> None:
    (place.model / "model.joblib").write_text("42")
    await place.preparation.prepare(await place.version())
    await place.preparation.prune()
    assert place.driver.kept == [frozenset({"fake:ok"})]
