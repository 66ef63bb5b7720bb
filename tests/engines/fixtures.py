"""Session fixtures `podman_engine` and `docker_engine`: the URL of a real engine that has the base image.

Tests of Podman, and only they, get the marker `podman`: a run with it and one without can go on at the same time.
"""

import fcntl
import os
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.engines import engine_api, private_engines

BASE_IMAGE = "localhost/modelport-test-base:bookworm"
ECHO_IMAGE = "localhost/modelport-test-echo:1"
_ECHO = Path(__file__).parents[1] / "images" / "echo"
_HOST_DOCKER = "unix:///var/run/docker.sock"


def pytest_itemcollected(item: pytest.Item) -> None:
    spec = getattr(item, "callspec", None)
    chosen = [*(spec.params.values() if spec else ()), *getattr(item, "fixturenames", ())]
    if item.get_closest_marker("engine") and ("podman" in chosen or "podman_engine" in chosen):
        item.add_marker(pytest.mark.podman)


@pytest.fixture(scope="session")
def podman_engine() -> Iterator[str]:
    """Podman: the one that MODELPORT_TEST_PODMAN_HOST names, else one of our own."""
    with ExitStack() as stack:
        yield _ready_engine(stack, os.environ.get("MODELPORT_TEST_PODMAN_HOST"), private_engines.podman_service())


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[str]:
    """Docker: the one that MODELPORT_TEST_DOCKER_HOST names, else a running one, else one of our own.

    A second dockerd would rewrite the firewall rules of the first, so a running one is used.
    """
    running = _HOST_DOCKER if engine_api.answers(_HOST_DOCKER) else None
    with ExitStack() as stack:
        given = os.environ.get("MODELPORT_TEST_DOCKER_HOST", running)
        yield _ready_engine(stack, given, private_engines.docker_daemon())


@pytest.fixture(scope="session", params=["podman", "docker"])
def echo_engine(request: pytest.FixtureRequest) -> str:
    """Each engine in turn, with the image of tests/images/echo."""
    engine: str = request.getfixturevalue(f"{request.param}_engine")
    engine_api.build_image(engine, _ECHO, ECHO_IMAGE, {"BASE": BASE_IMAGE})
    return engine


def _ready_engine(stack: ExitStack, given: str | None, private: AbstractContextManager[str]) -> str:
    try:
        engine = given or stack.enter_context(private)
        if not engine_api.answers(engine):
            raise private_engines.EngineMissing(f"no engine answers at {engine}")
        try:
            _ensure_base_image(engine)
        except RuntimeError as error:
            # Engines start in a plain chroot too, where `/` is no mount point, and cannot unpack an image there.
            raise private_engines.EngineMissing(f"the engine cannot take an image: {error}") from error
    except private_engines.EngineMissing as error:
        stack.close()
        missing(str(error))
    return engine


def _ensure_base_image(engine: str) -> None:
    if not engine_api.has_image(engine, BASE_IMAGE):
        engine_api.import_image(engine, _base_tar(), BASE_IMAGE)


def _base_tar() -> Path:
    tar = private_engines.CACHE / "base-bookworm.tar"
    private_engines.CACHE.mkdir(parents=True, exist_ok=True)
    with (private_engines.CACHE / "base-image.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = subprocess.run(
            [str(Path(__file__).with_name("base-image.sh")), str(tar)], capture_output=True, check=False, text=True
        )
    if made.returncode != 0:
        raise private_engines.EngineMissing(f"the base image cannot be made: {made.stderr.strip()[-500:]}")
    return tar
