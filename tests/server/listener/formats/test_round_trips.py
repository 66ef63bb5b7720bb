"""What is written in a format is read again as it was, in calls and in answers, as far as the format carries it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as of_numpy

from modelport.server.listener.formats.base import Call
from modelport.server.listener.formats.content import Content
from modelport.server.listener.formats.known import FORMATS, format_named
from modelport.server.model import Batch
from tests.server.listener.formats.messages import (
    answer,
    answer_there_and_back,
    call_there_and_back,
    model,
    plain,
    received,
)

BY_JSON = ("ai-platform", "tf-serving", "mlflow", "sagemaker", "sagemaker-jsonlines")
BY_TENSORS = ("oip", "oip-binary")

shapes = of_numpy.array_shapes(min_dims=1, max_dims=3, max_side=4)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
names = st.text("abcxyz_", min_size=1, max_size=4)
numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
scalars = texts | numbers | st.booleans()
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3))


def arrays(*kinds: str) -> st.SearchStrategy[Any]:
    def of(kind: str) -> st.SearchStrategy[Any]:
        finite = {"allow_nan": False, "allow_infinity": False} if kind.startswith("float") else {}
        dtype = np.dtype(kind)
        return of_numpy.arrays(dtype, shapes, elements=of_numpy.from_dtype(dtype, **finite))

    return st.one_of([of(kind) for kind in kinds])


def both_ways(format: str, batch: Batch) -> list[Batch]:
    return [
        call_there_and_back(format, batch),
        answer_there_and_back(format, batch, binary=format == "oip-binary"),
    ]


def same(array: Any, back: Any) -> bool:
    """Return whether the same numbers came back, in whatever type holds them."""
    return (
        isinstance(back, np.ndarray)
        and back.shape == array.shape
        and back.astype(array.dtype).tobytes() == array.tobytes()
    )


def test_every_format_says_what_it_is() -> None:
    for name, kind in FORMATS.items():
        assert kind.name == name
        assert kind.about.endswith(".")
        assert format_named(name) is not format_named(name)


@pytest.mark.parametrize("format", BY_JSON)
@settings(max_examples=12, deadline=None)
@given(array=arrays("float64", "float32", "int64", "uint64", "int8", "bool"))
def test_numbers_come_back_by_json(format: str, array: Any) -> None:
    for back in both_ways(format, array):
        # Minus zero is a float, and so is no whole number's.
        assert same(array, back), back


@pytest.mark.parametrize("format", BY_TENSORS)
@settings(max_examples=12, deadline=None)
@given(array=arrays("float64", "float32", "float16", "int64", "uint64", "int32", "uint8", "bool"))
def test_numbers_come_back_by_tensors_in_their_type(format: str, array: Any) -> None:
    for back in both_ways(format, array):
        assert isinstance(back, np.ndarray)
        assert back.dtype == array.dtype
        assert same(array, back)


@pytest.mark.parametrize("format", BY_JSON)
@settings(max_examples=12, deadline=None)
@given(rows=st.lists(values, min_size=1, max_size=4) | st.lists(st.lists(numbers, max_size=3), min_size=1, max_size=4))
def test_rows_of_anything_come_back_by_json(format: str, rows: list[Any]) -> None:
    if format == "mlflow" and all(isinstance(row, dict) for row in rows) and not all(rows):
        return  # no table has a row without columns
    for back in both_ways(format, rows):
        assert plain(back) == rows


@pytest.mark.parametrize("format", ["ai-platform", "tf-serving", "sagemaker", "sagemaker-jsonlines", *BY_TENSORS])
@settings(max_examples=12, deadline=None)
@given(rows=st.lists(st.binary(min_size=1, max_size=9).map(lambda data: b"\xff" + data), min_size=1, max_size=4))
def test_bytes_come_back(format: str, rows: list[bytes]) -> None:
    for back in both_ways(format, rows):
        assert back == rows


@pytest.mark.parametrize("format", BY_TENSORS)
@settings(max_examples=12, deadline=None)
@given(
    rows=st.integers(1, 3).flatmap(
        lambda size: st.lists(st.lists(texts, min_size=size, max_size=size), min_size=1, max_size=3)
    )
    | st.lists(texts, min_size=1, max_size=3)
)
def test_texts_come_back_by_tensors(format: str, rows: list[Any]) -> None:
    for back in both_ways(format, rows):
        assert back == rows


@pytest.mark.parametrize("format", ["tf-serving", "mlflow", *BY_TENSORS])
@settings(max_examples=12, deadline=None)
@given(
    rows=st.lists(
        st.fixed_dictionaries({"a": texts, "b": st.integers(-9, 9), "c": st.floats(-1, 1).map(float)}),
        min_size=1,
        max_size=4,
    )
)
def test_named_columns_come_back(format: str, rows: list[dict[str, Any]]) -> None:
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in rows[0]}
    columns |= {"b": np.array(columns["b"]), "c": np.array(columns["c"])}
    for back in both_ways(format, columns):
        assert plain(back) == rows


@settings(max_examples=10, deadline=None)
@given(
    columns=st.fixed_dictionaries(
        {"a": of_numpy.arrays(np.float32, (2, 3), elements=st.just(0.5)), "b": st.just([["x"], ["y"]])}
    )
)
def test_columns_of_tensors_come_back(columns: dict[str, Any]) -> None:
    for one in ("tf-serving", "mlflow"):
        assert plain(call_there_and_back(one, columns)) == plain(columns)


@settings(max_examples=12, deadline=None)
@given(value=st.lists(values, max_size=3) | st.dictionaries(names, values, max_size=3) | numbers | st.booleans())
def test_a_row_of_anything_comes_back_by_torchserve(value: Any) -> None:
    for back in both_ways("torchserve", [value]):
        assert plain(back) == [value]


@pytest.mark.parametrize("format", ["torchserve", "raw"])
@settings(max_examples=10, deadline=None)
@given(data=st.binary(min_size=1, max_size=20))
def test_the_bytes_of_a_file_come_back_with_their_type(format: str, data: bytes) -> None:
    one = format_named(format)
    sent = Content.of(data, b"image/x-own")
    (back,) = one.read_call(received(one.write_call(Call([sent]), model(format)))).batch
    (answered,) = one.read_answer(answer(one.write_answer([sent], Call([]), "m")), model(format))
    for content in (back, answered):
        assert content == data
        assert content.content_type == b"image/x-own"


@settings(max_examples=12, deadline=None)
@given(
    array=st.one_of(
        of_numpy.arrays(np.int64, of_numpy.array_shapes(min_dims=2, max_dims=2, max_side=4)),
        of_numpy.arrays(
            np.float64,
            of_numpy.array_shapes(min_dims=2, max_dims=2, max_side=4),
            elements=st.floats(allow_nan=False, allow_infinity=False),
        ),
    )
)
def test_numbers_come_back_by_csv(array: Any) -> None:
    assert same(array, call_there_and_back("sagemaker-csv", array))
    wanted = array[:, 0] if array.shape[1] == 1 else array
    one = format_named("sagemaker-csv")
    response = one.write_answer(array, Call([], content_type=b"text/csv"), "m")
    assert response.content_type == b"text/csv"
    assert same(wanted, one.read_answer(answer(response), model("sagemaker-csv")))


@settings(max_examples=10, deadline=None)
@given(rows=st.lists(st.tuples(st.text("ab, \"'\n\r;é", min_size=1), st.integers()), min_size=1, max_size=4))
def test_texts_come_back_by_csv(rows: list[tuple[str, int]]) -> None:
    assert call_there_and_back("sagemaker-csv", [list(row) for row in rows]) == [list(row) for row in rows]


@pytest.mark.parametrize("format", ["oip-binary"])
def test_nan_and_infinity_come_back_by_binary_tensors(format: str) -> None:
    array = np.array([[np.nan, np.inf], [-np.inf, 0.5]], np.float32)
    for back in both_ways(format, array):
        assert same(array, back)


@pytest.mark.parametrize("format", sorted({*BY_JSON, "oip"} - {"tf-serving", "mlflow"}))
def test_nan_and_infinity_are_null_in_json(format: str) -> None:
    for back in both_ways(format, np.array([[np.nan, 0.5], [np.inf, 1.5]])):
        read = np.asarray(back)
        assert np.isnan(read[0, 0])
        assert read[0, 1] == 0.5


@pytest.mark.parametrize("format", ["tf-serving", "mlflow"])
def test_servers_that_read_nan_are_sent_it(format: str) -> None:
    array = np.array([[np.nan, 0.5], [-np.inf, 1.5]])
    assert same(array, call_there_and_back(format, array))
    columns = {"a": array, "b": [b"\x00", "x"]}
    back = call_there_and_back(format, columns)
    assert isinstance(back, dict)
    assert same(array, back["a"])
    assert back["b"] == ["AA==" if format == "mlflow" else b"\x00", "x"]
    (answered, _) = np.asarray(answer_there_and_back(format, array))
    assert np.isnan(answered[0])
