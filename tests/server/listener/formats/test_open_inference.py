"""The Open Inference Protocol: tensors as a model declares them, and answers as a caller asks for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest

from modelport.core.errors import InvalidArgument, ModelServerGarbled
from modelport.server.listener.formats.base import Call, Message
from modelport.server.listener.formats.known import format_named
from modelport.server.model import Batch
from tests.server.listener.formats.messages import answer, model, plain, received, request

LENGTH = b"inference-header-content-length"


def tensors(batch: Batch, inputs: dict[str, str], **others: Any) -> list[dict[str, Any]]:
    written = format_named("oip").write_call(Call(batch, **others), model(inputs=inputs))
    return orjson.loads(written.body)["inputs"]  # type: ignore[no-any-return]


def refused(batch: Batch, inputs: dict[str, str], format: str = "oip-binary") -> InvalidArgument:
    with pytest.raises(InvalidArgument) as caught:
        format_named(format).write_call(Call(batch), model(inputs=inputs))
    return caught.value


@pytest.mark.parametrize(
    ("batch", "type", "shape", "data"),
    [
        (np.array([[1.0, 2.0]]), "FP32[2]", [1, 2], [1.0, 2.0]),
        (np.array([[1.0, 2.0]]), "INT8[-1]", [1, 2], [1, 2]),
        (np.array([0, 1]), "BOOL", [2], [False, True]),
        (np.array([3, 4]), "FP16[1]", [2, 1], [3.0, 4.0]),
        (np.array([[3], [4]]), "INT64", [2], [3, 4]),
        (["a", "b"], "BYTES[1]", [2, 1], ["a", "b"]),
        ([["a"], ["b"]], "BYTES", [2], ["a", "b"]),
        ([["a", "b"]], "BYTES[2]", [1, 2], ["a", "b"]),
        ([2**63, 1], "UINT64", [2], [2**63, 1]),
        ([np.array([1, 2]), [3, 4]], "INT32[2]", [2, 2], [1, 2, 3, 4]),
        ([np.float32(0.5), 1], "FP32", [2], [0.5, 1.0]),
        (np.array([True, False]), "FP64", [2], [1.0, 0.0]),
        ([{"x": 1}, {"x": 2}], "INT64", [2], [1, 2]),
        ([{"y": 1}, {"y": 2}], "INT64", [2], [1, 2]),
        ({"y": np.array([1, 2])}, "INT64", [2], [1, 2]),
    ],
)
def test_rows_become_the_tensor_that_is_declared(batch: Batch, type: str, shape: list[int], data: list[Any]) -> None:
    (tensor,) = tensors(batch, {"x": type})
    assert tensor == {"name": "x", "datatype": type.split("[")[0], "shape": shape, "data": data}


@pytest.mark.parametrize(
    "batch", [{"b": ["x", "y"], "a": np.array([1, 2]), "c": [0, 0]}, [{"a": 1, "b": "x"}, {"b": "y", "a": 2}]]
)
def test_several_inputs_are_taken_by_name_from_columns_or_objects(batch: Batch) -> None:
    one, other = tensors(batch, {"a": "FP32", "b": "BYTES[1]"})
    assert one == {"name": "a", "datatype": "FP32", "shape": [2], "data": [1.0, 2.0]}
    assert other == {"name": "b", "datatype": "BYTES", "shape": [2, 1], "data": ["x", "y"]}


@pytest.mark.parametrize(
    ("batch", "datatype"),
    [
        (np.array([1.5]), "FP64"),
        (np.array([1], np.int16), "INT16"),
        (np.array([1.5], np.float32), "FP32"),
        (["a"], "BYTES"),
        ([True, False], "BOOL"),
    ],
)
def test_undeclared_inputs_have_the_type_of_the_array(batch: Batch, datatype: str) -> None:
    assert [one["datatype"] for one in tensors(batch, {})] == [datatype]


@pytest.mark.parametrize(
    ("batch", "inputs", "message", "row"),
    [
        ([[1, 2], [3]], {}, "instances[1] has 1 value, the rows before have 2 values", "1"),
        ([[1, 2], [3]], {"x": "FP32[2]"}, "instances[1] has 1 value", "1"),
        ([["a", "b"], ["c"]], {}, "instances[1] has 1 value, the rows before have 2 values", "1"),
        ([["a"], [["b"]]], {"x": "BYTES[1]"}, "instances[1] has 1 x 1 values", "1"),
        (np.ones((2, 3)), {"x": "FP32[4]"}, "instances[0] has 3 values; `FP32[4]` is wanted", "0"),
        ([1, "b"], {"x": "FP32"}, "instances[1] holds `'b'`, which is no number", "1"),
        (["a", 1], {"x": "BYTES"}, "instances[1] holds `1`, which is no text", "1"),
        (
            [{"a": 1}, {"a": 2, "b": 1}],
            {"a": "FP32", "b": "FP32"},
            "instances[0] has `a`; the model `m` takes `a`, `b`",
            "0",
        ),
        ([{"a": 1}, {"a": 2, "b": 1}], {}, "instances[1] has `a`, `b`; the model `m` takes `a`", "1"),
        ([{"a": 1}, {}], {"x": "FP32"}, "instances[1] has nothing", "1"),
        ({"a": [1]}, {"a": "FP32", "b": "FP32"}, "The rows have `a`, no `b`", None),
        ([[1, 2]], {"a": "FP32", "b": "FP32"}, "have no names", None),
        ([300], {"x": "INT8"}, "holds 300, which is no INT8", None),
        ([1.5], {"x": "INT64"}, "holds 1.5, which is no INT64", None),
        ([None], {"x": "INT64"}, "holds nan, which is no INT64", None),
        ([2**63, -1], {"x": "INT64"}, "which is no INT64", None),
        ([{"a": [1]}, {"a": {}}], {}, "instances[1] holds `{}`", "1"),
        (["\ud800"], {"x": "BYTES"}, "half a surrogate", None),
    ],
)
def test_rows_that_make_no_tensor_are_refused(
    batch: Batch, inputs: dict[str, str], message: str, row: str | None
) -> None:
    error = refused(batch, inputs)
    assert message in error.message
    assert error.metadata.get("row") == row
    assert "`m`" in error.message


def test_bf16_is_rounded_to_even_and_needs_binary_form() -> None:
    numbers = np.array([[1.0, 1.00390625, 1.01171875, -3.14159, np.nan, np.inf, 3.4e38]], np.float32)
    # The NaN whose bits rounding would carry over into those of a number.
    numbers[0, 4] = np.uint32(0x7FFFFFFF).view(np.float32)
    one = format_named("oip-binary")
    message = one.write_call(Call(numbers), model(inputs={"x": "BF16[7]"}))
    (head,) = orjson.loads(message.body[: int(message.headers[LENGTH])])["inputs"]
    assert (head["datatype"], head["parameters"]) == ("BF16", {"binary_data_size": 14})
    # Ties go to the even neighbour; what is beyond the largest is infinite.
    wanted = [1.0, 1.0, 1.015625, -3.140625, None, float("inf"), float("inf")]
    assert plain(one.read_call(received(message)).batch) == [wanted]
    assert "BF16, which JSON cannot hold" in refused(numbers, {"x": "BF16[7]"}, "oip").message


def test_a_model_is_asked_for_the_outputs_that_it_declares() -> None:
    declared = model(inputs={"x": "FP32"}, outputs={"a": "FP32", "b": "FP32"})
    call = Call(np.array([1.0]), {"top_k": 3}, identity="7")
    document = orjson.loads(format_named("oip").write_call(call, declared).body)
    assert (document["id"], document["parameters"]) == ("7", {"top_k": 3})
    assert document["outputs"] == [{"name": "a"}, {"name": "b"}]
    message = format_named("oip-binary").write_call(call, declared)
    document = orjson.loads(message.body[: int(message.headers[LENGTH])])
    assert document["outputs"] == [{"name": name, "parameters": {"binary_data": True}} for name in "ab"]
    message = format_named("oip-binary").write_call(call, model())
    assert orjson.loads(message.body[: int(message.headers[LENGTH])])["parameters"]["binary_data_output"] is True


def outputs(*tensors: dict[str, Any]) -> Message:
    return Message(orjson.dumps({"model_name": "m", "outputs": list(tensors)}))


def test_one_output_is_rows_and_several_are_columns() -> None:
    a = {"name": "a", "datatype": "FP32", "shape": [2, 1], "data": [0.5, 1.5]}
    b = {"name": "b", "datatype": "BYTES", "shape": [2], "data": ["x", "y"]}
    oip = format_named("oip")
    assert plain(oip.read_answer(outputs(a), model())) == [[0.5], [1.5]]
    assert plain(oip.read_answer(outputs(a, b), model())) == [{"a": 0.5, "b": "x"}, {"a": 1.5, "b": "y"}]
    declared = model(outputs={"b": "BYTES"})
    assert oip.read_answer(outputs(a, b), declared) == ["x", "y"]
    with pytest.raises(ModelServerGarbled, match="with the output `b`: it has a"):
        oip.read_answer(outputs(a), declared)


def test_predictions_that_make_no_tensor_come_back_from_their_json() -> None:
    rows: Batch = [{"a": 1}, {"b": [2, None]}]
    oip = format_named("oip")
    assert oip.read_answer(answer(oip.write_answer(rows, Call([]), "m")), model()) == rows


@pytest.mark.parametrize("format", ["oip", "oip-binary"])
def test_callers_are_answered_in_the_form_that_they_ask_for(format: str) -> None:
    body = orjson.dumps(
        {
            "id": "a",
            "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}],
            "outputs": [{"name": "y", "parameters": {"binary_data": True}}],
        }
    )
    one = format_named(format)
    call = one.read_call(request(body))
    assert (call.identity, plain(call.batch)) == ("a", [[1.0, 2.0]])
    response = one.write_answer(np.array([0.5]), call, "target")
    length = int(response.headers[LENGTH])
    document = orjson.loads(response.body[:length])
    assert (document["model_name"], document["id"]) == ("target", "a")
    assert document["outputs"][0]["name"] == "y"
    assert np.frombuffer(response.body[length:]).tolist() == [0.5]
    with pytest.raises(InvalidArgument, match="no output `y`"):
        one.write_answer({"a": [1], "b": [2]}, call, "target")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "is not an object"),
        (b"[]", "is not an object"),
        (b'{"outputs": []}', "is not an object"),
        (b'{"outputs": [1]}', "no object"),
        (b'{"outputs": [{}]}', "no `name`"),
        (b'{"outputs": [{"name": "a", "datatype": "FP32", "shape": []}]}', "the shape []"),
        (b'{"outputs": [{"name": "a", "datatype": "FP32", "shape": [1], "data": []}]}', "has 0 elements"),
        (b'{"outputs": [{"name": "a", "datatype": "FP9", "shape": [1], "data": [1]}]}', "`FP9`, which is not known"),
        (
            b'{"outputs": [{"name": "a", "datatype": "FP32", "shape": [1], "parameters": {"binary_data_size": 4}}]}',
            "4 b",
        ),
    ],
)
def test_answers_that_are_none_are_garbled(body: bytes, reason: str) -> None:
    with pytest.raises(ModelServerGarbled) as caught:
        format_named("oip").read_answer(Message(body), model())
    assert reason in caught.value.message


@pytest.mark.parametrize("length", [b"9" * 5000, b"-1", b"x", b"100"])
def test_a_length_that_cannot_be_is_refused_from_both_sides(length: bytes) -> None:
    one = format_named("oip-binary")
    with pytest.raises(InvalidArgument, match="Inference-Header-Content-Length"):
        one.read_call(request(b"{}", **{LENGTH.decode(): length}))
    with pytest.raises(ModelServerGarbled, match="inference-header-content-length"):
        one.read_answer(Message(b"{}", headers={LENGTH: length}), model())
