"""Every example is deployed by the command line, as its README says, and predicts."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.platform import ROOT, Platform, platform
from tests.engines.fixtures import BASE_IMAGE

EXAMPLES = ROOT / "examples"
IRIS = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]
CASES = [
    ("flask-iris", IRIS, ["setosa", "virginica"]),
    ("fastapi-iris", IRIS, ["setosa", "virginica"]),
    ("node-server", ["to be or not to be", ""], [6, 0]),
]
# The contract's own pace: a busy machine imports a web framework and a model's libraries for some seconds.
PATIENT = {"MODELPORT_CREATE_DEADLINE_S": "120", "MODELPORT_PROBE_PERIOD_S": "10"}
BAD_REQUESTS = [
    b"no JSON",
    b"[]",
    b"null",
    b"{}",
    b'{"instances": []}',
    b'{"instances": [[1]]}',
    b'{"instances": [null]}',
]


def modelport(one: Platform, *arguments: str) -> dict[str, Any]:
    """Run a command of the command line and return its document."""
    environ = {**one.environ, "MODELPORT_ENDPOINT": one.url, "MODELPORT_PROJECT": "p"}
    ran = subprocess.run(
        [sys.executable, "-m", "modelport", *arguments, "--output", "json"],
        env=environ,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    document: dict[str, Any] = json.loads(ran.stdout)
    return document


def trained(folder: Path) -> Path:
    subprocess.run([sys.executable, str(EXAMPLES / "flask-iris" / "train.py"), str(folder)], check=True, timeout=120)
    return folder


@pytest.fixture(scope="module")
def model_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("iris"))


@pytest.fixture(scope="module")
def on_processes() -> Iterator[Platform]:
    with platform("process", **PATIENT) as one:
        yield one


@pytest.fixture(scope="module", params=["podman", "docker"])
def on_containers(request: pytest.FixtureRequest) -> Iterator[Platform]:
    engine = request.getfixturevalue(f"{request.param}_engine")
    environ = {"MODELPORT_DOCKER_HOST": engine}
    with platform("docker", **environ, **PATIENT) as one:
        yield one


def predicts(one: Platform, model: str, instances: list[Any], predictions: list[Any]) -> None:
    answer = one.predict(f"models/{model}", {"instances": instances})

    assert (answer.status_code, answer.json()) == (200, {"predictions": predictions})
    for body in BAD_REQUESTS:
        refused = one.client.post(f"/v1/projects/p/models/{model}:predict", content=body)
        assert refused.status_code == 400, (body, refused.text)
        assert isinstance(refused.json()["error"], str)


@pytest.mark.slow
@pytest.mark.parametrize(("example", "instances", "predictions"), CASES)
def test_an_example_runs_as_a_process(
    on_processes: Platform, model_files: Path, example: str, instances: list[Any], predictions: list[Any]
) -> None:
    model = example.replace("-", "_")
    artifacts = () if example == "node-server" else ("--artifacts", str(model_files))

    version = modelport(on_processes, "deploy", str(EXAMPLES / example), *artifacts)

    assert (version["state"], version["isDefault"]) == ("READY", True)
    predicts(on_processes, model, instances, predictions)


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("example", "instances", "predictions"), CASES)
def test_an_example_runs_as_a_container(
    on_containers: Platform, example: str, instances: list[Any], predictions: list[Any]
) -> None:
    modelport(on_containers, "deploy", str(EXAMPLES / example), "--build-arg", f"BASE={BASE_IMAGE}")

    predicts(on_containers, example.replace("-", "_"), instances, predictions)


@pytest.mark.slow
def test_an_example_without_its_model_fails_with_the_reason(on_processes: Platform) -> None:
    environ = {**os.environ, "MODELPORT_ENDPOINT": on_processes.url, "MODELPORT_PROJECT": "p"}
    ran = subprocess.run(
        [sys.executable, "-m", "modelport", "deploy", str(EXAMPLES / "flask-iris"), "--model", "empty"],
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert ran.returncode == 1
    assert "model.joblib" in ran.stderr
    assert "\nhint: " in ran.stderr


def test_both_trainers_are_the_same_program() -> None:
    flask, fastapi = ((EXAMPLES / example / "train.py").read_text() for example in ("flask-iris", "fastapi-iris"))

    assert flask == fastapi
