"""The direct pattern with presets: KServe, Triton and modelport's own server in containers, by their own protocols."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from modelport.cli.presets import filled
from tests.e2e.platform import Platform, platform
from tests.engines import engine_api
from tests.engines.fixtures import BASE_IMAGE
from tests.model_servers.cached import packages, require_the_python_of_images
from tests.model_servers.triton import MODELS
from tests.server.frameworks_environment import server_requirements

pytestmark = [pytest.mark.slow, pytest.mark.engine]

# The contract's own pace: these servers take some seconds on a busy machine.
PATIENT = {"MODELPORT_CREATE_DEADLINE_S": "120", "MODELPORT_PROBE_PERIOD_S": "10"}
OWN_IMAGE = "localhost/modelport-test-own-server:1"
OWN_DOCKERFILE = f"""\
FROM {BASE_IMAGE}
COPY site /usr/local/lib/python3.11/dist-packages
COPY app /app
WORKDIR /app
CMD ["python", "-m", "modelport.server", "--predictor=predictor.py:Predictor", "model"]
"""


def modelport(*arguments: str, engine: str = "") -> str:
    environ = {**os.environ, "MODELPORT_DOCKER_HOST": engine}
    ran = subprocess.run(
        [sys.executable, "-m", "modelport", *arguments], env=environ, capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def version(preset: str, image: str, **fields: Any) -> dict[str, Any]:
    """Return what the API is sent for a spec with a preset."""
    spec = {"name": "v1", "preset": preset, "container": {"image": image}, "machineType": "n1-standard-4", **fields}
    return filled(spec).version


@pytest.fixture(scope="module")
def mp(podman_engine: str) -> Iterator[Platform]:
    with platform("docker", MODELPORT_DOCKER_HOST=podman_engine, **PATIENT) as one:
        yield one


def ready(mp: Platform, model: str, spec: dict[str, Any]) -> None:
    mp.post("models", {"name": model})
    operation = mp.wait(mp.post(f"models/{model}/versions", spec), within_s=120)
    assert "error" not in operation, operation["error"]


def asked(mp: Platform, model: str, content: bytes, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in {"content_type": "application/json", **headers}.items()}
    return mp.client.post(f"/v1/projects/p/models/{model}:predict", content=content, headers=named)


def tensor(name: str, datatype: str, *rows: Any) -> bytes:
    return json.dumps({"inputs": [{"name": name, "datatype": datatype, "shape": [len(rows)], "data": rows}]}).encode()


@pytest.fixture(scope="module")
def tripling(mp: Platform, kserve_image: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a model on KServe's server, which reads from its files what it multiplies by."""
    files = tmp_path_factory.mktemp("tripling")
    (files / "factor.txt").write_text("3")
    ready(mp, "tripling", version("kserve", kserve_image, deploymentUri=str(files)))
    return "tripling"


def test_kserve_answers_version_2_of_its_protocol(mp: Platform, tripling: str) -> None:
    answer = asked(mp, tripling, tensor("x", "INT64", 2**53 + 1, -1))

    assert answer.status_code == 200, answer.text
    document = answer.json()
    [output] = document["outputs"]
    assert (document["model_name"], output["name"], output["data"]) == (tripling, "twice-x", [3 * (2**53 + 1), -3])


def test_kserve_answers_binary_tensors(mp: Platform, tripling: str) -> None:
    row = np.array([1.5, 2], np.float32)
    head = json.dumps(
        {
            "inputs": [{"name": "x", "datatype": "FP32", "shape": [2], "parameters": {"binary_data_size": 8}}],
            "parameters": {"binary_data_output": True},
        }
    ).encode()

    answer = asked(
        mp,
        tripling,
        head + row.tobytes(),
        content_type="application/octet-stream",
        inference_header_content_length=str(len(head)),
    )

    assert answer.status_code == 200, answer.text
    assert answer.content[int(answer.headers["inference-header-content-length"]) :] == (row * 3).tobytes()


def test_the_errors_of_kserve_reach_the_caller_in_its_words(mp: Platform, tripling: str) -> None:
    answer = asked(mp, tripling, b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [2], "data": [1]}]}')

    assert answer.status_code == 500
    assert answer.json() == {"error": "ValueError : cannot reshape array of size 1 into shape (2,)"}


def test_a_preset_is_all_that_a_check_of_triton_needs(triton_image: str, podman_engine: str) -> None:
    files = ("--deployment-uri", str(MODELS))
    route = ("--health-route", "/v2/models/identity/ready", "--predict-route", "/v2/models/identity/infer")

    written = modelport(
        *("check", triton_image, "--preset", "triton", *files, *route, "--output", "json"), engine=podman_engine
    )

    report = json.loads(written)
    outcomes = {one["name"]: one["outcome"] for one in report["stages"]}
    assert {outcomes[name] for name in ("start", "listen", "health", "predict")} == {"passed"}
    assert list(report["preset"]["fills"]) == ["container"]


@pytest.fixture(scope="module")
def own_image(podman_engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An image with modelport's own server and the predictor of its template, whose libraries are copied into it."""
    require_the_python_of_images()
    folder = tmp_path_factory.mktemp("own")
    modelport("init", "predictor", str(folder / "app"))
    site = packages("own-server", *server_requirements(), module="uvloop")
    shutil.copytree(site, folder / "site", ignore=shutil.ignore_patterns("bin", "complete"))
    with zipfile.ZipFile(next((folder / "app").glob("*.whl"))) as wheel:
        wheel.extractall(folder / "site")
    (folder / "Dockerfile").write_text(OWN_DOCKERFILE)
    engine_api.build_image(podman_engine, folder, OWN_IMAGE)
    yield OWN_IMAGE
    engine_api.remove_image(podman_engine, OWN_IMAGE)


def test_modelports_own_server_stands_where_tensorflow_serving_stood(mp: Platform, own_image: str) -> None:
    """It answers `instances` on whatever routes it is given, and so those that a preset knows for another server."""
    ready(mp, "weather", version("tfserving", own_image))

    answer = asked(mp, "weather", b'{"instances": ["What a lovely, sunny day", "Rain again"]}')

    assert answer.status_code == 200, answer.text
    assert len(answer.json()["predictions"]) == 2
    assert asked(mp, "weather", b'{"inputs": []}').json()["error"]["message"].startswith("The body has no `instances`")
    # Its image is removed next, which would fail while a replica, or one in its place, is there.
    mp.wait(mp.delete("models/weather/versions/v1"), within_s=60)
