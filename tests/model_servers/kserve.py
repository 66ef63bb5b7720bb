"""KServe's real SDK server: the fixtures `kserve` (a process) and `kserve_image` (on Podman), with one model."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.engines import engine_api
from tests.engines.fixtures import BASE_IMAGE
from tests.model_servers.cached import environ, packages, require_the_python_of_images
from tests.model_servers.readiness import until_ready
from tests.ports import free_port

_REQUIREMENTS = ("kserve==0.21.0",)
_MODEL = Path(__file__).parent / "kserve_models" / "double.py"
_DOCKERFILE = f"""\
ARG BASE={BASE_IMAGE}
FROM ${{BASE}}
COPY site /usr/local/lib/python3.11/dist-packages
COPY double.py /app/double.py
ENTRYPOINT ["python", "/app/double.py"]
"""


@dataclass(frozen=True)
class KServe:
    """A running server."""

    url: str


@pytest.fixture(scope="session")
def kserve_packages() -> Path:
    """A folder for PYTHONPATH with KServe's SDK."""
    return packages("kserve", *_REQUIREMENTS, module="kserve")


@pytest.fixture(scope="module")
def kserve(kserve_packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KServe]:
    """A server of KServe's SDK with the model `double`, as a process of this machine."""
    port, log = free_port(), tmp_path_factory.mktemp("kserve") / "log"
    options = [f"--http_port={port}", "--enable_grpc=false", "--model_name=double"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, str(_MODEL), *options],
            env=environ(kserve_packages),
            stdout=output,
            stderr=output,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        until_ready(f"{url}/v2/models/double/ready", process, log)
        yield KServe(url)
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def kserve_image(kserve_packages: Path, podman_engine: str) -> str:
    """The name of an image on Podman, laid out as those of KServe's frameworks: ENTRYPOINT is the server."""
    require_the_python_of_images()
    image = f"localhost/modelport-test-kserve:{kserve_packages.name.rpartition('-')[2]}"
    if not engine_api.has_image(podman_engine, image):
        with tempfile.TemporaryDirectory() as folder:
            context = Path(folder)
            shutil.copytree(kserve_packages, context / "site", ignore=shutil.ignore_patterns("bin", "complete"))
            shutil.copy(_MODEL, context)
            (context / "Dockerfile").write_text(_DOCKERFILE)
            engine_api.build_image(podman_engine, context, image)
    return image
