"""The direct pattern on the real Triton: NVIDIA's own kind of spec, and its own protocol through `:predict`."""

import struct
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.platform import Platform, platform
from tests.e2e.test_listener_examples import modelport
from tests.model_servers.triton import MODELS

pytestmark = [pytest.mark.slow, pytest.mark.engine]

# The contract's own pace: Triton, its model and its Python take some seconds on a busy machine.
PATIENT = {"MODELPORT_CREATE_DEADLINE_S": "120", "MODELPORT_PROBE_PERIOD_S": "10"}
BEYOND_DOUBLES = 2**53 + 1


def spec(image: str) -> dict[str, Any]:
    """Return what the version is made of, as the guide has it."""
    return {
        "container": {
            "image": image,
            "args": ["tritonserver", "--model-repository=$AIP_STORAGE_URI"],
            "ports": [{"containerPort": 8000}],
        },
        "routes": {"predict": "/v2/models/$AIP_MODEL_NAME/infer", "health": "/v2/models/$AIP_MODEL_NAME"},
        "deploymentUri": str(MODELS),
        "machineType": "n1-standard-4",
    }


@pytest.fixture(scope="module")
def mp(podman_engine: str, triton_image: str) -> Iterator[Platform]:
    """A platform with Triton behind the model `identity`."""
    with platform("docker", MODELPORT_DOCKER_HOST=podman_engine, **PATIENT) as one:
        one.post("models", {"name": "identity"})
        created = one.post("models/identity/versions", {"name": "v1", **spec(triton_image)})
        operation = one.wait(created, within_s=120)
        assert "error" not in operation, operation["error"]
        yield one


def infer(mp: Platform, content: bytes, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return mp.client.post("/v1/projects/p/models/identity:predict", content=content, headers=named)


def test_its_json_goes_through_as_it_is(mp: Platform) -> None:
    tensor = f'{{"name": "IN_INT64", "datatype": "INT64", "shape": [1, 2], "data": [{BEYOND_DOUBLES}, -1]}}'

    answer = infer(mp, f'{{"id": "mine", "inputs": [{tensor}]}}'.encode())

    assert answer.status_code == 200, answer.text
    [output] = answer.json()["outputs"]
    assert (answer.json()["id"], output["name"], output["data"]) == ("mine", "OUT_INT64", [BEYOND_DOUBLES, -1])


def test_its_binary_tensors_go_through_as_they_are(mp: Platform) -> None:
    data = struct.pack("<2H", 0x3F80, 0x4000)  # 1 and 2 as BF16, which JSON cannot hold
    head = (
        b'{"inputs": [{"name": "IN_BF16", "datatype": "BF16", "shape": [1, 2], "parameters": {"binary_data_size": 4}}],'
        b' "outputs": [{"name": "OUT_BF16", "parameters": {"binary_data": true}}]}'
    )

    answer = infer(
        mp, head + data, content_type="application/octet-stream", inference_header_content_length=str(len(head))
    )

    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.content[int(answer.headers["inference-header-content-length"]) :] == data


def test_its_errors_reach_the_caller_in_its_words(mp: Platform) -> None:
    answer = infer(mp, b'{"inputs": [{"name": "X", "datatype": "FP32", "shape": [1, 1], "data": [1]}]}')

    assert answer.status_code == 400
    assert answer.json() == {"error": "unexpected inference input 'X' for model 'identity'"}


def test_the_preset_makes_the_same_version(mp: Platform, triton_image: str) -> None:
    deploy = ("deploy", triton_image, "--preset", "triton", "--model", "identity", "--version", "v2")

    version = modelport(*deploy, "--artifacts", str(MODELS), MODELPORT_ENDPOINT=mp.url)

    assert (version["state"], version["container"]["ports"]) == ("READY", [{"containerPort": 8000}])
    tensor = {"name": "IN_BYTES", "datatype": "BYTES", "shape": [1, 1], "data": ["text"]}
    answer = mp.predict("models/identity/versions/v2", {"inputs": [tensor]})
    assert answer.json()["outputs"][0]["data"] == ["text"]


def test_it_passes_the_check_under_the_name_of_its_model(podman_engine: str, triton_image: str) -> None:
    checked = ("check", triton_image, "--preset", "triton", "--model", "identity", "--artifacts", str(MODELS))

    report = modelport(*checked, MODELPORT_DOCKER_HOST=podman_engine)

    outcomes = {one["name"]: one["outcome"] for one in report["stages"]}
    assert set(outcomes.values()) == {"passed"}, outcomes
    assert report["conforms"]


def test_a_repository_without_the_model_is_told_by_its_name(mp: Platform, triton_image: str) -> None:
    mp.post("models", {"name": "elsewhere"})

    operation = mp.wait(mp.post("models/elsewhere/versions", {"name": "v1", **spec(triton_image)}), within_s=120)

    assert "no model of that name" in operation["error"]["message"]
