"""Calls over gRPC become the requests over REST that ask the same, and answers come back whole."""

import json

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.utils import deserialize_bytes_tensor

from modelport.core.errors import Code, InvalidArgument
from modelport.server import inference, tensors
from modelport.server.exchange import Response
from modelport.server.number_arrays import NumberReader
from modelport.server.open_inference import json_length
from modelport.server.rpc.messages import message_types
from modelport.server.rpc.translation import Failure, message_of, request_of

TYPES = message_types()
WHOLE = {
    "INT8": (8, True, "int_contents"),
    "INT16": (16, True, "int_contents"),
    "INT32": (32, True, "int_contents"),
    "INT64": (64, True, "int64_contents"),
    "UINT8": (8, False, "uint_contents"),
    "UINT16": (16, False, "uint_contents"),
    "UINT32": (32, False, "uint_contents"),
    "UINT64": (64, False, "uint64_contents"),
}


def call(datatype: str, values: list, field: str, **more):
    message = TYPES["ModelInferRequest"](model_name="iris", **more)
    tensor = message.inputs.add(name="x", datatype=datatype, shape=[len(values)])
    getattr(tensor.contents, field).extend(values)
    return message


def asked(message) -> inference.Inference:
    request = request_of("ModelInfer", message)
    return inference.read(request.body, json_length(request), NumberReader())


@given(st.data())
def test_whole_numbers_arrive_as_they_were_sent(data) -> None:
    datatype = data.draw(st.sampled_from(sorted(WHOLE)))
    bits, signed, field = WHOLE[datatype]
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    values = data.draw(st.lists(st.integers(low, high), min_size=1))
    (tensor,) = asked(call(datatype, values, field)).inputs
    assert tensor.array.dtype == tensors.DTYPES[datatype]
    assert tensor.array.tolist() == values


@given(st.lists(st.floats(width=32), min_size=1))
def test_floating_point_numbers_arrive_bit_by_bit(values: list[float]) -> None:
    for datatype, field in (("FP32", "fp32_contents"), ("FP64", "fp64_contents")):
        (tensor,) = asked(call(datatype, values, field)).inputs
        assert np.array_equal(tensor.array, np.array(values, tensors.DTYPES[datatype]), equal_nan=True)


@given(st.lists(st.binary(), min_size=1), st.lists(st.booleans(), min_size=1))
def test_bytes_and_truth_arrive_as_they_were_sent(words: list[bytes], truth: list[bool]) -> None:
    assert asked(call("BYTES", words, "bytes_contents")).inputs[0].array.tolist() == words
    assert asked(call("BOOL", truth, "bool_contents")).inputs[0].array.tolist() == truth


def test_what_stands_around_the_tensors_arrives_too() -> None:
    message = call("INT64", [1], "int64_contents", id="a b", model_version="v/1")
    message.parameters["temperature"].double_param = 0.5
    message.parameters["unset"].SetInParent()
    message.outputs.add(name="labels")
    message.inputs[0].parameters["content_type"].string_param = "np"
    request = request_of("ModelInfer", message)
    assert (request.method, request.path) == (b"POST", b"/v2/models/iris/versions/v%2F1/infer")
    got = asked(message)
    assert (got.id, got.parameters, got.outputs, got.binary) == ("a b", {"temperature": 0.5}, {"labels": True}, True)


@pytest.mark.parametrize(
    ("method", "fields", "path"),
    [
        ("ServerLive", {}, b"/v2/health/live"),
        ("ServerReady", {}, b"/v2/health/ready"),
        ("ServerMetadata", {}, b"/v2"),
        ("ModelReady", {"name": "a"}, b"/v2/models/a/ready"),
        ("ModelMetadata", {"name": "a", "version": "2"}, b"/v2/models/a/versions/2"),
        ("ModelMetadata", {"name": "a/b c"}, b"/v2/models/a%2Fb%20c"),
    ],
)
def test_other_calls_ask_for_what_is_told_over_rest(method: str, fields: dict, path: bytes) -> None:
    request = request_of(method, TYPES[f"{method}Request"](**fields))
    assert (request.method, request.path) == (b"GET", path)


