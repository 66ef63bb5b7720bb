"""The real TorchServe: the fixtures `torchserve` (a process) and `torchserve_image` (on Podman), and archives for it.

It needs Java, which scripts/install-test-tools installs, and PyTorch, which is that of `frameworks_python`.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.engines import engine_api
from tests.engines.fixtures import BASE_IMAGE
from tests.model_servers.cached import environ, packages, require_the_python_of_images
from tests.model_servers.readiness import until_ready
from tests.ports import free_port

MODELS = Path(__file__).parent / "torchserve_models"
_REQUIREMENTS = ("torchserve==0.12.0", "torch-model-archiver==0.12.0", "pyyaml", "setuptools")
# What a program needs of PyTorch that was not built with it and does not build on it.
_UNUSED = shutil.ignore_patterns("include", "test", "*.a")
_OF_TORCH = ("torch", "torchgen", "functorch", "numpy", "numpy.libs", "sympy", "mpmath", "networkx", "jinja2")
_OF_TORCH_TOO = ("markupsafe", "fsspec", "filelock", "typing_extensions.py")
_SITE = "/usr/local/lib/python3.11/dist-packages"
# Addresses as in the published image, where they stand in the same file.
CONFIGURATION = """\
inference_address=http://0.0.0.0:8080
management_address=http://127.0.0.1:8081
metrics_address=http://127.0.0.1:8082
default_workers_per_model=1
"""
_DOCKERFILE = f"""\
ARG BASE={BASE_IMAGE}
FROM ${{BASE}}
# The package wants to link a manual page, and the base image has no folder for those.
RUN mkdir -p /usr/share/man/man1 && apt-get update && \\
    apt-get install -y --no-install-recommends openjdk-17-jre-headless && rm -rf /var/lib/apt/lists/*
COPY site {_SITE}
COPY torchserve /usr/local/bin/torchserve
COPY config.properties /home/model-server/config.properties
WORKDIR /home/model-server
"""
_PROGRAM = "#!/usr/bin/python3\nfrom ts.model_server import start\nstart()\n"


@dataclass(frozen=True)
class TorchServe:
    """A running server."""

    url: str


@dataclass(frozen=True)
class TorchServeFiles:
    """What TorchServe is started with outside an image: an interpreter, and a folder for its PYTHONPATH."""

    python: Path
    packages: Path

    @property
    def environ(self) -> dict[str, str]:
        return environ(self.packages)

    def archive(self, name: str, store: Path) -> None:
        """Pack a handler of `torchserve_models` as NAME.mar, as its author would."""
        command = [self.python, "-m", "model_archiver.model_packaging", "--model-name", name, "--version", "1.0"]
        options = ["--handler", MODELS / f"{name}.py", "--export-path", store]
        subprocess.run([*command, *options], env=self.environ, check=True, timeout=60)


@pytest.fixture(scope="session")
def torchserve_files(frameworks_python: Path) -> TorchServeFiles:
    """TorchServe without an image."""
    if not shutil.which("java"):
        missing("Java is not there, which TorchServe needs; run scripts/install-test-tools")
    return TorchServeFiles(frameworks_python, packages("torchserve", *_REQUIREMENTS, module="ts.model_server"))


@pytest.fixture(scope="module")
def torchserve(torchserve_files: TorchServeFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TorchServe]:
    """A TorchServe with the models of `torchserve_models`, as a process of this machine."""
    folder = tmp_path_factory.mktemp("torchserve")
    for handler in MODELS.glob("*.py"):
        torchserve_files.archive(handler.stem, folder)
    with running(torchserve_files, folder) as one:
        yield one


@pytest.fixture(scope="session")
def torchserve_image(torchserve_files: TorchServeFiles, podman_engine: str) -> str:
    """The name of an image with TorchServe on Podman, laid out as the published one."""
    require_the_python_of_images()
    image = f"localhost/modelport-test-torchserve:{torchserve_files.packages.name.rpartition('-')[2]}"
    if not engine_api.has_image(podman_engine, image):
        with tempfile.TemporaryDirectory() as folder:
            context = Path(folder)
            _lay_out(torchserve_files, context)
            engine_api.build_image(podman_engine, context, image)
    return image


@contextmanager
def running(files: TorchServeFiles, store: Path) -> Iterator[TorchServe]:
    """Run TorchServe on the archives of a folder until the context is left."""
    addresses = {name: f"http://127.0.0.1:{free_port()}" for name in ("inference", "management", "metrics")}
    # Workers listen on sockets in /tmp that are called by ports: by others in each server.
    settings = {f"{name}_address": url for name, url in addresses.items()}
    settings |= {"default_workers_per_model": "1", "initial_worker_port": str(free_port())}
    (store / "config.properties").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    options = ["--start", "--foreground", "--ncs", "--disable-token-auth", "--ts-config=config.properties"]
    command = [files.python, "-m", "ts.model_server", *options, "--model-store=.", "--models=all"]
    with (store / "output").open("wb") as output:
        # It ends without its Java, and Java without its workers: all of them go with their session.
        process = subprocess.Popen(
            command, cwd=store, env=files.environ, stdout=output, stderr=output, start_new_session=True
        )
    try:
        until_ready(addresses["inference"] + "/ping", process, store / "output")
        yield TorchServe(addresses["inference"])
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _lay_out(files: TorchServeFiles, context: Path) -> None:
    site = context / "site"
    shutil.copytree(files.packages, site, ignore=shutil.ignore_patterns("bin", "complete", "__pycache__"))
    query = "import sysconfig; print(sysconfig.get_path('purelib'))"
    found = Path(subprocess.run([files.python, "-c", query], capture_output=True, text=True, check=True).stdout.strip())
    for name in (*_OF_TORCH, *_OF_TORCH_TOO):
        if (found / name).is_dir():
            shutil.copytree(found / name, site / name, ignore=_UNUSED, dirs_exist_ok=True)
        elif (found / name).exists():
            shutil.copy(found / name, site)
    (context / "config.properties").write_text(CONFIGURATION)
    (context / "torchserve").write_text(_PROGRAM)
    (context / "torchserve").chmod(0o755)
    (context / "Dockerfile").write_text(_DOCKERFILE)
