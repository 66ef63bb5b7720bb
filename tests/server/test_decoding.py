import base64
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelport.core.errors import InvalidArgument
from modelport.server.decoding import Decoder
from modelport.server.model import Form
from modelport.server.number_arrays import WORTHWHILE_BYTES

ARRAYS = Decoder(Form.ARRAY)
PLAIN = Decoder(Form.PYTHON)


def body(instances: Any, **others: Any) -> bytes:
    return json.dumps({"instances": instances, **others}).encode()


def refused(content: bytes, decoder: Decoder = ARRAYS) -> InvalidArgument:
    with pytest.raises(InvalidArgument) as caught:
        decoder(content)
    return caught.value


@pytest.mark.parametrize(
    ("rows", "dtype"),
    [
        ([[5.1, 3.5], [4.9, 3.0]], "float64"),
        ([[1, 2], [3, 4]], "int64"),
        ([[1, 2], [3, 4.5]], "float64"),
        ([1, 2, 3], "int64"),
        ([True, False], "bool"),
        ([True, 2], "int64"),
        ([[[0, 1], [2, 3]], [[4, 5], [6, 7]]], "int64"),
        ([2**64 - 1], "uint64"),
        ([2**63, -1], "float64"),
        ([2**70], "float64"),
        ([[], []], "float64"),
    ],
)
def test_rows_of_numbers_are_the_array_that_numpy_makes(rows: list[Any], dtype: str) -> None:
    batch = ARRAYS(body(rows)).batch
    assert isinstance(batch, np.ndarray)
    assert batch.dtype == dtype
    assert batch.shape == np.array(rows).shape
    assert batch.tobytes() == np.array(rows).astype(dtype).tobytes()


@pytest.mark.parametrize("rows", [[[1.5, None], [None, 2.0]], [[1, None]], [None, 2], [[None]]])
def test_null_among_numbers_is_nan(rows: list[Any]) -> None:
    batch = ARRAYS(body(rows)).batch
    assert isinstance(batch, np.ndarray)
    assert batch.dtype == np.float64
    wanted = np.array(rows, np.float64)
    assert np.array_equal(batch, wanted, equal_nan=True)


@pytest.mark.parametrize(
    "rows",
    [
        ["a", "b"],
        [[1, "b"]],
        [["1", None]],
        [{"a": 1}, {"a": 2}],
        [{}],
        [1, {}],
        [[1, {}], [2, 3]],
        [["a", "b"], ["c"]],
        [[1], {}],
        [None, "a"],
    ],
)
@pytest.mark.parametrize("others", [{}, {"parameters": {"a": "b"}}])
def test_rows_of_anything_else_stay_as_they_are(rows: list[Any], others: dict[str, Any]) -> None:
    assert ARRAYS(body(rows, **others)).batch == rows


def test_long_texts_are_not_made_an_array() -> None:
    # An array of these would take forty gigabytes.
    rows = ["a" * 1_000_000] + [1] * 10_000
    assert ARRAYS(body(rows)).batch == rows


@pytest.mark.parametrize(
    ("rows", "message", "row"),
    [
        ([[1] * 4] * 3 + [[1, 2, 3]], "instances[3] has 3 values, the rows before have 4 values", "3"),
        ([[1], 2], "instances[1] is a number, the rows before have 1 value", "1"),
        ([1, [2]], "instances[1] has 1 value, the rows before are numbers", "1"),
        ([[[1, 2], [3]]], "instances[0][1] has 1 value, those before have 2 values", "0"),
        ([[[1, 2]], [[1, 2], [3, 4]]], "instances[1] has 2 x 2 values, the rows before have 1 x 2 values", "1"),
        ([[1, None], [2]], "instances[1] has 1 value, the rows before have 2 values", "1"),
    ],
)
def test_a_row_of_another_length_is_named(rows: list[Any], message: str, row: str) -> None:
    for content in (body(rows), body(rows, parameters={"a": "x" * WORTHWHILE_BYTES})):
        error = refused(content)
        assert error.message == message
        assert error.metadata == {"row": row}


def test_ragged_rows_are_as_they_are_for_a_model_that_takes_lists() -> None:
    assert PLAIN(body([[1, 2], [3]])).batch == [[1, 2], [3]]
    assert PLAIN(body([[1, 2], [3, None]])).batch == [[1, 2], [3, None]]


@settings(max_examples=40)
@given(st.lists(st.binary(max_size=20), min_size=1, max_size=3), st.booleans())
def test_bytes_come_back_wherever_they_are(data: list[bytes], urlsafe: bool) -> None:
    encode = base64.urlsafe_b64encode if urlsafe else base64.b64encode
    sent = [{"b64": encode(one).decode()} for one in data]
    for decoder in (ARRAYS, PLAIN):
        assert decoder(body(sent)).batch == data
        assert decoder(body([{"image": sent, "n": 1}, [sent[0], 2]])).batch == [
            {"image": data, "n": 1},
            [data[0], 2],
        ]


@pytest.mark.parametrize("text", ["aGk=", "aGk", "aGk=\n", "a G\r\nk="])
def test_base64_is_read_as_lenient_as_proto3(text: str) -> None:
    assert ARRAYS(body([{"b64": text}])).batch == [b"hi"]


def test_an_object_with_more_than_bytes_is_an_object() -> None:
    rows = [{"b64": "aGk=", "name": "x"}, {"b64": 5}]
    assert ARRAYS(body(rows)).batch == rows


