import json
import struct
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from modelport.core.errors import InvalidArgument
from modelport.server import inference, tensors
from modelport.server.exchange import Handler, Request, Response
from modelport.server.model import Form, TensorInfo
from modelport.server.number_arrays import WORTHWHILE_BYTES, NumberReader
from modelport.server.open_inference import routes
from modelport.server.tensors import DTYPES, Tensor
from tests.server.wire_exchanges import Function, Recorded, ask, batcher_of

TWO = (TensorInfo("age", "INT64", (-1,)), TensorInfo("name", "BYTES", (-1,)))


def handlers(model: Function, version: str = "v1", *, ready: bool = True, **options: Any) -> dict[Any, Handler]:
    return routes(model.info, "iris", version, batcher_of(model), lambda: ready, **options)


def get(found: dict[Any, Handler], path: bytes) -> tuple[int, Any]:
    reply = Recorded()
    found[b"GET", path](Request(b"GET", path), reply)  # type: ignore[arg-type]
    return reply.responses[0].status, orjson.loads(reply.responses[0].body)


async def infer(model: Function, body: Any, headers: Any = None, **options: Any) -> Response:
    return await ask(handlers(model, **options)[b"POST", b"/v2/models/iris/infer"], body, headers)


async def inferred(model: Function, body: Any, **options: Any) -> Any:
    response = await infer(model, body, **options)
    assert response.status == 200, response.body
    return orjson.loads(response.body)


def tensor(data: Any, shape: Any = None, datatype: str = "FP64", name: str = "x", **more: Any) -> dict[str, Any]:
    shape = list(np.array(data, dtype=object).shape) if shape is None else shape
    return {"name": name, "shape": shape, "datatype": datatype, "data": data, **more}


@pytest.mark.anyio
async def test_the_server_tells_about_itself() -> None:
    found = handlers(Function(abs))
    status, document = get(found, b"/v2")
    assert status == 200
    assert document["name"] == "modelport"
    assert document["extensions"] == ["binary_tensor_data"]
    assert get(found, b"/v2/health/live") == (200, {"live": True})


@pytest.mark.anyio
@pytest.mark.parametrize("ready", [True, False])
async def test_readiness_is_that_of_the_model(ready: bool) -> None:
    found = handlers(Function(abs), ready=ready)
    status = 200 if ready else 503
    assert get(found, b"/v2/health/ready") == (status, {"ready": ready})
    assert get(found, b"/v2/models/iris/ready") == (status, {"name": "iris", "ready": ready})
    assert get(found, b"/v2/models/iris/versions/v1/ready") == (status, {"name": "iris", "ready": ready})


@pytest.mark.anyio
async def test_the_model_tells_about_itself() -> None:
    model = Function(abs, inputs=TWO, outputs=(TensorInfo("y", "FP32", (-1, 3)),))
    document = {
        "name": "iris",
        "versions": ["v1"],
        "platform": "test",
        "inputs": [
            {"name": "age", "datatype": "INT64", "shape": [-1]},
            {"name": "name", "datatype": "BYTES", "shape": [-1]},
        ],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 3]}],
    }
    found = handlers(model)
    assert get(found, b"/v2/models/iris") == (200, document)
    assert get(found, b"/v2/models/iris/versions/v1") == (200, document)
    without = handlers(model, "")
    assert get(without, b"/v2/models/iris")[1]["versions"] == []
    assert not [path for _, path in without if b"versions" in path]


@pytest.mark.anyio
async def test_one_tensor_is_the_rows() -> None:
    model = Function(lambda rows: rows.sum(axis=1))
    body = {"id": "7", "parameters": {"a": 1}, "inputs": [tensor([1, 2, 3, 4], [2, 2], "FP32")]}
    assert await inferred(model, body) == {
        "model_name": "iris",
        "model_version": "v1",
        "id": "7",
        "outputs": [{"name": "output-0", "datatype": "FP32", "shape": [2], "data": [3.0, 7.0]}],
    }
    assert model.parameters == {"a": 1}
    assert model.batch.dtype == np.float32


