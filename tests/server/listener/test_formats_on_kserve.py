"""The formats `ai-platform`, `oip` and `oip-binary` on KServe's real server: datatypes, failures, empty and ragged."""

from typing import Any

import numpy as np
import pytest

from modelport.core.errors import Error, InvalidArgument, ModelServerFailed
from modelport.server.listener.declaration import Model
from modelport.server.listener.formats.base import Call, Message
from modelport.server.listener.formats.known import format_named
from modelport.server.listener.wire.model_call import failure
from tests.model_servers.kserve import KServe
from tests.server.listener.asking import answered, predicted

pytestmark = [pytest.mark.slow, pytest.mark.anyio]

V2 = ("oip", "oip-binary")


def v1(path: str = "/v1/models/double:predict") -> Model:
    return Model("double", "kserve", path, format="ai-platform")


def v2(format: str, inputs: dict[str, str], path: str = "/v2/models/double/infer", **fields: Any) -> Model:
    return Model("double", "kserve", path, format=format, inputs=inputs, **fields)


# Version 1 of its protocol: `instances` and `predictions`, as on the platform.

INSTANCES: dict[str, tuple[Any, Any]] = {
    "numbers": ([1, -2.5], [2, -5.0]),
    "vectors": ([[1, 2], [3, 4]], [[2, 4], [6, 8]]),
    "ragged vectors": ([[1, 2], [3], []], [[2, 4], [6], []]),
    "beyond 2^53": ([2**53 + 1, 2**62], [2**54 + 2, 2**63]),
    "texts": (["abc", "", "Ünïcödé 語 🙂"], ["cba", "", "🙂 語 édöcïnÜ"]),
    "an array": (np.array([[1, 2], [3, 4]], np.int64), [[2, 4], [6, 8]]),
    "no rows": ([], []),
}


@pytest.mark.parametrize(("rows", "wanted"), INSTANCES.values(), ids=INSTANCES)
async def test_instances_are_answered_with_predictions(kserve: KServe, rows: Any, wanted: Any) -> None:
    assert await predicted(kserve.url, v1(), rows) == wanted


async def test_what_the_model_refuses_is_refused_in_its_words(kserve: KServe) -> None:
    with pytest.raises(InvalidArgument, match="answered 400: the model was asked to refuse"):
        await predicted(kserve.url, v1(), ["refuse"])


async def test_what_the_model_fails_on_is_a_failure_in_its_words(kserve: KServe) -> None:
    with pytest.raises(ModelServerFailed, match="answered 500: TypeError : unsupported operand"):
        await predicted(kserve.url, v1(), [{"x": 1}])


# Version 2: the Open Inference Protocol.

TENSORS: dict[str, tuple[Any, Any]] = {
    "BOOL": ([[True, False]], [[False, True]]),
    "INT8": ([[-64, 63]], [[-128, 126]]),
    "INT16": ([[-(2**14), 1]], [[-(2**15), 2]]),
    "INT32": ([[-(2**30), 1]], [[-(2**31), 2]]),
    "INT64": ([[2**53 + 1, -(2**62)]], [[2**54 + 2, -(2**63)]]),
    "UINT8": ([[127, 0]], [[254, 0]]),
    "UINT16": ([[2**15 - 1, 0]], [[2**16 - 2, 0]]),
    "UINT32": ([[2**31 - 1, 0]], [[2**32 - 2, 0]]),
    "UINT64": ([[2**63 - 1, 0]], [[2**64 - 2, 0]]),
    "FP32": ([[1.5, -(2.0**126)]], [[3.0, -(2.0**127)]]),
    "FP64": ([[0.1, 1e307]], [[0.2, 2e307]]),
    "BYTES": ([["abc", ""]], [["cba", ""]]),
}


@pytest.mark.parametrize("format", V2)
@pytest.mark.parametrize("datatype", TENSORS)
async def test_every_datatype_is_understood_on_both_sides(kserve: KServe, format: str, datatype: str) -> None:
    rows, wanted = TENSORS[datatype]

    assert await predicted(kserve.url, v2(format, {"x": f"{datatype}[2]"}), rows) == wanted


