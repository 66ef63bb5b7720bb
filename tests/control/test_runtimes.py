"""Environments of versions: libraries by runtime version and framework, modelport itself, packages of the user's."""

from dataclasses import replace
from pathlib import Path

import pytest

from modelport.artifacts.base import ArtifactLimits
from modelport.artifacts.cache import ArtifactCache
from modelport.control.runtimes import Runtimes, described, find_framework
from modelport.core.errors import EnvironmentBuildFailed, ModelCannotBeLoaded
from modelport.core.frameworks import Framework
from modelport.core.replicas import EnvVar
from modelport.core.resources import RuntimeSpec, Version
from modelport.core.version_replicas import replica_spec
from modelport.wheel import write_wheel
from tests.control.test_runtime_rules import CATALOGUE
from tests.control.worlds import version as version_of

pytestmark = pytest.mark.anyio


def of_files(uri: str = "/srv/iris", **runtime: object) -> Version:
    version = version_of()
    spec = RuntimeSpec(**{"runtime_version": "2026.11", **runtime})  # type: ignore[arg-type]
    return replace(version, spec=replace(version.spec, deployment_uri=uri, runtime=spec))


@pytest.fixture
def runtimes(tmp_path: Path) -> Runtimes:
    artifacts = ArtifactCache(tmp_path / "cache", ArtifactLimits(), {}, (tmp_path,))
    return Runtimes(CATALOGUE, artifacts, directory=tmp_path / "packages", write_wheel=write_wheel)


async def test_an_environment_has_pins_modelport_and_the_packages_in_order(runtimes: Runtimes, tmp_path: Path) -> None:
    (tmp_path / "b-1.tar.gz").write_bytes(b"b")
    (tmp_path / "a-1-py3-none-any.whl").write_bytes(b"a")
    uris = (f"{tmp_path}/b-1.tar.gz", f"file://{tmp_path}/a-1-py3-none-any.whl")
    made = await runtimes.environment(of_files(package_uris=uris, python_version="3.12"), Framework.SCIKIT_LEARN)
    assert (made.python, made.requirements) == ("3.12", ("numpy==2.4.6", "scikit-learn==1.9.1"))
    own, *packages = made.packages
    assert own.path.name.startswith("modelport-")
    assert own.requirement == f"{own.path}[server]"
    assert [package.path.name for package in packages] == ["b-1.tar.gz", "a-1-py3-none-any.whl"]
    again = await runtimes.environment(of_files(package_uris=uris, python_version="3.12"), Framework.SCIKIT_LEARN)
    assert again.digest == made.digest


async def test_other_contents_of_a_package_are_another_environment(runtimes: Runtimes, tmp_path: Path) -> None:
    version = of_files(package_uris=(f"{tmp_path}/a-1.tar.gz",))
    digests = set()
    for content in (b"one", b"other"):
        (tmp_path / "a-1.tar.gz").write_bytes(content)
        digests.add((await runtimes.environment(version, None)).digest)
    assert len(digests) == 2


async def test_a_package_that_cannot_be_had_says_which_and_why(runtimes: Runtimes, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentBuildFailed, match=r"absent-1\.whl"):
        await runtimes.environment(of_files(package_uris=(f"{tmp_path}/absent-1.whl",)), None)
    folder = tmp_path / "folder.tar.gz"
    folder.mkdir()
    (folder / "file").touch()
    with pytest.raises(EnvironmentBuildFailed, match="is a folder of 1 files; wanted one file"):
        await runtimes.environment(of_files(package_uris=(str(folder),)), None)


async def test_a_runtime_version_that_has_left_the_catalogue_is_named(runtimes: Runtimes) -> None:
    with pytest.raises(EnvironmentBuildFailed, match=r"`1999\.1` is not in the catalogue any more"):
        await runtimes.environment(of_files(runtime_version="1999.1"), None)


@pytest.mark.parametrize(
    ("runtime", "found", "aip", "told"),
    [
        ({"framework": "XGBOOST"}, "XGBOOST", "XGBOOST", EnvVar("MODELPORT_SERVER_FRAMEWORK", "XGBOOST")),
        ({}, "SCIKIT_LEARN", "SCIKIT_LEARN", EnvVar("MODELPORT_SERVER_FRAMEWORK", "SCIKIT_LEARN")),
        ({"prediction_class": "a.B"}, "", "", EnvVar("MODELPORT_SERVER_PREDICTOR", "a.B")),
    ],
)
def test_replicas_run_modelports_server_which_is_told_what_to_serve(
    runtime: dict[str, str], found: str, aip: str, told: EnvVar
) -> None:
    version = of_files(**runtime)
    version = replace(version, status=replace(version.status, framework=found))
    spec = replica_spec(version, 0, attempt=1, model_dir=None)
    assert spec.command == ("python", "-m", "modelport.server")
    assert EnvVar("AIP_FRAMEWORK", aip) in spec.aip
    assert spec.env == (told,)


def test_files_tell_the_framework_where_the_version_does_not() -> None:
    assert find_framework(of_files(), ["notes.md", "model.joblib"]) is Framework.SCIKIT_LEARN
    assert find_framework(of_files(framework="XGBOOST"), ["model.joblib"]) is Framework.XGBOOST
    assert find_framework(of_files(prediction_class="a.B"), ["weights.bin"]) is None


def test_files_that_tell_nothing_are_named() -> None:
    with pytest.raises(ModelCannotBeLoaded, match=r"`/srv/iris`: a\.bin, b\.bin"):
        find_framework(of_files(), ["b.bin", "a.bin"])


def test_what_is_installed_is_described_by_what_people_choose_it_for() -> None:
    version = of_files(package_uris=("gs://b/code-1.tar.gz",))
    assert described(version, Framework.SCIKIT_LEARN, CATALOGUE) == (
        "scikit-learn 1.9.1, code-1.tar.gz (runtime version 2026.11)"
    )
    assert described(of_files(), None, CATALOGUE) == "modelport's server (runtime version 2026.11)"
