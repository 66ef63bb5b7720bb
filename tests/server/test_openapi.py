"""The OpenAPI document says what the server takes and gives, and shows an example that `modelport check` can send."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from modelport.check.samples import Origin, first_sample
from modelport.doctor import openapi as openapi_reader
from modelport.server import openapi
from modelport.server.config import ServerConfig
from modelport.server.exchange import Request, Response
from modelport.server.model import Calls, ModelInfo, TensorInfo
from modelport.server.predictor import load_predictor

CODE = """
from dataclasses import dataclass
import pydantic

class Wheel(pydantic.BaseModel):
    size: float

class Car(pydantic.BaseModel):
    wheels: list[Wheel]

@dataclass
class Error:
    car: Car
    photo: bytes | None = None

class Predictor:
    example = [{"car": {"wheels": [{"size": 16}]}, "photo": {"b64": "aGk="}}]

    def predict(self, instances: list[Error], detail: bool = False) -> list[Wheel]:
        return [one.car.wheels[0] for one in instances]

class Words:
    example = ["a b"]

    def predict(self, instances: list[str]):
        yield from instances
"""


def described(info: ModelInfo, **settings: str) -> dict[str, Any]:
    found = openapi.document(info, ServerConfig(**settings))  # type: ignore[arg-type]
    OpenAPIV31SpecValidator(json.loads(json.dumps(found))).validate()
    return found


def schema_of(document: dict[str, Any], name: str) -> Draft202012Validator:
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    return Draft202012Validator(schema)


@pytest.fixture
def cars(tmp_path: Path) -> ModelInfo:
    file = tmp_path / "cars.py"
    file.write_text(CODE)
    return load_predictor(f"{file}:Predictor", None).info


@pytest.mark.parametrize(
    "info",
    [
        ModelInfo("SCIKIT_LEARN"),
        ModelInfo("ONNX", inputs=(TensorInfo("x", "FP32", (-1, 4)),), outputs=(TensorInfo("y", "INT64", (-1,)),)),
        ModelInfo("PREDICTOR", calls=Calls.STREAM, response_schema={"type": "string"}),
    ],
)
def test_the_document_is_valid(info: ModelInfo) -> None:
    document = described(info, model_name="iris", model_version="v1", predict_route="/v1/models/iris:predict")

    assert next(iter(document["paths"])) == "/v1/models/iris:predict"
    assert ("/v2/models/iris/infer" in document["paths"]) is (info.calls is Calls.SYNC)


def test_a_predictor_is_described_by_its_hints(cars: ModelInfo) -> None:
    document = described(cars)

    assert schema_of(document, "Instance").is_valid({"car": {"wheels": [{"size": 1}]}, "photo": {"b64": "aGk="}})
    assert not schema_of(document, "Instance").is_valid({"car": {"wheels": [{"size": "x"}]}})
    assert not schema_of(document, "Instance").is_valid({"car": {"wheels": []}, "photo": "aGk="})
    assert schema_of(document, "Prediction").is_valid({"size": 2})
    assert not schema_of(document, "Prediction").is_valid({"size": None})
    # A class of the user's may be called like one of our own schemas.
    assert not schema_of(document, "Error").is_valid({"car": {"wheels": []}})
    body = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["required"] == ["instances"]


def test_check_sends_the_example(cars: ModelInfo) -> None:
    document = openapi_reader.parsed(openapi_reader.abridged(described(cars)))
    sample = first_sample(None, document, "/predict")

    assert sample.origin is Origin.EXAMPLE
    assert sample.instances == [{"car": {"wheels": [{"size": 16}]}, "photo": {"b64": "aGk="}}]
    assert sample.parameters == {}


def test_check_makes_a_sample_of_the_inputs() -> None:
    info = ModelInfo("TENSORFLOW", inputs=(TensorInfo("a", "FP32", (-1, 2)), TensorInfo("b", "BYTES", (-1,))))
    sample = first_sample(None, described(info), "/predict")

    assert sample.origin is Origin.SCHEMA
    assert sample.instances == [{"a": [0.0, 0.0], "b": "text"}]


@pytest.mark.parametrize(
    ("tensors", "row"),
    [
        ([TensorInfo("x", "FP64", (-1,))], 1.5),
        ([TensorInfo("x", "INT64", (-1, 2))], [1, 2]),
        ([TensorInfo("x", "FP32", (-1, -1, 1))], [[1], [2], [3]]),
        ([TensorInfo("x", "BOOL", (1, 1)), TensorInfo("y", "BYTES", (-1,))], {"x": [True], "y": "a"}),
    ],
)
def test_a_row_of_tensors_is_nested_lists(tensors: list[TensorInfo], row: Any) -> None:
    validator = Draft202012Validator(openapi.row_schema(tensors))

    assert validator.is_valid(row)
    assert not validator.is_valid([row, [row]])


@pytest.mark.parametrize(
    ("rows", "shown"),
    [
        ((), []),
        (np.array([[1, 2]], np.float32), [[1.0, 2.0]]),
        ([b"hi", {"a": np.int64(1)}], [{"b64": "aGk="}, {"a": 1}]),
        (["a", "x" * 10_000, "b"], ["a"]),
        ([object()], []),
        ({"a": [1]}, []),
    ],
)
def test_an_example_is_shown_as_it_is_sent_and_only_where_it_is_short(rows: Any, shown: list[Any]) -> None:
    assert openapi.example_of(rows) == shown


def test_a_stream_is_offered_beside_the_ordinary_answer(tmp_path: Path) -> None:
    file = tmp_path / "words.py"
    file.write_text(CODE)
    document = described(load_predictor(f"{file}:Words", None).info)
    content = document["paths"]["/predict"]["post"]["responses"]["200"]["content"]

    assert set(content) == {"application/json", "application/x-ndjson", "text/event-stream"}


def test_the_document_is_answered() -> None:
    class Answer:
        closed = False
        response: Response

        def send(self, response: Response) -> None:
            self.response = response

    answer = Answer()
    openapi.handler(ModelInfo("X"), ServerConfig())(Request(b"GET", b"/openapi.json"), answer)  # type: ignore[arg-type]

    assert json.loads(answer.response.body)["openapi"] == "3.1.0"
