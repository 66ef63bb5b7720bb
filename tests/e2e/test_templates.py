"""Every template is written, its own tests pass, and what it builds passes `modelport check` as it is.

One is built and checked on an engine in each run, as is the example that is like the Flask template;
MODELPORT_WHOLE_CORPUS=1 builds all whose builds end within minutes. Templates of frameworks whose libraries weigh much
are trained and served by the interpreter that has all frameworks, and checked as processes.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import installer
from tests.engines import engine_api
from tests.engines.fixtures import BASE_IMAGE

BUILT: tuple[str, ...] = ("listener",)
LARGE = ("onnx", "xgboost", "tensorflow", "pytorch")
HERE = ("flask", "fastapi", "predictor", "listener")
OF_FRAMEWORKS = ("sklearn", *LARGE)
if os.environ.get("MODELPORT_WHOLE_CORPUS") == "1":
    BUILT = (*BUILT, "flask", "fastapi", "sklearn", "predictor", "onnx", "xgboost")


def modelport(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "modelport", *arguments],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )


def written(template: str, folder: Path) -> Path:
    ran = modelport("init", template, str(folder))
    assert ran.returncode == 0, ran.stderr
    return folder


def conforms(ran: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert ran.returncode == 0, ran.stdout + ran.stderr
    report: dict[str, Any] = json.loads(ran.stdout)
    return report


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("template", BUILT)
def test_a_template_builds_and_passes_the_check(template: str, docker_engine: str, tmp_path: Path) -> None:
    folder = written(template, tmp_path / f"template-{template}")

    build_args = ("--build-arg", f"BASE={BASE_IMAGE}")
    ran = modelport("check", str(folder), *build_args, "--output", "json", MODELPORT_DOCKER_HOST=docker_engine)

    try:
        outcomes = {one["name"]: one["outcome"] for one in conforms(ran)["stages"]}
        assert outcomes["predict"] == "passed", outcomes
    finally:
        remove_images(docker_engine, f"localhost/template-{template}")


def remove_images(engine: str, repository: str) -> None:
    with engine_api.client(engine) as http:
        listed = http.get("/images/json")
        # Podman fails to list while somebody else removes an image; what stays is no fault of the template.
        for image in listed.json() if listed.is_success else ():
            if any(str(tag).startswith(f"{repository}:") for tag in image.get("RepoTags") or ()):
                engine_api.remove_image(engine, image["Id"])


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("template", LARGE)
def test_a_template_of_a_large_framework_passes_the_check_as_a_process(
    template: str, frameworks_python: Path, tmp_path: Path
) -> None:
    folder = written(template, tmp_path / template)
    run(frameworks_python, "train.py", "model", folder=folder)

    installed = tmp_path / "installed"
    wheel = next(folder.glob("*.whl"))
    assert not installer.uv("pip", "install", "--no-deps", "--target", str(installed), str(wheel))

    command = ("--command", f"{frameworks_python} -m modelport.server model", "--env", f"PYTHONPATH={installed}")
    conforms(modelport("check", str(folder), "--driver", "process", *command, "--output", "json"))


@pytest.mark.slow
@pytest.mark.parametrize("template", HERE)
def test_the_tests_of_a_template_pass(template: str, tmp_path: Path) -> None:
    run(Path(sys.executable), "-m", "pytest", "-q", folder=written(template, tmp_path / template))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("template", OF_FRAMEWORKS)
def test_the_tests_of_a_framework_template_pass(template: str, frameworks_python: Path, tmp_path: Path) -> None:
    run(frameworks_python, "-m", "pytest", "-q", folder=written(template, tmp_path / template))


def run(python: Path, *arguments: str, folder: Path) -> None:
    done = subprocess.run(
        [str(python), *arguments], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
