"""`python -m modelport.server` as its users run it: one process tree, everything it answers, its logs and its end."""

import json
from collections.abc import Callable
from pathlib import Path

import joblib
import numpy as np
import pytest
from openapi_spec_validator import validate
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from tests.server.server_process import ServerProcess, start

__all__ = ["start"]  # the fixture

ROWS, CLASSES = load_iris(return_X_y=True)
STREAMING = """
class Speaker:
    example = ["a b"]

    def predict(self, instances):
        for instance in instances:
            for word in instance.split():
                yield word.upper()
"""

pytestmark = pytest.mark.slow


def test_a_model_file_is_served_on_every_route(start: Callable[..., ServerProcess], tmp_path: Path) -> None:
    model = LogisticRegression(max_iter=500).fit(ROWS, CLASSES)
    folder = tmp_path / "model"
    folder.mkdir()
    joblib.dump(model, folder / "model.joblib")
    server = start(
        tmp_path,
        "--access-log",
        "--workers",
        "2",
        AIP_STORAGE_URI=str(folder),
        AIP_HEALTH_ROUTE="/v1/models/iris/versions/v1",
        AIP_PREDICT_ROUTE="/v1/models/iris/versions/v1:predict",
        AIP_MODEL_NAME="iris",
        AIP_VERSION_NAME="v1",
    )
    server.ready("/v1/models/iris/versions/v1")
    client = server.client

    answer = client.post("/v1/models/iris/versions/v1:predict", json={"instances": ROWS[::10].tolist()})
    assert answer.json() == {"predictions": model.predict(ROWS[::10]).tolist()}
    timing = answer.headers["server-timing"]
    assert [part.split(";")[0] for part in timing.split(", ")] == [
        *("parse", "queue", "preprocess", "predict", "postprocess", "serialise")
    ]
    poor = client.post("/v1/models/iris/versions/v1:predict", json={"instances": [[1, 2, 3]]})
    assert poor.status_code == 400
    assert poor.json()["error"]["message"] == "instances[0] has 3 values; the model takes 4"

    tensor = {"name": "input", "datatype": "FP64", "shape": [2, 4], "data": ROWS[:2].tolist()}
    inferred = client.post("/v2/models/iris/infer", json={"inputs": [tensor]})
    assert inferred.json()["outputs"][0]["data"] == model.predict(ROWS[:2]).tolist()
    assert client.get("/v2/models/iris/versions/v1").json()["platform"]
    assert client.get("/v2/models/nobody").json()["error"].startswith("There is nothing at `/v2/models/nobody`")

    document = client.get("/openapi.json").json()
    validate(document)
    assert "/v1/models/iris/versions/v1:predict" in document["paths"]

    metrics = dict(line.rsplit(" ", 1) for line in client.get("/metrics").text.splitlines() if not line.startswith("#"))
    assert metrics['modelport_server_requests_total{code="200"}'] == "2.0"
    assert metrics['modelport_server_requests_total{code="400"}'] == "1.0"
    assert metrics["modelport_server_in_flight"] == "0.0"
    assert float(metrics["modelport_server_rows_total"]) >= len(ROWS[::10]) + 2

    server.process.terminate()
    assert server.process.wait(20) == 0
    lines = [json.loads(line) for line in server.output.read_text().splitlines()]
    predictions = [line for line in lines if line["path"].endswith(":predict")]
    assert [(line["status"], line["rows"]) for line in predictions] == [(200, 15), (400, 1)]


def test_a_predictor_that_yields_is_streamed_to_those_who_ask(
    start: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    (tmp_path / "speaker.py").write_text(STREAMING)
    server = start(tmp_path, "--predictor", "speaker.py:Speaker")
    server.ready()
    body = {"instances": ["one two", "three"]}
    assert server.client.post("/predict", json=body).json() == {"predictions": ["ONETWO", "THREE"]}
    with server.client.stream("POST", "/predict", json=body, headers={"accept": "application/x-ndjson"}) as answer:
        items = [json.loads(line) for line in answer.iter_lines()]
    assert items == [
        {"prediction": "ONE", "instance": 0},
        {"prediction": "TWO", "instance": 0},
        {"prediction": "THREE", "instance": 1},
    ]
    assert server.client.post("/v2/models/model/infer", json={}).status_code == 404


def test_a_predict_route_of_the_protocol_is_answered_in_the_protocol(
    start: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    (tmp_path / "speaker.py").write_text("def total(instances):\n    return [sum(row) for row in instances]\n")
    route = "/v2/models/model/infer"
    server = start(tmp_path, "--predictor", "speaker.py:total", "--predict-route", route)
    server.ready()
    tensor = {"name": "x", "datatype": "FP64", "shape": [1, 2], "data": [1, 2]}
    (output,) = server.client.post(route, json={"inputs": [tensor]}).json()["outputs"]
    assert output["data"] == [3.0]


def test_a_model_that_cannot_be_loaded_ends_the_server_with_the_reason(
    start: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    (tmp_path / "model.joblib").write_bytes(b"not a model")
    server = start(tmp_path, str(tmp_path))
    assert server.process.wait(60) == 1
    assert "error: " in server.log.read_text()
    assert "model.joblib" in server.log.read_text()


def test_two_workers_give_the_same_answers_as_the_model_called_directly(
    start: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    model = LogisticRegression(max_iter=500).fit(ROWS, CLASSES)
    joblib.dump(model, tmp_path / "model.joblib")
    server = start(tmp_path, str(tmp_path), "--workers", "2", "--method", "predict_proba", "--batch-max-rows", "1")
    server.ready()
    random = np.random.default_rng(0)
    for count in (1, 2, 7):
        rows = random.normal(size=(count, 4))
        expected = np.concatenate([model.predict_proba(row[None]) for row in rows])
        answer = server.client.post("/predict", json={"instances": rows.tolist()})
        assert answer.json()["predictions"] == expected.tolist()
