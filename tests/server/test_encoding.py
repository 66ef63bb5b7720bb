import dataclasses
import datetime
import json
import math
import uuid
from collections import namedtuple
from decimal import Decimal
from enum import Enum
from typing import Any

import numpy as np
import orjson
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from modelport.core.errors import Internal
from modelport.server.decoding import Decoder
from modelport.server.encoding import encode
from modelport.server.model import Form

DTYPES = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64"]
Point = namedtuple("Point", "x y")


def written(batch: Any) -> Any:
    return json.loads(encode(batch))["predictions"]


def refused(batch: Any, **options: Any) -> Internal:
    with pytest.raises(Internal) as caught:
        encode(batch, **options)
    return caught.value


@settings(max_examples=60)
@given(
    st.sampled_from(DTYPES).flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(max_dims=3, min_side=0, max_side=4))
    ),
    st.booleans(),
    st.booleans(),
)
def test_an_array_reads_back_as_the_same_numbers(array: Any, swapped: bool, transposed: bool) -> None:
    given_array = array.astype(array.dtype.newbyteorder()) if swapped else array
    if transposed and array.ndim > 1:
        array, given_array = array.T, given_array.T
    back = np.array(written(given_array), dtype=object).astype(array.dtype) if array.size else array
    missing = np.isfinite(array) == 0 if array.dtype.kind == "f" else np.zeros(array.shape, bool)
    assert back.shape == array.shape
    assert np.array_equal(back[~missing], array[~missing])
    assert np.isnan(back[missing]).all()


def test_a_float32_is_written_with_its_own_digits() -> None:
    for batch in (np.array([0.1, 1 / 3], np.float32), [np.float32(0.1), np.float32(1 / 3)]):
        assert encode(batch) == b'{"predictions":[0.1,0.33333334]}'
    columns = {"a": np.array([0.1], np.float32), "b": np.array([[0.2, 0.3]], np.float32)}
    assert encode(columns) == b'{"predictions":[{"a":0.1,"b":[0.2,0.3]}]}'


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=50)
@given(st.lists(JSON))
def test_plain_values_read_back_as_they_are(rows: list[Any]) -> None:
    assert written(rows) == rows


@settings(max_examples=30)
@given(st.lists(st.binary(max_size=20) | st.text(max_size=9), min_size=1, max_size=5))
def test_bytes_go_the_way_they_come(rows: list[Any]) -> None:
    sent = encode(rows).replace(b'"predictions"', b'"instances"')
    assert Decoder(Form.PYTHON)(sent).batch == rows


class Colour(Enum):
    RED = "red"


class Pydantic:
    def model_dump(self) -> dict[str, Any]:
        return {"a": {1}}


