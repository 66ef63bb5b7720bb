"""Every example with a listener is trained, passes `modelport check`, and answers real requests with the right words.

All of them run as processes, with the interpreter that has all frameworks. MODELPORT_WHOLE_CORPUS=1 builds and checks
them as containers too, which takes minutes for what pip downloads; the template of a listener is built in each run.
"""

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from modelport.server.listener.notation.listener_file import read_listener
from modelport.wheel import write_wheel
from tests.e2e.platform import ROOT, Platform, platform
from tests.e2e.test_templates import remove_images
from tests.engines.fixtures import BASE_IMAGE

EXAMPLES = ROOT / "examples"
# The contract's own pace: a busy machine imports the libraries of several processes for some seconds.
PATIENT = {"MODELPORT_CREATE_DEADLINE_S": "180", "MODELPORT_PROBE_PERIOD_S": "10"}
PROGRAMS = {
    "python": "",
    "modelport-server": "-m modelport.server",
    "modelport-listener": "-m modelport.server.listener",
}


@dataclass(frozen=True)
class Example:
    """What one is asked, and what it is to answer.

    Attributes:
        name: its folder.
        instances: what it is asked, beside its sample.
        told: of each prediction, what is compared.
        predictions: what that is.
        steps: what `server-timing` names, in any order.
        refused: instances that are answered with 400, and words of the reason.
    """

    name: str
    instances: list[Any]
    predictions: list[Any]
    steps: set[str]
    told: Callable[[Any], Any] = lambda prediction: prediction
    refused: Mapping[str, list[Any]] = field(default_factory=dict)


def image(name: str) -> bytes:
    return (EXAMPLES / "image-onnx" / name).read_bytes()


def written(data: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(data).decode()}


CASES = [
    Example(
        "embeddings-classifier",
        ["Where is my package?", "I was billed $99 twice!", "I want to exchange the trousers", "Unlock my profile"],
        ["delivery", "billing", "returns", "account"],
        {"ids", "embed", "marks", "features", "classify", "label"},
        lambda prediction: prediction["topic"],
        {"a text is wanted": ["fine", 7]},
    ),
    Example(
        "xgboost-pandas",
        [
            {"carrier": "rail", "service": "express", "distance_km": 120, "weight_kg": 2.5, "ordered": "2024-03-05"},
            {"carrier": "sea", "service": "economy", "distance_km": 1900, "weight_kg": 40, "ordered": "2024-03-09"},
            {"carrier": "rocket", "distance_km": None},
        ],
        ["on time", "very late", "on time"],
        {"columns", "delay", "label"},
        lambda prediction: prediction["label"],
        {"`colour`; known: carrier, ": [{"carrier": "sea"}, {"colour": "red"}], "an object is wanted": [[1, 2]]},
    ),
    Example(
        "image-onnx",
        [written(image("three.png")), written(image("seven.png"))],
        [3, 7],
        {"pixels", "digits", "digit"},
        lambda prediction: prediction["digit"],
        {"neither PNG nor JPEG": [written(image("three.png")), written(b"no image")], "send its bytes": ["three.png"]},
    ),
    Example(
        "ab-header",
        [[5.1, 3.5, 1.4, 0.2], [6.3, 2.8, 5.1, 1.5]],
        ["setosa", "versicolor"],
        {"a"},
        refused={"values": [[1, 2, 3]]},
    ),
]
BUILT = [one.name for one in CASES if os.environ.get("MODELPORT_WHOLE_CORPUS") == "1"]


def case(name: str) -> Example:
    return next(one for one in CASES if one.name == name)


def modelport(*arguments: str, **environ: str) -> dict[str, Any]:
    """Run a command of the command line and return its document."""
    ran = subprocess.run(
        [sys.executable, "-m", "modelport", *arguments, "--output", "json"],
        env={**os.environ, "MODELPORT_PROJECT": "p", **environ},
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    document: dict[str, Any] = json.loads(ran.stdout)
    return document


@dataclass(frozen=True)
class Trained:
    folder: Path
    model: Path


@pytest.fixture(scope="module")
def trained(frameworks_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Trained]:
    """Return an example with its model, in a folder of its own that has the programs that an image would have."""
    made: dict[str, Trained] = {}

    def example(name: str) -> Trained:
        if name not in made:
            folder = tmp_path_factory.mktemp("example") / name
            shutil.copytree(EXAMPLES / name, folder, ignore=shutil.ignore_patterns("__pycache__", "*.whl", "model"))
            made[name] = Trained(folder, folder.parent / "model")
            subprocess.run([frameworks_python, "train.py", made[name].model], cwd=folder, check=True, timeout=300)
            _with_programs(folder / ".venv" / "bin", frameworks_python)
        return made[name]

    return example


def _with_programs(folder: Path, python: Path) -> None:
    folder.mkdir(parents=True)
    for name, arguments in PROGRAMS.items():
        program = folder / name
        program.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT / "src"}" exec "{python}" {arguments} "$@"\n')
        program.chmod(0o755)


