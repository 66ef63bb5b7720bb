"""A server of several models as its users run it."""

import concurrent.futures
from collections.abc import Callable
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.dummy import DummyClassifier

from tests.server.server_process import ServerProcess, start

__all__ = ["start"]  # the fixture

pytestmark = pytest.mark.slow

ROW = [[1.0, 2.0]]


def write(folder: Path, name: str, answer: int) -> None:
    model = DummyClassifier(strategy="constant", constant=answer).fit([[0.0, 0.0]] * 2, [answer, answer + 1])
    model.ballast = np.zeros(1 << 20)  # 8 MiB in memory and on disk
    (folder / name).mkdir(parents=True)
    joblib.dump(model, folder / name / "model.joblib")


def test_models_come_and_go_within_the_budget_while_callers_get_their_own_answers(
    start: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    names = [f"m{number}" for number in range(6)]
    for number, name in enumerate(names):
        write(tmp_path / "models", name, number)
    (tmp_path / "models" / "broken").mkdir()
    server = start(tmp_path, "models", "--multi-model", "--memory-budget-mb", "20")
    server.ready()

    def ask(number: int) -> object:
        body = {"instances": ROW * (number % 3 + 1)}
        return server.client.post("/predict", json=body, headers={"x-model": f"m{number % 6}"}).json()

    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(ask, range(60)))
    assert answers == [{"predictions": [number % 6] * (number % 3 + 1)} for number in range(60)]

    held = [one["name"] for one in server.client.get("/models").json() if one["state"] == "READY"]
    assert 1 <= len(held) <= 2
    metrics = server.client.get("/metrics").text
    assert f"modelport_server_models_held {float(len(held))}" in metrics

    tensor = {"name": "x", "datatype": "FP64", "shape": [1, 2], "data": [1, 2]}
    assert server.client.post("/v2/models/m4/infer", json={"inputs": [tensor]}).json()["model_name"] == "m4"
    assert server.client.post("/v1/models/m5:predict", json={"instances": ROW}).json() == {"predictions": [5]}
    assert server.client.get("/v2/models/m3").json()["name"] == "m3"

    assert server.client.get("/v2/health/ready").json() == {"ready": True}
    assert server.client.get("/v2").json()["name"] == "modelport"

    unknown = server.client.post("/predict", json={"instances": ROW}, headers={"x-model": "m9"})
    assert unknown.status_code == 404
    assert "`m0`, `m1`" in unknown.text
    assert server.client.post("/predict", json={"instances": ROW}).status_code == 404
    broken = server.client.post("/v1/models/broken:predict", json={"instances": ROW})
    assert "The model `broken` cannot be loaded" in broken.text
    assert server.client.get("/health").status_code == 200