@pytest.mark.parametrize(
    ("rows", "place", "row"),
    [
        ([1, 2, {"image": {"b64": "!"}}], "instances[2].image", "2"),
        ([{"b64": "a"}], "instances[0]", "0"),
        ([[{"a": [0, {"b64": "aGk=="}, {"b64": "é"}]}]], "instances[0][0].a[2]", "0"),
    ],
)
def test_broken_base64_is_named_by_its_place(rows: list[Any], place: str, row: str) -> None:
    error = refused(body(rows), PLAIN)
    assert error.message.startswith(f"{place} is not base64: ")
    assert error.metadata == {"row": row}


def test_parameters_and_the_signature_go_to_the_model() -> None:
    assert ARRAYS(body([1], parameters={"a": 1})).parameters == {"a": 1}
    assert ARRAYS(body([1], parameters=None)).parameters == {}
    assert ARRAYS(body([1])).parameters == {}
    assert ARRAYS(body([1], parameters={"a": 1}, signature_name="s")).parameters == {"a": 1, "signature_name": "s"}


def test_no_instances_are_no_rows() -> None:
    assert list(ARRAYS(body([])).batch) == []


@pytest.mark.parametrize("decoder", [ARRAYS, PLAIN])
@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        (b"", "The body is empty", "instances"),
        (b"[[1,2]]", "The body is a list", "Wrap it"),
        (b"3", "The body is a number", "instances"),
        (b"null", "The body is null", "instances"),
        (b'"x"', "The body is a text", "instances"),
        (b"{}", "The body has no `instances`; it has: nothing", "instances"),
        (b'{"inputs":[{"name":"x"}]}', "it has: `inputs`", "/v2/models/"),
        (b'{"features":[[1]]}', "it has: `features`", "Rename `features`"),
        (b'{"data":[[1]],"x":1}', "it has: `data`, `x`", "Rename `data`"),
        (b'{"instances":{"a":1}}', "`instances` is an object, not a list", "instances"),
        (b'{"instances":null}', "`instances` is null, not a list", "instances"),
        (b'{"instances":[1],"parameters":[]}', "`parameters` is a list, not an object", "parameters"),
        (b'{"instances":[1],"foo":1,"bar":2}', "not known: `bar`, `foo`", "parameters"),
        (b'{"instances":[1,]}', "line 1 column 16", "instances"),
        (b'{"instances":[1', "line 1 column 16", "instances"),
        (b'{"instances":[NaN]}', "at `NaN]}`", "Send null"),
        (b'{"instances":[[1,-Infinity]]}', "at `Infinity]]}`", "Send null"),
        (b"{'instances':[1]}", "at `'instances'", "double quotes"),
        (b'{"instances":["\xff"]}', "not UTF-8: byte 15 is 0xff", "b64"),
        ('{"instances":[1]}'.encode("utf-16"), "not UTF-8: byte 0 is 0xff", "UTF-8"),
        (b"\xef\xbb\xbf{", "The body is not JSON", "instances"),
        (b'{"instances":' + b"[" * 100_000, "nested too deep", "fewer"),
        (b'{"instances":' + b'{"a":' * 100_000, "nested too deep", "fewer"),
    ],
)
def test_a_body_that_cannot_be_read_says_why(decoder: Decoder, content: bytes, message: str, hint: str) -> None:
    error = refused(content, decoder)
    assert message in error.message
    assert hint in error.hint


@pytest.mark.parametrize("depth", [70, 500, 900, 990, 1000, 1010, 1020])
def test_deep_rows_are_rows_or_refused_and_never_more(depth: int) -> None:
    for inner in (b"1", b'"a"', b'{"b64":"aGk="}', b""):
        content = b'{"instances":' + b"[" * depth + inner + b"]" * depth + b"}"
        for decoder in (ARRAYS, PLAIN):
            try:
                assert len(decoder(content).batch) == 1
            except InvalidArgument as error:
                assert "nested too deep" in error.message  # noqa: PT017


def test_a_fault_in_deep_rows_is_named_by_the_beginning_of_its_place() -> None:
    message = refused(b'{"instances":' + b"[" * 50 + b"[1,2],[3]" + b"]" * 50 + b"}").message
    assert message == "instances" + "[0]" * 12 + "… has 1 value, those before have 2 values"


def test_a_byte_order_mark_is_no_harm() -> None:
    assert ARRAYS(b"\xef\xbb\xbf" + body([1])).batch.tolist() == [1]  # type: ignore[union-attr]


def test_large_and_small_bodies_are_decoded_alike() -> None:
    row = [1, 2.5, -0.0, 1e300]
    small = ARRAYS(body([row], parameters={"a": [1]}))
    large = ARRAYS(body([row] * WORTHWHILE_BYTES, parameters={"a": [1]}))
    assert large.parameters == small.parameters
    assert isinstance(large.batch, np.ndarray)
    assert np.array_equal(large.batch, np.repeat(small.batch, WORTHWHILE_BYTES, axis=0))  # type: ignore[arg-type]
    assert "not known: `foo`" in refused(body([row] * WORTHWHILE_BYTES, foo=1)).message


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False),
        lambda inner: st.lists(inner, max_size=3),
        max_leaves=8,
    )
)
def test_numbers_of_any_form_become_their_array_or_are_refused(row: Any) -> None:
    try:
        batch = ARRAYS(body([row, row])).batch
    except InvalidArgument:
        with pytest.raises(ValueError, match="inhomogeneous"):
            np.array([row, row], np.float64)
        return
    assert isinstance(batch, np.ndarray)
    assert _plain(batch.tolist()) == _plain([row, row])


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return None if value is None or math.isnan(value) else float(value)