@pytest.fixture(scope="module")
def on_processes() -> Iterator[Platform]:
    with platform("process", **PATIENT) as one:
        yield one


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("example", CASES, ids=lambda one: one.name)
def test_an_example_passes_the_check_as_a_process(example: Example, trained: Callable[[str], Trained]) -> None:
    of = trained(example.name)

    report = modelport("check", str(of.folder), "--driver", "process", "--artifacts", str(of.model))

    outcomes = {one["name"]: one["outcome"] for one in report["stages"]}
    assert outcomes["predict"] == "passed", outcomes


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("example", CASES, ids=lambda one: one.name)
def test_an_example_answers_on_the_platform(
    example: Example, trained: Callable[[str], Trained], on_processes: Platform
) -> None:
    model = deployed(example.name, trained, on_processes)

    answer = on_processes.predict(f"models/{model}", {"instances": example.instances})

    assert answer.status_code == 200, answer.text
    assert [example.told(one) for one in answer.json()["predictions"]] == example.predictions
    assert example.steps <= steps_in(answer)
    for words, instances in example.refused.items():
        refused = on_processes.predict(f"models/{model}", {"instances": instances})
        assert refused.status_code == 400, refused.text
        assert words in refused.text


def deployed(name: str, trained: Callable[[str], Trained], on: Platform) -> str:
    of, model = trained(name), name.replace("-", "_")
    if on.client.get(f"/v1/projects/p/models/{model}").status_code == 404:
        modelport("deploy", str(of.folder), "--artifacts", str(of.model), MODELPORT_ENDPOINT=on.url)
    return model


def steps_in(answer: httpx.Response) -> set[str]:
    return {part.strip().partition(";")[0] for part in answer.headers["server-timing"].split(",")}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_image_is_read_as_it_is(trained: Callable[[str], Trained], on_processes: Platform) -> None:
    model = deployed("image-onnx", trained, on_processes)

    def ask(body: bytes) -> httpx.Response:
        headers = {"content-type": "image/png"}
        return on_processes.client.post(f"/v1/projects/p/models/{model}:predict", content=body, headers=headers)

    assert [json.loads(ask(image(name)).content)["digit"] for name in ("three.png", "seven.png")] == [3, 7]
    assert ask(b"\x89PNG\r\n\x1a\n but no more").status_code == 400


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_header_chooses_the_variant(trained: Callable[[str], Trained], on_processes: Platform) -> None:
    model = deployed("ab-header", trained, on_processes)

    def ask(**headers: str) -> httpx.Response:
        body = {"instances": [[6.3, 2.8, 5.1, 1.5]]}
        return on_processes.client.post(f"/v1/projects/p/models/{model}:predict", json=body, headers=headers)

    assert ask(**{"x-variant": "b"}).json() == {"predictions": ["virginica"]}
    assert ask(**{"x-variant": "a"}).json() == {"predictions": ["versicolor"]}
    unknown = ask(**{"x-variant": "c"})
    assert unknown.status_code == 404
    assert "`a`, `b`" in unknown.text


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", BUILT)
def test_an_example_builds_and_passes_the_check(name: str, podman_engine: str, tmp_path: Path) -> None:
    folder = tmp_path / f"example-{name}"
    shutil.copytree(EXAMPLES / name, folder)
    write_wheel(folder)

    try:
        build_args = ("--build-arg", f"BASE={BASE_IMAGE}")
        report = modelport("check", str(folder), *build_args, MODELPORT_DOCKER_HOST=podman_engine)
        outcomes = {one["name"]: one["outcome"] for one in report["stages"]}
        assert outcomes["predict"] == "passed", outcomes
    finally:
        remove_images(podman_engine, f"localhost/example-{name}")


@pytest.mark.parametrize("name", [one.name for one in CASES])
def test_an_example_is_complete(name: str) -> None:
    folder = EXAMPLES / name
    there = {path.name for path in folder.iterdir()}
    spec = yaml.safe_load((folder / "modelport.yaml").read_text(encoding="utf-8"))

    assert there >= {".dockerignore", "Dockerfile", "README.md", "listener.yaml", "modelport.yaml", "requirements.txt"}
    assert spec["sample"]
    assert f"modelport check examples/{name}" in (folder / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("routes", ["weights: {a: 90, b: 10}", "field: model", "instance_key: model"])
def test_what_else_may_choose_the_variant_can_be_written_so(routes: str, tmp_path: Path) -> None:
    assert routes.partition(" ")[0] in (EXAMPLES / "ab-header" / "README.md").read_text(encoding="utf-8")
    to = "" if routes.startswith("weights") else "\n  to: {a: a, b: b}\n  default: a"
    before, _, _ = (EXAMPLES / "ab-header" / "listener.yaml").read_text(encoding="utf-8").partition("routes:")
    (tmp_path / "listener.yaml").write_text(f"{before}routes:\n  {routes}{to}\n", encoding="utf-8")

    found = read_listener(tmp_path / "listener.yaml").routes

    assert found is not None
    assert set(found.to) == {"a", "b"}