@pytest.mark.parametrize("format", V2)
async def test_several_inputs_are_columns_by_name(kserve: KServe, format: str) -> None:
    of = v2(format, {"x": "FP32[2]", "y": "INT64[1]"})

    given = await predicted(kserve.url, of, [{"x": [1, 2], "y": [3]}, {"x": [4, 5], "y": [6]}])

    assert given == {"twice-x": [[2, 4], [8, 10]], "twice-y": [6, 12]}


@pytest.mark.parametrize("format", V2)
async def test_no_rows_are_no_question(kserve: KServe, format: str) -> None:
    assert await predicted(kserve.url, v2(format, {"x": "FP32[2]"}), np.empty((0, 2), np.float32)) == []


@pytest.mark.parametrize("format", V2)
async def test_rows_of_no_values_come_back_so(kserve: KServe, format: str) -> None:
    assert await predicted(kserve.url, v2(format, {"x": "FP32[-1]"}), np.empty((2, 0), np.float32)) == [[], []]


@pytest.mark.parametrize("format", V2)
async def test_declared_outputs_are_asked_for(kserve: KServe, format: str) -> None:
    of = v2(format, {"x": "FP32[2]", "y": "INT64[1]"}, outputs={"twice-y": "INT64[1]"})

    assert await predicted(kserve.url, of, [{"x": [1, 2], "y": [3]}]) == [[6]]


async def test_binary_tensors_are_answered_in_binary_form(kserve: KServe) -> None:
    of, spoken = v2("oip-binary", {"x": "FP32[2]"}), format_named("oip-binary")

    answer = await answered(kserve.url, of, spoken.write_call(Call(np.ones((1, 2), np.float32)), of))

    assert answer.body.endswith(np.array([2, 2], np.float32).tobytes())
    assert b"inference-header-content-length" in answer.headers


@pytest.mark.parametrize("format", V2)
async def test_ragged_rows_never_reach_it(kserve: KServe, format: str) -> None:
    with pytest.raises(InvalidArgument, match=r"instances\[1\]"):
        await predicted(kserve.url, v2(format, {"x": "FP32[2]"}), [[1.0, 2.0], [3.0]])


async def test_a_shape_that_does_not_fit_fails_in_its_words(kserve: KServe) -> None:
    of = v2("oip", {"x": "FP32[2]"})
    tensor = b'{"name": "x", "shape": [3, 2], "datatype": "FP32", "data": [1, 2, 3, 4]}'

    error = failure(await answered(kserve.url, of, Message(b'{"inputs": [%b]}' % tensor)), of, format_named("oip"))

    assert isinstance(error, ModelServerFailed)
    assert "cannot reshape array of size 4 into shape (3,2)" in error.message


async def test_what_is_no_request_is_refused_field_by_field(kserve: KServe) -> None:
    of = v2("oip", {"x": "FP32[2]"})

    error = failure(await answered(kserve.url, of, Message(b'{"inputs": [{"name": "x"}]}')), of, format_named("oip"))

    assert error.message.startswith("The model `double` on `kserve` answered 4")
    assert "shape" in error.message
    assert "datatype" in error.message


@pytest.mark.parametrize(
    "of",
    [
        v1("/v1/models/absent:predict"),
        v2("oip", {"x": "FP32[1]"}, "/v2/models/absent/infer"),
        v2("oip-binary", {"x": "FP32[1]"}, "/v2/models/absent/infer"),
    ],
    ids=["V1", "V2", "V2-binary"],
)
async def test_an_unknown_model_is_told_in_its_words(kserve: KServe, of: Model) -> None:
    with pytest.raises(Error, match="answered 404: Model with name absent does not exist"):
        await predicted(kserve.url, of, [[1.0]])


@pytest.mark.parametrize("format", V2)
async def test_a_tensor_of_a_megabyte_comes_back(kserve: KServe, format: str) -> None:
    rows = np.random.default_rng(0).random((1000, 250), np.float32)

    given = await predicted(kserve.url, v2(format, {"x": "FP32[250]"}), rows)

    assert np.array_equal(np.asarray(given, np.float32), rows * 2)
