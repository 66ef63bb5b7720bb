"""The direct pattern on the real TorchServe: its archives, its routes and its own protocol through `:predict`.

Its image weighs more than most tests take: in the usual run it is a process. MODELPORT_WHOLE_CORPUS=1 builds the image.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from modelport.cli.presets import filled
from tests.e2e.platform import Platform, platform
from tests.model_servers.torchserve import TorchServeFiles
from tests.ports import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PATIENT = {"MODELPORT_CREATE_DEADLINE_S": "120", "MODELPORT_PROBE_PERIOD_S": "10"}
# Where the address is chosen for a process, it is written into the file that the published image has.
SERVE = """\
set -eu
cat >config.properties <<END
inference_address=http://0.0.0.0:$AIP_HTTP_PORT
management_address=http://127.0.0.1:$MANAGEMENT
metrics_address=http://127.0.0.1:$METRICS
initial_worker_port=$WORKERS
default_workers_per_model=1
END
exec "$PYTHON" -m ts.model_server --start --foreground --ncs --disable-token-auth --ts-config=config.properties \\
    --model-store="$AIP_STORAGE_URI" --models=all
"""


@pytest.fixture(scope="module")
def store(torchserve_files: TorchServeFiles, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    torchserve_files.archive("double", folder)
    return folder


def created(mp: Platform, container: dict[str, Any], store: Path) -> Platform:
    spec = {"name": "v1", "preset": "torchserve", "container": container, "deploymentUri": str(store)}
    mp.post("models", {"name": "double"})
    operation = mp.wait(mp.post("models/double/versions", filled(spec).version), within_s=120)
    assert "error" not in operation, operation["error"]
    return mp


@pytest.fixture(scope="module")
def process(
    torchserve_files: TorchServeFiles, store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    """A platform with TorchServe as a process behind the model `double`."""
    image = tmp_path_factory.mktemp("image")
    (image / "serve.sh").write_text(SERVE)
    own = {
        "PYTHON": torchserve_files.python,
        "PYTHONPATH": torchserve_files.packages,
        "PATH": os.environ["PATH"],
        **{name: free_port() for name in ("MANAGEMENT", "METRICS", "WORKERS")},
    }
    env = [{"name": name, "value": str(value)} for name, value in own.items()]
    with platform("process", **PATIENT) as mp:
        yield created(mp, {"image": str(image), "command": ["sh", "serve.sh"], "env": env}, store)


def predict(mp: Platform, content: bytes, content_type: str = "application/json") -> httpx.Response:
    return mp.client.post(
        "/v1/projects/p/models/double:predict", content=content, headers={"content-type": content_type}
    )


def answers_its_own_protocol(mp: Platform) -> None:
    assert predict(mp, b"[1, 2.5]").json() == [2, 5.0]
    text = predict(mp, b'"abc"', "application/octet-stream")
    assert (text.status_code, text.text) == (200, "cba")
    failed = predict(mp, b'"raise"')
    assert failed.status_code == 503
    assert failed.json() == {"code": 503, "type": "InternalServerException", "message": "Prediction failed"}


def test_torchserve_as_a_process(process: Platform) -> None:
    answers_its_own_protocol(process)


@pytest.mark.engine
@pytest.mark.skipif(os.environ.get("MODELPORT_WHOLE_CORPUS") != "1", reason="its image takes minutes to build")
def test_torchserve_in_a_container(podman_engine: str, torchserve_image: str, store: Path) -> None:
    """With nothing but the preset: what it fills is made for the published image, and this one is laid out so."""
    with platform("docker", MODELPORT_DOCKER_HOST=podman_engine, **PATIENT) as mp:
        answers_its_own_protocol(created(mp, {"image": torchserve_image}, store))
