"""Requests of the Open Inference Protocol: what is made of a model's metadata, and where none is."""

import json
from typing import Any

import pytest

from modelport.check.open_inference import described_request, given_request, metadata_route
from modelport.check.samples import Origin


def metadata(*inputs: dict[str, Any]) -> bytes:
    return json.dumps({"name": "iris", "inputs": inputs}).encode()


@pytest.mark.parametrize(
    ("route", "described_at"),
    [
        ("/v2/models/iris/infer", "/v2/models/iris"),
        ("/v2/models/iris/versions/3/infer", "/v2/models/iris/versions/3"),
        ("/v2/models/iris/ready", None),
        ("/v1/models/iris:predict", None),
        ("/predict", None),
    ],
)
def test_only_infer_routes_are_of_the_protocol(route: str, described_at: str | None) -> None:
    assert metadata_route(route) == described_at


def test_a_tensor_of_zeros_is_made_for_each_input() -> None:
    sample = described_request(
        metadata(
            {"name": "x", "datatype": "FP32", "shape": [-1, 3]},
            {"name": "text", "datatype": "BYTES", "shape": [1]},
            {"name": "flag", "datatype": "BOOL", "shape": []},
            {"name": "half", "datatype": "FP16", "shape": [1]},
        ),
    )
    assert sample is not None
    assert json.loads(sample.body) == {
        "inputs": [
            {"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [0.0, 0.0, 0.0]},
            {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["text"]},
            {"name": "flag", "datatype": "BOOL", "shape": [], "data": [False]},
        ]
    }
    assert (sample.origin, sample.certain) == (Origin.METADATA, False)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"error": "unknown model"}',
        metadata(),
        metadata({"name": "x", "datatype": "FP16", "shape": [1]}),  # which JSON cannot carry
        metadata({"name": "x", "datatype": "FP32", "shape": [1000, 1000]}),
        metadata({"name": "x", "datatype": "FP32", "shape": ["rows"]}),
        metadata({"name": "x", "datatype": "FP32"}),
        b'{"inputs": ["x"]}',
    ],
)
def test_nothing_is_made_of_what_does_not_describe_a_model(answer: bytes) -> None:
    assert described_request(answer) is None


def test_a_request_of_the_users_own_is_sent_as_it_is() -> None:
    request = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [5]}]}
    sample = given_request([request])
    assert sample is not None
    assert (json.loads(sample.body), sample.certain) == (request, True)
    assert given_request([[1.0, 2.0]]) is None