@pytest.mark.anyio
async def test_nested_data_is_the_same_as_flat_data() -> None:
    model = Function(lambda rows: rows)
    flat = await inferred(model, {"inputs": [tensor([1, 2, 3, 4], [2, 2], "INT8")]})
    nested = await inferred(model, {"inputs": [tensor([[1, 2], [3, 4]], [2, 2], "INT8")]})
    assert flat == nested
    assert flat["outputs"][0] == {"name": "output-0", "datatype": "INT8", "shape": [2, 2], "data": [1, 2, 3, 4]}


@pytest.mark.anyio
@pytest.mark.parametrize("declared", [(), TWO])
async def test_several_tensors_are_columns(declared: Any) -> None:
    model = Function(lambda columns: [f"{a} {n}" for a, n in zip(columns["age"], columns["name"], strict=True)])
    model.info = Function(abs, inputs=declared).info
    body = {"inputs": [tensor([1, 2], datatype="INT64", name="age"), tensor(["x", "y"], None, "BYTES", "name")]}
    outputs = (await inferred(model, body))["outputs"]
    assert outputs == [{"name": "output-0", "datatype": "BYTES", "shape": [2], "data": ["1 x", "2 y"]}]
    assert model.batch["name"] == ["x", "y"]


@pytest.mark.anyio
async def test_one_tensor_of_several_inputs_is_a_column() -> None:
    model = Function(lambda columns: [0] * 2, inputs=TWO)
    await inferred(model, {"inputs": [tensor([1, 2], datatype="INT64", name="age")]})
    assert list(model.batch) == ["age"]
    await inferred(model, {"inputs": [tensor([[1, 2], [3, 4]], name="input-0")]})
    assert model.batch.shape == (2, 2)


@pytest.mark.anyio
async def test_columns_of_width_one_are_flat_where_the_model_declares_no_shapes() -> None:
    model = Function(lambda columns: columns["a"])
    await inferred(model, {"inputs": [tensor([[1], [2]], name="a"), tensor([[1, 2], [3, 4]], name="b")]})
    assert model.batch["a"].shape == (2,)
    assert model.batch["b"].shape == (2, 2)


@pytest.mark.anyio
async def test_a_model_that_takes_lists_is_given_lists() -> None:
    model = Function(lambda rows: [0] * len(rows), form=Form.PYTHON)
    await inferred(model, {"inputs": [tensor([[1], [2]])]})
    assert model.batch == [[1.0], [2.0]]
    await inferred(model, {"inputs": [tensor([1, 2], name="a"), tensor(["x", "y"], None, "BYTES", "b")]})
    assert model.batch == [{"a": 1.0, "b": "x"}, {"a": 2.0, "b": "y"}]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (np.array([True, False]), ("BOOL", [2], [True, False])),
        (np.array([1, 2], np.uint8), ("UINT8", [2], [1, 2])),
        (np.array([0.1, np.nan], np.float32), ("FP32", [2], [0.1, None])),
        (np.array([0.5, 1], np.float16), ("FP16", [2], [0.5, 1])),
        (np.array(["a", "b"]), ("BYTES", [2], ["a", "b"])),
        (np.array([["a"], ["b"]], object), ("BYTES", [2, 1], ["a", "b"])),
        (["a", b"b"], ("BYTES", [2], ["a", "b"])),
        ([1, 2], ("INT64", [2], [1, 2])),
        ([np.float32(1), np.float32(2)], ("FP64", [2], [1, 2])),
        ([[1, 2.5], [3, 4]], ("FP64", [2, 2], [1, 2.5, 3, 4])),
        ([[1], [2, 3]], ("BYTES", [2], ["[1]", "[2,3]"])),
        ([{"a": 1}, {"b": {2}}], ("BYTES", [2], ['{"a":1}', '{"b":[2]}'])),
        (np.array(["2020-01-02", "NaT"], "M8[D]"), ("BYTES", [2], ['"2020-01-02T00:00:00"', "null"])),
    ],
)
async def test_predictions_of_many_kinds_are_tensors(given: Any, wanted: Any) -> None:
    (output,) = (await inferred(Function(lambda rows: given), {"inputs": [tensor([1, 2])]}))["outputs"]
    assert (output["datatype"], output["shape"], output["data"]) == wanted


