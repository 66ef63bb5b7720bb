import json
import math
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelport.server.number_arrays import NumberReader

WHOLE = st.integers(-(2**63), 2**63 - 1)
BROKEN = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([-0.0, 1e308, -1e308, 5e-324, 0.1, 1e22])
NUMBERS = {"whole": WHOLE, "broken": BROKEN, "mixed": WHOLE | BROKEN, "beyond": st.integers(-(2**64), 2**65) | BROKEN}


def ordinary(body: bytes) -> np.ndarray[Any, Any]:
    return np.array(orjson.loads(body)["instances"])


def same(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


PARAMETERS = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text("]},{[\"'é:0", max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab[]", max_size=3), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def blocks(draw: st.DrawFn, numbers: st.SearchStrategy[Any]) -> list[Any]:
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    values: list[Any] = draw(st.lists(numbers, min_size=math.prod(shape), max_size=math.prod(shape)))
    for size in reversed(shape[1:]):
        values = [values[start : start + size] for start in range(0, len(values), size)]
    return values


@st.composite
def bodies(draw: st.DrawFn) -> tuple[bytes, dict[str, Any], bool]:
    """Return a body, its members beside `instances`, and whether it must be read."""
    kind = draw(st.sampled_from(list(NUMBERS)))
    others = draw(st.dictionaries(st.sampled_from(["parameters", "signature_name", "a[,]"]), PARAMETERS, max_size=2))
    members = {"instances": draw(blocks(NUMBERS[kind])), **others}
    order = draw(st.permutations(list(members)))
    spaced = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t:\r\n")]))
    body = json.dumps({name: members[name] for name in order}, separators=spaced).encode()
    return body, others, kind != "beyond" and "instances" in (order[0], order[-1])


@settings(max_examples=50)
@given(bodies())
def test_the_array_is_the_one_that_numpy_makes_to_the_bit(case: tuple[bytes, dict[str, Any], bool]) -> None:
    body, others, sure = case
    found = NumberReader().read(body)
    assert found is not None or not sure
    if found is not None:
        array, rest = found
        assert same(array, ordinary(body))
        assert rest == others


@pytest.mark.parametrize(
    "text",
    [
        "[1]",
        "[1,2,3]",
        "[[1,2],[3,4]]",
        "[[1.5,-2],[3,4e0]]",
        "[[[0,255,7],[1,2,3]],[[4,5,6],[7,8,9]]]",
        "[-0,-0.0]",
        "[9007199254740993,0.5]",
        "[-9223372036854775808,9223372036854775807]",
        "[1E3,1e-3,1.0E+2]",
        "[ [ 1 , 2 ] ,\n\t[ 3 , 4 ] ]",
    ],
)
def test_regular_numbers_are_read_without_objects(text: str) -> None:
    body = b'{"instances":' + text.encode() + b"}"
    found = NumberReader().read(body)
    assert found is not None
    assert same(found[0], ordinary(body))
    assert found[0].flags.writeable


@pytest.mark.parametrize(
    "text",
    [
        "[[1,2],[3]]",
        "[[1],[2,3]]",
        "[[1,2],[3,4,5],[6]]",
        "[[1,[2]],[3,4]]",
        "[[[1,2],[3,4]],[[5,6],[7]],[[8]]]",
        "[[[1,2]],[[3],[4]]]",
        "[1,[2]]",
        "[[1],2]",
        "[[]]",
        "[[1],[]]",
        "[]",
        "[1,null]",
        "[1,true]",
        '[1,"2"]',
        "[1,{}]",
        "[18446744073709551615]",
        "[99999999999999999999999]",
        "[1e999]",
        "[NaN]",
        "[1,]",
        "[1",
        "[01]",
        "1",
        "[" * 40 + "1" + "]" * 40,
        "[" * 2000 + "1" + "]" * 2000,
    ],
)
def test_everything_else_is_left_to_the_ordinary_way(text: str) -> None:
    assert NumberReader().read(b'{"instances":' + text.encode() + b"}") is None


@pytest.mark.parametrize(
    "body",
    [
        b"[[1,2]]",
        b"",
        b'{"parameters":{"instances":[1]}}',
        b'{"instances":[1],"instances":[2]}',
        b'{"a":{"instances":[1]},"instances":[2],"b":1}',
        b'{"a":{"instances":[1]},"instances":[]}',
        b'{"a":{"instances":[1]},"instances":[[],[1]]}',
        b'{"instances":[[1,2],[3,4,5],[6]],"parameters":[[1,2],[3,4],[5,6]]}',
        b'{"parameters":{},"instances":[[1,2],[3,4,5],[6]]}',
        b'"instances":[1]',
        b'{"instances":[1]} x',
        b'{"instances":[1],"p":"\xff"}',
    ],
)
def test_a_body_that_is_not_plain_is_left_to_the_ordinary_way(body: bytes) -> None:
    assert NumberReader().read(body) is None


def test_brackets_in_parameters_are_not_those_of_the_rows() -> None:
    body = b'{"parameters":{"a":"]],[[","b":[[1],[2]]},"instances":[[1,2],[3,4]]}'
    found = NumberReader().read(body)
    assert found is not None
    assert found[0].shape == (2, 2)
    assert found[1] == {"parameters": {"a": "]],[[", "b": [[1], [2]]}}


def test_ragged_rows_before_parameters_that_would_complete_them_are_not_a_block() -> None:
    assert NumberReader().read(b'{"instances":[[1,2],[3]],"parameters":[4]}') is None


def test_a_reader_goes_on_after_bodies_that_it_left_alone() -> None:
    reader = NumberReader()
    for body in (b'{"instances":[[1,2],[3]]}', b'{"instances":[1,', b'{"instances":[1,{"a":[2]}]}'):
        assert reader.read(body) is None
    arrays = [reader.read(b'{"instances":[%d,2]}' % number) for number in range(5)]
    assert [found[0].tolist() for found in arrays if found] == [[number, 2] for number in range(5)]


TENSOR = b'{"name":"x","shape":[2],"datatype":"FP32","data":%b}'


def test_the_data_of_tensors_is_read_without_objects() -> None:
    body = b'{"inputs":[' + TENSOR % b"[1,2]" + b"," + TENSOR % b"[1.5,-0.0]" + b'],"id":"7"}'
    document = NumberReader().read_tensors(body)
    assert document is not None
    first, second = (one.pop("data") for one in document["inputs"])
    assert same(first, np.array([1, 2]))
    assert same(second, np.array([1.5, -0.0]))
    assert document == {"inputs": [{"name": "x", "shape": [2], "datatype": "FP32"}] * 2, "id": "7"}


@pytest.mark.parametrize(
    "body",
    [
        b'{"inputs":[' + TENSOR % b"[1,[2]]" + b"]}",
        b'{"inputs":[' + TENSOR % b"[1,null]" + b"]}",
        b'{"inputs":[' + TENSOR % b"[1,2]" + b'],"id":"["}',
        b'{"inputs":[' + TENSOR % b"[1,2]" + b"," + TENSOR % b'["a"]' + b"]}",
        b'{"inputs":[{"data":[1],"data":[2]}]}',
        b'{"inputs":[' + TENSOR % b"[1]" + b'],"inputs":[]}',
        b'{"inputs":[1],"data":[1]}',
        b'{"inputs":{"data":[1]}}',
        b'[{"data":[1]}]',
        b'{"inputs":[{"data":[1}]}',
    ],
)
def test_other_tensors_are_left_to_the_ordinary_way(body: bytes) -> None:
    assert NumberReader().read_tensors(body) is None
