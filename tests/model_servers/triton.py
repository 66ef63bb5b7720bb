"""The real Triton: the fixtures `triton_files` (installed once), `triton` (a process) and `triton_image` (on Podman).

NVIDIA publishes Triton as a container image of many gigabytes, and in a wheel the server with its Python backend, for
CPUs as well. What is needed of the wheel is laid out here like in that image, so that the same specs hold for both:
`bin/tritonserver`, `backends`, `lib`. The models run in the Python 3.11 of Debian 12, whose library the backend wants.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.engines import engine_api
from tests.engines.fixtures import BASE_IMAGE
from tests.model_servers.cached import cached
from tests.model_servers.readiness import until_ready
from tests.ports import free_port

MODELS = Path(__file__).parent / "triton_models"
_WHEEL = "nvidia-pytriton==0.7.0"
_NUMPY = "numpy==1.26.4"  # the backend was built against the first numpy
_LIBPYTHON = Path("/usr/lib/x86_64-linux-gnu/libpython3.11.so.1.0")
_LAYOUT = 1  # of the folder, see `_lay_out`
_HOME = "/opt/tritonserver"  # as in the published image
_DOCKERFILE = f"""\
ARG BASE={BASE_IMAGE}
FROM ${{BASE}}
COPY . {_HOME}
ENV PATH={_HOME}/bin:$PATH LD_LIBRARY_PATH={_HOME}/lib
"""


@dataclass(frozen=True)
class Triton:
    """A running server."""

    url: str


@pytest.fixture(scope="session")
def triton_files() -> Path:
    """The folder with `bin/tritonserver`, `backends` and `lib`."""
    return _installed()


@pytest.fixture(scope="module")
def triton(triton_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    """A Triton with the models of `triton_models`, as a process of this machine."""
    folder = tmp_path_factory.mktemp("triton")
    models = shutil.copytree(MODELS, folder / "models")  # Python leaves what it compiles beside them
    with running(triton_files, models, folder / "log") as one:
        yield one


@pytest.fixture(scope="session")
def triton_image(triton_files: Path, podman_engine: str) -> str:
    """The name of an image with Triton, on Podman: what NVIDIA's is elsewhere."""
    image = f"localhost/modelport-test-triton:{triton_files.name.rpartition('-')[2]}"
    if not engine_api.has_image(podman_engine, image):
        with tempfile.TemporaryDirectory() as folder:
            context = Path(folder) / "context"
            shutil.copytree(triton_files, context)
            (context / "Dockerfile").write_text(_DOCKERFILE)
            (context / ".dockerignore").write_text("Dockerfile\n.dockerignore\ncomplete\n")
            engine_api.build_image(podman_engine, context, image)
    return image


@contextmanager
def running(files: Path, models: Path, log: Path) -> Iterator[Triton]:
    """Run Triton on the models of a folder until the context is left."""
    port = free_port()
    command = [str(files / "bin/tritonserver"), f"--model-repository={models}", *arguments(files, port)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environ(files))
    try:
        url = f"http://127.0.0.1:{port}"
        until_ready(f"{url}/v2/health/ready", process, log)
        yield Triton(url)
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def arguments(files: Path, port: int) -> list[str]:
    """Return the arguments of a Triton that listens on this port and on no other."""
    return [
        f"--backend-directory={files / 'backends'}",
        "--http-address=127.0.0.1",
        f"--http-port={port}",
        "--allow-grpc=false",
        "--allow-metrics=false",
    ]


def environ(files: Path) -> dict[str, str]:
    """Return the environment of a Triton outside its image."""
    return {**os.environ, "LD_LIBRARY_PATH": str(files / "lib")}


def with_program(folder: Path, files: Path) -> str:
    """Write `tritonserver` into a folder, as an image has it, and return a PATH that begins there."""
    folder.mkdir()
    program = folder / "tritonserver"
    command = f'exec "{files}/bin/tritonserver" --backend-directory="{files}/backends" "$@"'
    program.write_text(f'#!/bin/sh\nexport LD_LIBRARY_PATH="{files}/lib"\n{command}\n')
    program.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def _installed() -> Path:
    if not _LIBPYTHON.exists():
        missing(f"`{_LIBPYTHON}` is not there, which Triton's Python backend needs; run scripts/install-test-tools")
    return cached("triton", "\n".join((_WHEEL, _NUMPY, str(_LAYOUT))), _lay_out)


def _lay_out(folder: Path) -> None:
    backend = folder / "backends/python"
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        unpacked = Path(scratch) / "unpacked"
        _pip("download", "--no-deps", "--dest", scratch, _WHEEL)
        with zipfile.ZipFile(next(Path(scratch).glob("*.whl"))) as wheel:
            wheel.extractall(unpacked)
        server = unpacked / "pytriton/tritonserver"
        shutil.copytree(server / "bin", folder / "bin")
        shutil.copytree(server / "backends/python", backend)
        shutil.copy(server / "python_backend_stubs/3.11/triton_python_backend_stub", backend)
        # libpython there is that of another version of Python.
        shutil.copytree(unpacked / "nvidia_pytriton.libs", folder / "lib", ignore=shutil.ignore_patterns("libpython*"))
    shutil.copy(_LIBPYTHON, folder / "lib")
    # Models import from the folder of the backend, and from nowhere else that a variable could name.
    _pip("install", "--no-compile", "--target", str(backend), _NUMPY)
    for program in (folder / "bin/tritonserver", backend / "triton_python_backend_stub"):
        program.chmod(0o755)


def _pip(verb: str, *rest: str) -> None:
    for_debian = ("--python-version", "3.11", "--only-binary", ":all:")
    command = (sys.executable, "-m", "pip", verb, "--quiet", "--disable-pip-version-check", *for_debian, *rest)
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        missing(f"Triton cannot be installed: {done.stderr[-2000:]}")
