"""The formats against the handlers of modelport's own prediction server: what it is sent, and what it answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from modelport.server.exchange import Handler
from modelport.server.listener.formats.base import Call
from modelport.server.listener.formats.known import format_named
from modelport.server.model import Batch
from modelport.server.open_inference import routes
from modelport.server.prediction import Prediction
from tests.server.listener.formats.messages import answer, model, plain, received
from tests.server.wire_exchanges import Function, ask, batcher_of

pytestmark = pytest.mark.anyio


def same(rows: Any) -> Any:
    return rows


def handler(format: str, served: Function) -> Handler:
    if format == "ai-platform":
        return Prediction(served.info, batcher_of(served))
    return routes(served.info, "m", "", batcher_of(served), lambda: True)[b"POST", b"/v2/models/m/infer"]


async def asked(format: str, batch: Batch, served: Function, parameters: Any = None, **declared: Any) -> Any:
    one = format_named(format)
    target = model(format, **declared)
    request = received(one.write_call(Call(batch, parameters or {}), target))
    response = await ask(handler(format, served), request.body, request.headers)
    if response.status != 200:
        return response.status, one.read_failure(answer(response)).words
    return one.read_answer(answer(response), target)


FORMATS = ["oip", "oip-binary"]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", ["BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"])
async def test_whole_numbers_reach_the_model_in_their_type_and_come_back(format: str, name: str) -> None:
    dtype = np.dtype("bool" if name == "BOOL" else name.lower())
    limits = (0, 1) if name == "BOOL" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    served = Function(same)
    back = await asked(format, np.array([limits], dtype).tolist(), served, inputs={"x": f"{name}[2]"})
    assert served.batch.dtype == back.dtype == dtype
    assert back.tolist() == np.array([limits], dtype).tolist()


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", ["FP16", "FP32", "FP64"])
async def test_numbers_reach_the_model_in_their_type_and_come_back(format: str, name: str) -> None:
    dtype = np.dtype(name.replace("FP", "float"))
    served = Function(same)
    back = await asked(format, np.array([[0.5, 1 / 3], [-2.5, 0]]), served, inputs={"x": f"{name}[2]"})
    assert served.batch.dtype == dtype
    assert back.dtype == dtype
    assert back.tolist() == np.array([[0.5, 1 / 3], [-2.5, 0]]).astype(dtype).tolist()


async def test_bf16_reaches_the_model_as_numbers() -> None:
    served = Function(same)
    back = await asked("oip-binary", [[1.5, -2.0]], served, inputs={"x": "BF16[2]"})
    assert back.tolist() == served.batch.tolist() == [[1.5, -2.0]]


@pytest.mark.parametrize("format", [*FORMATS, "ai-platform"])
@pytest.mark.parametrize("rows", [["a", "é"], ["", "b"], [b"\xff\x00", b"a"]])
async def test_texts_and_bytes_come_back(format: str, rows: list[Any]) -> None:
    assert plain(await asked(format, rows, Function(same))) in (rows, [b"\xff\x00", "a"])


@pytest.mark.parametrize("format", FORMATS)
async def test_columns_reach_the_model_and_come_back(format: str) -> None:
    rows = [{"a": 2**53 + 1, "b": "x"}, {"a": -1, "b": "y"}]
    served = Function(same)
    assert plain(await asked(format, rows, served, inputs={"a": "INT64", "b": "BYTES[1]"})) == rows
    assert served.batch["a"].tolist() == [2**53 + 1, -1]


@pytest.mark.parametrize("format", FORMATS)
async def test_predictions_that_make_no_tensor_come_back(format: str) -> None:
    predictions = [{"a": 1}, {"b": [1, 2]}]
    assert await asked(format, [1, 2], Function(lambda rows: predictions)) == predictions
    assert await asked(format, [1, 2], Function(lambda rows: [[1], [2, 3]])) == [[1], [2, 3]]


@pytest.mark.parametrize("format", [*FORMATS, "ai-platform"])
async def test_parameters_reach_the_model(format: str) -> None:
    served = Function(same)
    await asked(format, [1.5], served, {"top": 3})
    assert served.parameters == {"top": 3}


@pytest.mark.parametrize("format", [*FORMATS, "ai-platform"])
async def test_nan_comes_back_as_far_as_the_form_holds_it(format: str) -> None:
    back = await asked(format, np.array([[np.nan, 1.0]]), Function(same))
    assert np.isnan(back[0, 0])
    assert back[0, 1] == 1.0


@pytest.mark.parametrize("format", [*FORMATS, "ai-platform"])
async def test_what_the_server_refuses_is_told_in_its_words(format: str) -> None:
    def refuse(rows: Any) -> Any:
        raise ValueError("four features are wanted")

    status, said = await asked(format, [[1, 2]], Function(refuse))
    assert status == 400
    assert "four features are wanted" in said


@pytest.mark.parametrize("format", FORMATS)
async def test_large_tensors_come_back(format: str) -> None:
    array = np.random.default_rng(0).random((100, 50)).astype(np.float32)
    back = await asked(format, array, Function(same), inputs={"x": "FP32[50]"})
    assert back.dtype == np.float32
    assert np.array_equal(back, array)