@dataclasses.dataclass(slots=True)
class Record:
    a: int
    b: Any


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (np.int8(3), 3),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (np.bytes_(b"hi"), {"b64": "aGk="}),
        (bytearray(b"hi"), {"b64": "aGk="}),
        (memoryview(b"hi"), {"b64": "aGk="}),
        (np.longdouble(1.5), 1.5),
        (np.array([[1, 2], [3, 4]]).T, [[1, 3], [2, 4]]),
        (np.array(["a", "b"]), ["a", "b"]),
        (np.array([b"hi"]), [{"b64": "aGk="}]),
        (np.array(["a", 1, None], object), ["a", 1, None]),
        (np.array([1.5], np.float16), [1.5]),
        (np.array([1.5], np.longdouble), [1.5]),
        (scipy.sparse.csr_matrix([[0, 2]]), [[0, 2]]),
        ((1, (2, "a")), [1, [2, "a"]]),
        (Point(1, 2), {"x": 1, "y": 2}),
        (Record(1, {2}), {"a": 1, "b": [2]}),
        (Record(1, {2: 2**70}), {"a": 1, "b": {"2": 2**70}}),
        (Pydantic(), {"a": [1]}),
        (Colour.RED, "red"),
        ({3, 1}, [1, 3]),
        (frozenset([(1,)]), [[1]]),
        (Decimal("1.5"), 1.5),
        (Decimal("NaN"), None),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (datetime.date(2020, 1, 2), "2020-01-02"),
        (datetime.datetime(2020, 1, 2, 3, 4, 5, tzinfo=datetime.UTC), "2020-01-02T03:04:05+00:00"),
        (2**70, 2**70),
        ({1: "a", np.int64(2): "b", None: "c", 1.5: "d"}, {"1": "a", "2": "b", "null": "c", "1.5": "d"}),
        ({True: "a", uuid.UUID(int=1): "b"}, {"true": "a", "00000000-0000-0000-0000-000000000001": "b"}),
        ({1: np.float32(0.1), "a": {2: [Decimal("0.1")]}}, {"1": 0.1, "a": {"2": [0.1]}}),
        (math.nan, None),
        (-math.inf, None),
        ([np.nan, {"a": np.float32("inf")}], [None, {"a": None}]),
    ],
)
def test_a_value_of_many_kinds_is_written(value: Any, wanted: Any) -> None:
    assert written([value]) == [wanted]
    # Beside something that makes the whole be written row by row.
    assert written([value, {1: 2}]) == [wanted, {"1": 2}]


def test_true_is_no_number_beside_unusual_values() -> None:
    assert encode([True, {1: False}]) == b'{"predictions":[true,{"1":false}]}'


def test_decimals_keep_their_digits() -> None:
    assert encode([Decimal("0.12345678901234567890")]) == b'{"predictions":[0.12345678901234567890]}'


@pytest.mark.parametrize(
    ("array", "wanted"),
    [
        (np.array(["2020-01-02", "NaT"], "M8[ns]"), ["2020-01-02T00:00:00", None]),
        (np.array(["2020-01-02T03"], "M8[h]"), ["2020-01-02T03:00:00"]),
        (np.array(["a", "bc"]), ["a", "bc"]),
        (np.array([b"hi"]), [{"b64": "aGk="}]),
        (np.array([[1, "a"], [None, 2.5]], object), [[1, "a"], [None, 2.5]]),
        (np.zeros((2, 0)), [[], []]),
        (np.zeros((0, 3)), []),
    ],
)
def test_arrays_of_other_types_are_written(array: Any, wanted: Any) -> None:
    assert written(array) == wanted


def test_columns_are_one_object_a_row() -> None:
    batch = {"label": ["a", "b"], "score": np.array([0.5, np.nan]), "p": np.array([[1, 2], [3, 4]]), 7: (1, 2)}
    assert written(batch) == [
        {"label": "a", "score": 0.5, "p": [1, 2], "7": 1},
        {"label": "b", "score": None, "p": [3, 4], "7": 2},
    ]
    assert written({}) == []


class Torch:
    """What a tensor of torch can do, as far as it matters here."""

    def __init__(self, array: Any, dtype: str) -> None:
        self._array, self.dtype = array, dtype

    def detach(self) -> "Torch":
        return self

    def cpu(self) -> "Torch":
        return self

    def float(self) -> "Torch":
        return Torch(self._array.astype(np.float32), "torch.float32")

    def numpy(self) -> Any:
        if self.dtype == "torch.bfloat16":
            raise TypeError("Got unsupported ScalarType BFloat16")
        return self._array


class Series:
    def __init__(self, values: Any) -> None:
        self._values = values

    def to_numpy(self) -> Any:
        return self._values

    def to_list(self) -> Any:
        raise AssertionError("the array is at hand")


class Frame:
    columns = ("a", "b")
    shape = (2, 2)

    def __getitem__(self, name: str) -> Series:
        return Series({"a": np.array([1, 2]), "b": np.array(["x", None], object)}[name])


class Arrayish:
    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.array([1.5])


class Ragged:
    def to_list(self) -> Any:
        return [[1], [2, 3]]


