"""The format `mlflow` on MLflow's real scoring server: tensors, tables, parameters, failures, empty and ragged."""

from typing import Any

import numpy as np
import pytest

from modelport.core.errors import InvalidArgument
from modelport.server.listener.declaration import Model
from modelport.server.listener.formats.base import Message
from modelport.server.listener.formats.known import format_named
from modelport.server.listener.wire.model_call import failure
from tests.server.listener.asking import answered, predicted

pytestmark = [pytest.mark.slow, pytest.mark.anyio]

MODEL = Model("double", "mlflow", "/invocations", format="mlflow")
TYPED = Model("double", "mlflow", "/invocations", format="mlflow", inputs={"amount": "FP64", "pieces": "INT64"})
TENSORS: dict[str, tuple[Any, Any]] = {
    "whole numbers": ([[1, -2], [3, 4]], [[2, -4], [6, 8]]),
    "numbers": ([1.5, 0.1], [3.0, 0.2]),
    "beyond 2^53": ([2**53 + 1, 2**61], [2**54 + 2, 2**62]),
    "an array": (np.array([[1, 2], [3, 4]], np.int32), [[2, 4], [6, 8]]),
    "no rows": ([], []),
    "rows of no values": (np.empty((2, 0)), [[], []]),
    "columns of vectors": ({"a": [[1, 2], [3, 4]], "b": [[5], [6]]}, {"a": [[2, 4], [6, 8]], "b": [[10], [12]]}),
}
TABLES: dict[str, tuple[Any, Any]] = {
    "columns": ({"a": [1, 2], "b": ["abc", "Ü 🙂"]}, [{"a": 2, "b": "cba"}, {"a": 4, "b": "🙂 Ü"}]),
    "objects": ([{"a": 1}, {"a": 2**53 + 1}], [{"a": 2}, {"a": 2**54 + 2}]),
}


@pytest.mark.parametrize(("rows", "wanted"), (TENSORS | TABLES).values(), ids=TENSORS | TABLES)
async def test_rows_are_answered_with_predictions(mlflow_plain: str, rows: Any, wanted: Any) -> None:
    assert await predicted(mlflow_plain, MODEL, rows) == wanted


async def test_a_missing_value_is_one_on_both_sides(mlflow_plain: str) -> None:
    first, second = await predicted(mlflow_plain, MODEL, {"a": [1.5, None]})

    assert first == {"a": 3.0}
    assert np.isnan(second["a"])


async def test_a_signature_gets_the_columns_types_and_parameters_that_it_wants(mlflow_table: str) -> None:
    rows = [
        {"amount": 1.5, "pieces": 2**53 + 1, "word": "abc", "raw": b"\x00\xff\x01"},
        {"amount": -2.0, "pieces": 0, "word": "", "raw": b""},
    ]

    given = await predicted(mlflow_table, MODEL, rows, factor=3)

    assert given == [
        {"amount": 4.5, "pieces": 3 * (2**53 + 1), "word": "cba", "raw": 3},
        {"amount": -6.0, "pieces": 0, "word": "", "raw": 0},
    ]


async def test_what_does_not_fit_the_signature_is_refused_in_its_words(mlflow_table: str) -> None:
    with pytest.raises(InvalidArgument, match=r"Model is missing inputs \['word'\]"):
        await predicted(mlflow_table, TYPED, np.array([[1.0, 2]]))
    with pytest.raises(InvalidArgument, match="Failed to convert column pieces to type 'int64'"):
        await predicted(mlflow_table, MODEL, [{"amount": 1.0, "pieces": "x", "word": "w"}])
    with pytest.raises(InvalidArgument, match=r"Invalid parameters found.*factor"):
        await predicted(mlflow_table, MODEL, [{"amount": 1.0, "pieces": 1, "word": "w"}], factor="x")


async def test_what_the_model_refuses_is_refused_in_its_words(mlflow_plain: str) -> None:
    with pytest.raises(InvalidArgument, match=r"answered 400: Enc.*ValueError: the model was asked to refuse"):
        await predicted(mlflow_plain, MODEL, [{"refuse": 1}])


async def test_ragged_rows_are_refused_in_its_words(mlflow_plain: str) -> None:
    with pytest.raises(InvalidArgument, match=r"answered 400: .*inhomogeneous shape"):
        await predicted(mlflow_plain, MODEL, [[1.0, 2.0], [3.0]])


@pytest.mark.parametrize(("body", "words"), [(b"nope", "valid JSON"), (b'{"x": 1}', "exactly one of the input fields")])
async def test_what_is_no_request_is_refused_in_its_words(mlflow_plain: str, body: bytes, words: str) -> None:
    error = failure(await answered(mlflow_plain, MODEL, Message(body)), MODEL, format_named("mlflow"))

    assert isinstance(error, InvalidArgument)
    assert words in error.message


async def test_an_unknown_route_is_told(mlflow_plain: str) -> None:
    elsewhere = Model("double", "mlflow", "/predict", format="mlflow")

    with pytest.raises(Exception, match="answered 404: Not Found"):
        await predicted(mlflow_plain, elsewhere, [1.0])


async def test_a_tensor_of_a_megabyte_comes_back(mlflow_plain: str) -> None:
    rows = np.random.default_rng(0).random((1000, 125))

    assert np.array_equal(await predicted(mlflow_plain, MODEL, rows), rows * 2)