@pytest.mark.anyio
@pytest.mark.parametrize("given", [{"a": np.array([1, 2]), "b": ["x", "y"]}, [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]])
async def test_named_predictions_are_an_output_each(given: Any) -> None:
    model = Function(lambda rows: given)
    body = {"inputs": [tensor([1, 2])]}
    a = {"name": "a", "datatype": "INT64", "shape": [2], "data": [1, 2]}
    b = {"name": "b", "datatype": "BYTES", "shape": [2], "data": ["x", "y"]}
    assert (await inferred(model, body))["outputs"] == [a, b]
    assert (await inferred(model, body | {"outputs": [{"name": "b"}]}))["outputs"] == [b]
    response = await infer(model, body | {"outputs": [{"name": "c"}]})
    assert (response.status, orjson.loads(response.body)["error"]) == (
        400,
        "The model has no output `c`. Ask for `a`, `b`",
    )


@pytest.mark.anyio
async def test_bytes_that_are_no_text_go_both_ways_as_base64() -> None:
    model = Function(lambda rows: rows)
    body = {"inputs": [tensor(["//4=", "aGk="], [2], "BYTES", parameters={"content_type": "base64"})]}
    (output,) = (await inferred(model, body))["outputs"]
    assert model.batch == [b"\xff\xfe", b"hi"]
    assert output["data"] == ["//4=", "aGk="]
    assert output["parameters"] == {"content_type": "base64"}


@pytest.mark.anyio
async def test_tensors_go_both_ways_in_binary_form() -> None:
    model = Function(lambda columns: {"sum": columns["a"] + 1, "text": columns["b"]}, inputs=TWO)
    a, b = np.array([1.5, 2.5], "<f4").tobytes(), struct.pack("<I2sI0s", 2, b"\xffx", 0, b"")
    head = {
        "inputs": [
            {"name": "a", "shape": [2], "datatype": "FP32", "parameters": {"binary_data_size": len(a)}},
            {"name": "b", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": len(b)}},
        ],
        "outputs": [{"name": "text"}, {"name": "sum", "parameters": {"binary_data": False}}],
        "parameters": {"binary_data_output": True, "own": 1},
    }
    json_part = json.dumps(head).encode()
    headers = [(b"Inference-Header-Content-Length", str(len(json_part)).encode())]
    response = await infer(model, json_part + a + b, headers)
    assert response.status == 200, response.body
    assert response.content_type == b"application/octet-stream"
    length = int(response.headers[b"inference-header-content-length"])
    outputs = orjson.loads(response.body[:length])["outputs"]
    assert outputs[0] == {"name": "text", "datatype": "BYTES", "shape": [2], "parameters": {"binary_data_size": len(b)}}
    assert outputs[1] == {"name": "sum", "datatype": "FP32", "shape": [2], "data": [2.5, 3.5]}
    assert response.body[length:] == b
    assert model.parameters == {"own": 1}


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "The request is not JSON"),
        (b"[]", "no JSON object"),
        (b"{}", "no `inputs`"),
        ({"instances": [1]}, "predict route"),
        ({"inputs": [1]}, "`inputs` is not a list of objects"),
        ({"inputs": [{}]}, "inputs[0] has no `name`"),
        ({"inputs": [{"name": "x", "shape": [1]}]}, "no `datatype`"),
        ({"inputs": [tensor([1], datatype="FP128")]}, "`FP128`, which is not known. Known: BOOL, UINT8"),
        ({"inputs": [tensor([1], datatype="BF16")]}, "BF16, which JSON cannot hold"),
        ({"inputs": [tensor([1], [])]}, "the `shape` []"),
        ({"inputs": [tensor([1], [-1])]}, "the `shape` [-1]"),
        ({"inputs": [tensor([1], [True])]}, "the `shape` [True]"),
        ({"inputs": [tensor([], [0])]}, "no rows"),
        ({"inputs": [tensor([1, 2, 3], [2, 2])]}, "has 3 elements; its shape [2, 2] wants 4"),
        ({"inputs": [tensor([[1, 2], [3]], [3])]}, "nested lists of unequal length"),
        ({"inputs": [tensor(["a"])]}, "something that is not a number"),
        ({"inputs": [tensor(5, [1])]}, "has no list `data`"),
        ({"inputs": [tensor([300], datatype="UINT8")]}, "holds 300, which is no UINT8"),
        ({"inputs": [tensor([1.5], datatype="INT32")]}, "holds 1.5, which is no INT32"),
        ({"inputs": [tensor([None], datatype="INT32")]}, "holds nan, which is no INT32"),
        ({"inputs": [tensor([2], datatype="BOOL")]}, "holds 2, which is no BOOL"),
        ({"inputs": [tensor([1e39], datatype="FP32")]}, "holds 1e+39, which is no FP32"),
        ({"inputs": [tensor([2.0**64], datatype="UINT64")]}, "which is no UINT64"),
        ({"inputs": [tensor([1], datatype="BYTES")]}, "holds 1 at position 0, where texts are wanted"),
        ({"inputs": [tensor(["!"], None, "BYTES", parameters={"content_type": "base64"})]}, "not base64 at position 0"),
        ({"inputs": [tensor([1]), tensor([1])]}, "Two inputs have the same name"),
        ({"inputs": [tensor([1]), tensor([1, 2], name="y")]}, "different numbers of rows: `x` 1, `y` 2"),
        ({"inputs": [tensor([1], parameters=[])]}, "The `parameters` of inputs[0] are not an object"),
        ({"inputs": [tensor([1], parameters={"binary_data_size": 8})]}, "`binary_data_size` of 8; 0 bytes are there"),
        (b'{"inputs":' + b"[" * 5000, "The request is not JSON"),
        (b'{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":' + b"[" * 1015 + b"]" * 1015 + b"}]}", "deep"),
    ],
)
async def test_a_request_that_cannot_be_read_says_why(body: Any, text: str) -> None:
    response = await infer(Function(lambda rows: rows), body)
    document = orjson.loads(response.body)
    assert response.status == 400
    assert text in document["error"]
    assert list(document) == ["error"]