@pytest.mark.parametrize(
    ("outputs", "wanted"),
    [
        (Torch(np.array([[1.5]]), "torch.float64"), [[1.5]]),
        (Torch(np.array([[1.5]]), "torch.bfloat16"), [[1.5]]),
        (Series(np.array([1, 2])), [1, 2]),
        (Frame(), [{"a": 1, "b": "x"}, {"a": 2, "b": None}]),
        (Arrayish(), [1.5]),
        (Ragged(), [[1], [2, 3]]),
        (scipy.sparse.csr_array([[0, 2], [1, 0]]), [[0, 2], [1, 0]]),
        ((1, 2), [1, 2]),
        ({"a": Torch(np.array([1, 2]), "torch.int64")}, [{"a": 1}, {"a": 2}]),
    ],
)
def test_tables_and_tensors_of_other_libraries_are_written(outputs: Any, wanted: Any) -> None:
    assert written(outputs) == wanted


def test_pandas_is_written_where_it_is_installed() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1, None], "b": ["x", "y"], "c": pandas.to_datetime(["2020-01-02", None])})
    assert written(frame) == [
        {"a": 1.0, "b": "x", "c": "2020-01-02T00:00:00"},
        {"a": None, "b": "y", "c": None},
    ]
    assert written(pandas.Series([1, None], dtype="Int64")) == [1, None]
    assert written([pandas.Timestamp(2020, 1, 2), pandas.NaT, pandas.NA]) == ["2020-01-02T00:00:00", None, None]


@pytest.mark.parametrize(
    ("rows", "row", "named"),
    [
        ([1, object()], 1, "builtins.object"),
        ([{"a": [1 + 2j]}], 0, "builtins.complex"),
        ([1, 2, {"a": {1: json.dumps}}], 2, "builtins.function"),
        (["\ud800"], 0, "surrogates"),
        (np.array([1, object()], object), 1, "builtins.object"),
        ({"a": [1, 2], "b": [1, object()]}, 1, "builtins.object"),
    ],
)
def test_a_value_that_cannot_be_written_is_named_with_its_row(rows: Any, row: int, named: str) -> None:
    error = refused(rows)
    assert error.message.startswith(f"predictions[{row}] cannot be written as JSON")
    assert named in error.message
    assert error.metadata == {"row": str(row)}


def test_a_value_within_itself_is_refused() -> None:
    row: list[Any] = []
    row.append(row)
    assert "deeper" in refused([1, row]).message


@pytest.mark.parametrize("outputs", [None, 5, "text", np.array(5), {"a": 3}, object()])
def test_what_has_no_rows_is_no_prediction(outputs: Any) -> None:
    assert "not one for each instance" in refused(outputs).message


@pytest.mark.parametrize(
    ("rows", "row"),
    [
        (np.array([1.0, np.inf]), 1),
        (np.array([[1, 2], [3, np.nan], [np.nan, 1]], np.float32), 1),
        ([1.0, {"a": [math.nan]}], 1),
        ([np.array([np.nan])], 0),
        ({"a": [1, 2, 3], "b": np.array([1, 2, -np.inf])}, 2),
        ([np.float32("nan")], 0),
    ],
)
def test_numbers_that_are_none_are_null_or_an_error(rows: Any, row: int) -> None:
    assert b"null" in encode(rows)
    error = refused(rows, finite=True)
    assert error.message.startswith(f"predictions[{row}] ")
    assert error.metadata == {"row": str(row)}


@pytest.mark.parametrize("rows", [np.array([1.5]), np.array([1]), ["a", 1.5, {"a": (1, None)}], np.zeros((0, 2))])
def test_finite_numbers_are_no_error(rows: Any) -> None:
    assert encode(rows, finite=True) == encode(rows)


def test_large_arrays_are_written_like_small_ones() -> None:
    array = np.random.default_rng(0).random((1000, 10))
    assert orjson.loads(encode(array))["predictions"] == array.tolist()