@pytest.mark.parametrize(
    ("datatype", "values", "field", "said"),
    [
        ("INT8", [1, 200], "int_contents", "`x` holds 200, which is no INT8"),
        ("UINT16", [70_000], "uint_contents", "`x` holds 70000, which is no UINT16"),
        ("FP64", [1.0], "fp32_contents", "`x` is FP64 and has `fp32_contents`"),
        ("FP16", [1.0], "fp32_contents", "`x` is FP16, which has no field in `contents`"),
        ("BF16", [1.0], "fp32_contents", "`x` is BF16, which has no field in `contents`"),
    ],
)
def test_values_that_the_datatype_cannot_hold_are_refused(datatype, values, field, said) -> None:
    with pytest.raises(InvalidArgument) as refused:
        request_of("ModelInfer", call(datatype, values, field))
    assert said in refused.value.status().message


def test_raw_and_other_contents_are_not_mixed() -> None:
    with pytest.raises(InvalidArgument, match="2 `raw_input_contents` for 1 inputs"):
        request_of("ModelInfer", call("INT8", [1], "int_contents", raw_input_contents=[b"", b""]))
    with pytest.raises(InvalidArgument, match="`contents` beside the `raw_input_contents`"):
        request_of("ModelInfer", call("INT8", [1], "int_contents", raw_input_contents=[b"\x01"]))


def test_an_unknown_datatype_is_refused_by_whoever_reads_it() -> None:
    with pytest.raises(InvalidArgument, match="COMPLEX64"):
        asked(call("COMPLEX64", [1.0], "fp32_contents"))


ARRAYS = {
    "numbers": np.array([[1.5, np.nan], [-np.inf, 0.0]]),
    "small": np.array([[1], [255]], np.uint8),
    "half": np.array([0.5, 2.0], np.float16),
    "truth": np.array([True, False]),
    "words": np.array([b"\xff\x00", "ä".encode()], object),
}


def test_an_answer_comes_back_with_every_tensor() -> None:
    outputs = [tensors.Tensor(name, array, {"of": name}) for name, array in ARRAYS.items()]
    asked_for = inference.Inference("7", {}, (), {}, binary=True)
    answer = inference.answer(asked_for, outputs, "iris", "v1")
    response = Response(200, answer.body, headers={b"inference-header-content-length": b"%d" % answer.json_length})
    message = message_of("ModelInfer", TYPES, response)
    assert (message.model_name, message.model_version, message.id) == ("iris", "v1", "7")
    for output, raw in zip(message.outputs, message.raw_output_contents, strict=True):
        array = ARRAYS[output.name]
        assert dict(output.parameters).keys() == {"of"}
        assert output.parameters["of"].string_param == output.name
        if output.datatype == "BYTES":
            assert deserialize_bytes_tensor(raw).tolist() == array.tolist()
        else:
            read = np.frombuffer(raw, tensors.DTYPES[output.datatype]).reshape(output.shape)
            np.testing.assert_array_equal(read, array)


def test_an_answer_without_outputs_comes_back_too() -> None:
    message = message_of("ModelInfer", TYPES, Response(200, b'{"model_name": "iris", "outputs": []}'))
    assert (message.model_name, len(message.outputs)) == ("iris", 0)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, Code.INVALID_ARGUMENT),
        (404, Code.NOT_FOUND),
        (429, Code.RESOURCE_EXHAUSTED),
        (500, Code.INTERNAL),
        (503, Code.UNAVAILABLE),
        (504, Code.DEADLINE_EXCEEDED),
        (418, Code.INTERNAL),
    ],
)
def test_a_failure_has_the_code_of_its_status_and_its_words(status: int, code: Code) -> None:
    for error in ("words", {"message": "words"}):
        with pytest.raises(Failure) as failed:
            message_of("ModelInfer", TYPES, Response(status, orjson.dumps({"error": error})))
        assert (failed.value.code, failed.value.message) == (code, "words")


def test_not_ready_is_an_answer_and_no_failure() -> None:
    body = json.dumps({"name": "iris", "ready": False}).encode()
    assert message_of("ModelReady", TYPES, Response(503, body)).ready is False
    assert message_of("ModelReady", TYPES, Response(200, body.replace(b"false", b"true"))).ready is True


def test_metadata_come_back_as_the_protocol_has_them() -> None:
    document = {
        "name": "iris",
        "versions": ["v1"],
        "platform": "onnx",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}],
        "outputs": [{"name": "y", "datatype": "INT64", "shape": [-1]}],
        "more": 1,
    }
    message = message_of("ModelMetadata", TYPES, Response(200, json.dumps(document).encode()))
    assert (message.name, list(message.versions), message.platform) == ("iris", ["v1"], "onnx")
    assert [(one.name, one.datatype, list(one.shape)) for one in message.inputs] == [("x", "FP32", [-1, 4])]
