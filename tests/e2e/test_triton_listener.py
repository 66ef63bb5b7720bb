"""The example `triton-listener` on the real Triton: as a process, and built, checked and served as a container."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
import yaml

from modelport.wheel import write_wheel
from tests.e2e.platform import ROOT, eventually
from tests.e2e.test_listener_examples import modelport
from tests.e2e.test_templates import remove_images
from tests.model_servers.triton import with_program
from tests.ports import free_port
from tests.server.listener.listener_process import ListenerProcess

pytestmark = pytest.mark.slow

EXAMPLE = ROOT / "examples" / "triton-listener"
ROWS = [[39.1, 18.7, 181, 3750], [49.2, 18.2, 195, 3800], [46.1, 13.2, 211, 4500]]
SPECIES = ["Adelie", "Chinstrap", "Gentoo"]
LENGTH = "inference-header-content-length"


@dataclass
class Served:
    """The example as a process.

    Attributes:
        client: of the listener.
        triton: Triton's own URL.
        process: of the listener.
    """

    client: httpx.Client
    triton: str
    process: psutil.Process

    def ask(self, instances: list[Any]) -> httpx.Response:
        return self.client.post("/predict", json={"instances": instances})


@pytest.fixture(scope="module")
def served(triton_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("example")
    subprocess.run([sys.executable, EXAMPLE / "make_models.py", folder / "models"], check=True, timeout=60)
    declaration = yaml.safe_load((EXAMPLE / "listener.yaml").read_text(encoding="utf-8"))
    behind = declaration["servers"]["triton"]["url"] = f"http://127.0.0.1:{free_port()}"
    listener = ListenerProcess(folder, declaration, environ={"PATH": with_program(folder / "bin", triton_files)})
    try:
        listener.ready()
        with httpx.Client(base_url=f"http://127.0.0.1:{listener.port}", timeout=30, trust_env=False) as client:
            yield Served(client, behind, psutil.Process(listener.process.pid))
        assert listener.end() == 0, listener.said
        assert "is killed" not in listener.said  # Triton waits for connections that are kept open
    finally:
        listener.clear_up()


def test_ordinary_clients_are_answered(served: Served) -> None:
    answer = served.ask(ROWS)

    assert answer.status_code == 200, answer.text
    predictions = answer.json()["predictions"]
    assert [one["species"] for one in predictions] == SPECIES
    assert all(0.5 < one["probability"] <= 1 for one in predictions)
    assert "penguins;dur=" in answer.headers["server-timing"]


def test_a_row_that_it_cannot_take_is_refused_by_its_number(served: Served) -> None:
    answer = served.ask([ROWS[0], ROWS[1][:3]])

    assert answer.status_code == 400
    assert "instances[1]" in answer.text


def test_more_rows_than_a_batch_of_triton_are_refused_in_its_words(served: Served) -> None:
    answer = served.ask(ROWS * 100)

    assert answer.status_code == 400
    assert "batch-size must be <= 256" in answer.text


def test_its_own_clients_go_on_as_before(served: Served) -> None:
    rows = np.float32(ROWS)
    tensor = f'"name":"measurements","datatype":"FP32","shape":[3,4],"parameters":{{"binary_data_size":{rows.nbytes}}}'
    head = f'{{"inputs":[{{{tensor}}}],"parameters":{{"binary_data_output":true}}}}'.encode()
    call = {
        "content": head + rows.tobytes(),
        "headers": {"content-type": "application/octet-stream", LENGTH: str(len(head))},
    }

    through = served.client.post("/predict", **call)
    direct = httpx.post(f"{served.triton}/v2/models/penguins/infer", **call, trust_env=False)

    assert through.status_code == direct.status_code == 200, through.text
    assert (through.content, through.headers[LENGTH]) == (direct.content, direct.headers[LENGTH])


def test_its_own_clients_may_write_json(served: Served) -> None:
    tensor = {"name": "measurements", "datatype": "FP32", "shape": [3, 4], "data": ROWS}

    answer = served.client.post("/predict", json={"id": "mine", "inputs": [tensor]})

    assert answer.status_code == 200, answer.text
    outputs = {one["name"]: one for one in answer.json()["outputs"]}
    assert outputs["species"]["data"] == SPECIES
    assert answer.json()["id"] == "mine"


def test_a_killed_triton_is_started_again(served: Served) -> None:
    [triton] = [one for one in served.process.children(recursive=True) if one.name() == "tritonserver"]

    triton.kill()
    eventually(lambda: served.client.get("/health").status_code == 503)
    assert served.ask(ROWS).status_code == 503
    eventually(lambda: served.client.get("/health").status_code == 200, within_s=60)

    assert served.ask(ROWS).status_code == 200


@pytest.mark.engine
@pytest.mark.timeout(600)
def test_the_example_builds_and_passes_the_check(podman_engine: str, triton_image: str, tmp_path: Path) -> None:
    folder = tmp_path / "example-triton-listener"
    shutil.copytree(EXAMPLE, folder)
    write_wheel(folder)

    try:
        base = ("--build-arg", f"BASE={triton_image}")
        report = modelport("check", str(folder), *base, MODELPORT_DOCKER_HOST=podman_engine)
        outcomes = {one["name"]: one["outcome"] for one in report["stages"]}
        assert outcomes["predict"] == "passed", outcomes
        assert report["findings"] == []
    finally:
        remove_images(podman_engine, "localhost/example-triton-listener")