@pytest.mark.anyio
@pytest.mark.parametrize("length", [b"x", b"-1", b"1000"])
async def test_a_length_of_the_json_that_cannot_be_is_refused(length: bytes) -> None:
    response = await infer(Function(abs), {"inputs": []}, [(b"inference-header-content-length", length)])
    assert response.status == 400
    assert b"Inference-Header-Content-Length" in response.body


@pytest.mark.anyio
async def test_bytes_that_belong_to_no_input_are_refused() -> None:
    body = orjson.dumps({"inputs": [tensor([1.0])]})
    headers = [(b"inference-header-content-length", b"%d" % len(body))]
    response = await infer(Function(lambda rows: rows), body + b"xyz", headers)
    assert b"3 bytes behind the JSON belong to no input" in response.body


@pytest.mark.anyio
async def test_failures_of_the_model_have_the_form_of_the_protocol() -> None:
    def fail(rows: Any) -> Any:
        raise RuntimeError("broken")

    response = await infer(Function(fail), {"inputs": [tensor([1])]})
    assert response.status == 500
    assert orjson.loads(response.body)["error"].startswith("The model failed: RuntimeError: broken")
    wrong = await infer(Function(lambda rows: [1]), {"inputs": [tensor([1, 2])]})
    assert (wrong.status, b"1 predictions for 2 instances" in wrong.body) == (500, True)
    nan = await infer(Function(lambda rows: rows * np.nan), {"inputs": [tensor([1])]}, nan="error")
    assert (nan.status, b"predictions[0]" in nan.body) == (500, True)


