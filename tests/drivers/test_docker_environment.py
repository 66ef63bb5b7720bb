"""Environments as images: the conformance suite on real engines, both ways of making one, and what is put into them."""

from __future__ import annotations

import json
import logging
import platform
import secrets
import tarfile
import time
from collections.abc import AsyncIterator, Iterable
from io import BytesIO
from pathlib import Path, PurePosixPath

import aiodocker
import pytest

from modelport.core.environments import Environment, PackageFile
from modelport.core.errors import EnvironmentBuildFailed
from modelport.drivers.archive_stream import pack
from modelport.drivers.docker import DockerDriver
from modelport.drivers.docker_environment import (
    EnvironmentImages,
    EnvironmentSettings,
    Way,
    build_context,
    dockerfile,
    image_tag,
)
from tests.conformance.environments import EnvironmentConformance, Subject
from tests.engines import engine_api
from tests.engines.fixtures import BASE_IMAGE

NOWHERE = "registry.invalid/python:{python}-slim"
PACKAGE = PackageFile(PurePosixPath("/somewhere/iris-1.0-py3-none-any.whl"), "0" * 64, ("server",))
ENVIRONMENT = Environment("3.11", ("numpy==2.1.0",), (PACKAGE,))


@pytest.fixture(scope="module", params=["podman", "docker"])
def engine(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(f"{request.param}_engine")
    return found


class _OnEngines(EnvironmentConformance):
    way: Way
    base_image: str

    @pytest.fixture
    async def subject(self, engine: str, tmp_path: Path) -> AsyncIterator[Subject]:
        settings = EnvironmentSettings(tmp_path / "environments", way=self.way, base_image=self.base_image)
        installation = secrets.token_hex(4)
        made: list[DockerDriver] = []

        def make() -> DockerDriver:
            made.append(
                DockerDriver(engine, installation=installation, log_dir=tmp_path / "logs", environments=settings)
            )
            return made[-1]

        yield Subject(make)
        for driver in made:
            await driver.close()
        remove_images(engine, installation)


def remove_images(engine: str, installation: str) -> None:
    filters = json.dumps({"label": [f"modelport.environment.installation={installation}"]})
    with engine_api.client(engine) as http:
        for image in http.get("/images/json", params={"filters": filters}).json():
            engine_api.remove_image(engine, image["Id"])


@pytest.mark.engine
@pytest.mark.slow
class TestOnABaseImage(_OnEngines):
    way = "base"
    base_image = BASE_IMAGE


@pytest.mark.engine
@pytest.mark.slow
class TestOutOfThisMachinesPython(_OnEngines):
    way = "auto"
    base_image = NOWHERE

    # It is what the process driver does too, which is tested there.
    test_what_cannot_be_installed_says_so_in_the_installers_words = None  # type: ignore[assignment]

    async def test_what_is_done_is_logged_with_its_reason(
        self, driver: DockerDriver, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.WARNING), pytest.raises(EnvironmentBuildFailed, match=r"There is no Python 2\.0"):
            await driver.environment(Environment("2.0", ()))

        assert "made of this machine's own Python, for `registry.invalid/python:2.0-slim` cannot be had" in caplog.text


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.anyio
async def test_a_base_that_cannot_be_had_is_no_reason_to_take_another_where_it_is_asked_for(
    engine: str, tmp_path: Path
) -> None:
    settings = EnvironmentSettings(tmp_path, way="base", base_image=NOWHERE)
    async with DockerDriver(engine, installation="x", log_dir=tmp_path, environments=settings) as driver:
        with pytest.raises(EnvironmentBuildFailed, match=r"registry\.invalid/python:3\.9-slim") as caught:
            await driver.environment(Environment("3.9", ()))

    assert "MODELPORT_RUNTIME_BASE_IMAGE" in caught.value.hint


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.anyio
async def test_images_of_this_installation_that_nobody_asked_for_in_a_day_are_removed(
    engine: str, tmp_path: Path
) -> None:
    own, other = (f"{letter}{secrets.token_hex(4)}" for letter in "ab")
    kept, dropped, foreign = (
        labelled(engine, tmp_path, name, who) for name, who in (("1", own), ("2", own), ("3", other))
    )
    later = time.time() + 25 * 3600
    try:
        async with aiodocker.Docker(url=engine) as client:
            settings = EnvironmentSettings(tmp_path)

            def images(now: float) -> EnvironmentImages:
                return EnvironmentImages(engine, settings, installation=own, docker_config=tmp_path, now=lambda: now)

            await images(time.time()).prune(client, frozenset())
            assert there(engine, kept, dropped, foreign) == {kept, dropped, foreign}
            await images(later).prune(client, frozenset({kept}))
            assert there(engine, kept, dropped, foreign) == {kept, foreign}
    finally:
        remove_images(engine, own)
        remove_images(engine, other)


def labelled(engine: str, folder: Path, name: str, installation: str) -> str:
    (folder / "Dockerfile").write_text(
        f"FROM scratch\nCOPY Dockerfile /{name}\nLABEL modelport.environment.installation={installation}\n"
    )
    found = engine_api.build_image(engine, folder, f"localhost/modelport-environment:{installation}-{name}")
    return f"sha256:{found.removeprefix('sha256:')}"


def there(engine: str, *images: str) -> set[str]:
    return {image for image in images if engine_api.has_image(engine, image)}


@pytest.mark.anyio
async def test_an_engine_that_is_away_is_asked_for_old_images_another_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with DockerDriver(f"unix://{tmp_path}/none.sock", installation="x", log_dir=tmp_path) as driver:
        await driver.prune(frozenset())

    assert "not cleared away" in caplog.text


def test_an_image_is_found_again_by_what_is_in_it_and_how_it_is_made(tmp_path: Path) -> None:
    def tag(environment: Environment = ENVIRONMENT, *, way: Way = "auto", base: str = "a:{python}") -> str:
        return image_tag(environment, EnvironmentSettings(tmp_path, way=way, base_image=base))

    assert tag() == tag()
    assert tag().startswith("localhost/modelport-environment:")
    others = [
        tag(Environment("3.12", ENVIRONMENT.requirements, ENVIRONMENT.packages)),
        tag(Environment("3.11", (), ENVIRONMENT.packages)),
        tag(way="host"),
        tag(base="b"),
    ]
    assert len({tag(), *others}) == 5


def test_no_python_asked_for_means_the_one_that_modelport_runs_on(tmp_path: Path) -> None:
    here = ".".join(platform.python_version_tuple()[:2])

    assert (
        f"FROM python:{here}-slim\n"
        in unpacked(build_context(Environment("", ()), f"python:{here}-slim"))["Dockerfile"].decode()
    )
    settings = EnvironmentSettings(tmp_path)
    assert image_tag(Environment("", ()), settings) != image_tag(Environment(here, ()), settings)


def unpacked(entries: Iterable[object]) -> dict[str, bytes]:
    with tarfile.open(fileobj=BytesIO(b"".join(pack(entries)))) as archive:  # type: ignore[arg-type]
        return {one.name: file.read() for one in archive if (file := archive.extractfile(one))}


def test_the_context_holds_requirements_and_packages(tmp_path: Path) -> None:
    path = tmp_path / "iris-1.0.tar.gz"
    path.write_bytes(b"an sdist")
    package = PackageFile(PurePosixPath(path), "0" * 64)

    files = unpacked(
        build_context(Environment("3.11", ("numpy==2.1.0", "six==1.16.0"), (package, package)), "python:3")
    )

    assert files.pop("Dockerfile").startswith(b"FROM python:3\n")
    assert files == {
        "install/requirements.txt": b"numpy==2.1.0\nsix==1.16.0\n",
        "install/0/iris-1.0.tar.gz": b"an sdist",
        "install/1/iris-1.0.tar.gz": b"an sdist",
    }


def test_everything_is_installed_in_one_go_so_that_pins_bind() -> None:
    install = dockerfile(ENVIRONMENT, "python:3.11-slim").splitlines()[4]

    assert install.startswith('RUN ["/opt/modelport/environment/bin/python", "-m", "pip", "install"')
    assert install.endswith(
        '"/opt/modelport/install/requirements.txt", "/opt/modelport/install/0/iris-1.0-py3-none-any.whl[server]"]'
    )


def test_names_of_packages_and_versions_of_python_cannot_become_instructions() -> None:
    package = PackageFile(PurePosixPath('/x/a"]\nRUN id; `id` $(id)-1.0.tar.gz'), "0" * 64)

    lines = dockerfile(Environment("3.11", (), (package,)), "python").splitlines()

    assert [line.partition(" ")[0] for line in lines] == [
        line.partition(" ")[0] for line in dockerfile(ENVIRONMENT, "python").splitlines()
    ]
    for base in ("python:3\nRUN id", "python:3 AS x", ""):
        with pytest.raises(EnvironmentBuildFailed, match="is not the name of an image"):
            list(build_context(ENVIRONMENT, base))