@pytest.mark.anyio
@pytest.mark.parametrize("data", [[1.5] * WORTHWHILE_BYTES, [[1, 2]] * (WORTHWHILE_BYTES // 2), [7] * WORTHWHILE_BYTES])
async def test_large_tensors_are_read_like_small_ones(data: Any) -> None:
    model = Function(lambda rows: rows)
    body = {"id": "[", "parameters": {"a": [1]}, "inputs": [tensor(data, [WORTHWHILE_BYTES], "FP32")]}
    assert (await inferred(model, body))["outputs"][0]["data"] == np.array(data, float).ravel().tolist()
    assert model.parameters == {"a": [1]}
    del body["parameters"], body["id"]
    assert (await inferred(model, body))["outputs"][0]["data"] == np.array(data, float).ravel().tolist()
    assert model.batch.dtype == np.float32
    wrong = await infer(model, body | {"inputs": [tensor([*data, 1e39], [WORTHWHILE_BYTES + 1], "FP32")]})
    assert wrong.status == 400


NUMERIC = [name for name in DTYPES if name != "BYTES"]


@settings(max_examples=50)
@given(
    st.sampled_from(NUMERIC).flatmap(
        lambda name: hnp.arrays(
            DTYPES[name],
            hnp.array_shapes(max_dims=3, min_side=1, max_side=4),
            elements={"allow_nan": False, "allow_infinity": False} if name.startswith("FP") else None,
        )
    )
)
def test_numbers_come_back_from_both_forms_as_they_were(array: Any) -> None:
    sent = Tensor("x", array)
    head = orjson.loads(orjson.dumps(tensors.to_json(sent), option=orjson.OPT_SERIALIZE_NUMPY))
    from_json = tensors.from_json("x", head["datatype"], tuple(head["shape"]), head["data"])
    told, data = tensors.to_binary(sent)
    assert told["parameters"] == {"binary_data_size": len(data)}
    from_binary = tensors.from_binary("x", told["datatype"], tuple(told["shape"]), memoryview(data))
    for back in (from_json, from_binary):
        assert back.array.dtype == array.dtype
        assert back.array.shape == array.shape
        assert back.array.tobytes() == array.tobytes()
        assert back.array.flags.writeable


@settings(max_examples=30)
@given(st.lists(st.binary(max_size=20) | st.text(max_size=9), min_size=1, max_size=5))
def test_bytes_come_back_from_binary_form_as_they_were(elements: list[Any]) -> None:
    array = np.empty(len(elements), object)
    array[:] = elements
    _, data = tensors.to_binary(Tensor("x", array))
    back = tensors.from_binary("x", "BYTES", (len(elements),), memoryview(data))
    assert back.array.tolist() == [one.encode() if isinstance(one, str) else one for one in elements]


def test_large_whole_numbers_are_not_rounded() -> None:
    numbers = [2**64 - 1, 2**63 + 1, 1]
    assert tensors.from_json("x", "UINT64", (3,), numbers).array.tolist() == numbers
    assert tensors.from_json("x", "INT64", (2,), [2**53 + 1, -(2**63)]).array.tolist() == [2**53 + 1, -(2**63)]


def test_bf16_in_binary_form_is_float32() -> None:
    values = np.array([1.5, -2.0, 0.0], np.float32)
    data = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
    assert tensors.from_binary("x", "BF16", (3,), memoryview(data)).array.tolist() == values.tolist()


@pytest.mark.parametrize("data", [b"\x01", b"\x05\x00\x00\x00abc", b"\x01\x00\x00\x00a\x01"])
def test_binary_texts_that_are_cut_off_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidArgument, match="ends in the middle"):
        tensors.from_binary("x", "BYTES", (1,), memoryview(data))


def test_binary_numbers_that_are_cut_off_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="no multiple of the 4"):
        tensors.from_binary("x", "FP32", (1,), memoryview(b"abc"))


@settings(max_examples=50)
@given(st.binary(max_size=60), st.integers(0, 60))
def test_any_body_is_read_or_refused(body: bytes, length: int) -> None:
    for prefix in (
        b"",
        b'{"inputs":[{"name":"x","shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":9}}]}',
    ):
        with_prefix = prefix + body
        try:
            inference.read(with_prefix, min(len(prefix) or length, len(with_prefix)), NumberReader())
        except InvalidArgument as error:
            assert error.message  # noqa: PT017
