"""Types of rows: read from text and from type hints, and held against each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypedDict

import numpy as np
import pytest
from numpy.typing import NDArray

from modelport.server.listener.validation.hint_types import Signature, signature_of, type_of_rows
from modelport.server.listener.validation.tensor_types import NoType, TensorType, mismatch, parse


@pytest.mark.parametrize(
    ("text", "datatype", "shape"),
    [
        ("FP32[4]", "FP32", (4,)),
        ("INT64[-1, 3]", "INT64", (-1, 3)),
        ("BYTES", "BYTES", ()),
        ("BF16[]", "BF16", ()),
        (" UINT8 [ 2 ,2]", "UINT8", (2, 2)),
    ],
)
def test_types_are_read(text: str, datatype: str, shape: tuple[int, ...]) -> None:
    assert parse(text) == TensorType(datatype, shape)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("FP23[4]", "did you mean `FP32`"),
        ("fp32", "`fp32` is no type of elements"),
        ("FP32[a]", "`a` is no size of an axis, a whole number is wanted, or -1 for any"),
        ("FP32[-2]", "`-2` is no size of an axis"),
        ("FP32[1,]", "`` is no size of an axis"),
        ("FP32[4", "a type such as"),
        ("", "a type such as"),
    ],
)
def test_what_is_no_type_says_what_one_is(text: str, reason: str) -> None:
    with pytest.raises(NoType) as caught:
        parse(text)
    assert reason in str(caught.value)


def typed(one: str | dict[str, str] | None) -> Mapping[str, TensorType] | TensorType | None:
    if isinstance(one, dict):
        return {name: parse(text) for name, text in one.items()}
    return parse(one) if one else None


@pytest.mark.parametrize(
    ("given", "wanted", "reason"),
    [
        ("FP32[4]", "FP32[4]", ""),
        ("FP64[4]", "FP16[4]", ""),
        ("INT64[4]", "FP32[4]", ""),
        ("FP32[4]", "INT64[4]", "FP32[4] is given, INT64[4] is wanted"),
        ("BOOL", "FP32", "BOOL is given, FP32 is wanted"),
        ("BYTES", "FP32", "BYTES is given, FP32 is wanted"),
        ("FP32[4]", "FP32[5]", "FP32[4] is given, FP32[5] is wanted"),
        ("FP32[4]", "FP32[-1]", ""),
        ("FP32[-1,3]", "FP32[7,3]", ""),
        ("FP32[4]", "FP32[4,4]", "FP32[4] is given, FP32[4,4] is wanted"),
        ("BYTES", "BYTES[1]", ""),
        ("BYTES[1]", "BYTES", ""),
        ("BYTES", "BYTES[2]", "BYTES is given, BYTES[2] is wanted"),
        ("FP32[1]", "FP32[1,1]", "FP32[1] is given, FP32[1,1] is wanted"),
        (None, "FP32", ""),
        ("FP32", None, ""),
        ({"x": "FP32[4]"}, {"y": "FP32[4]"}, ""),
        ({"x": "FP32[4]"}, "BYTES", "FP32[4] is given, BYTES is wanted"),
        ("BYTES", {"x": "FP32[4]"}, "BYTES is given, FP32[4] is wanted"),
        ({"a": "BYTES", "b": "FP32"}, {"a": "BYTES"}, ""),
        ({"a": "BYTES"}, {"a": "BYTES", "b": "FP32"}, "`a` is given, `b` is wanted too"),
        ({"a": "BYTES", "c": "FP32"}, {"a": "BYTES", "b": "FP32"}, "`a` and `c` are given, `b` is wanted too"),
        ({"a": "BYTES", "b": "FP32"}, {"a": "BYTES", "b": "INT8"}, "`b`: FP32 is given, INT8 is wanted"),
        ({"a": "BYTES", "b": "FP32"}, "BYTES", "`a` and `b` are given, one value without a name, BYTES, is wanted"),
        ("BYTES", {"a": "BYTES", "b": "FP32"}, "one value without a name is given, `a` and `b` are wanted"),
    ],
)
def test_what_is_given_is_held_against_what_is_wanted(given: Any, wanted: Any, reason: str) -> None:
    assert mismatch(typed(given), typed(wanted)) == reason


class Columns(TypedDict):
    text: list[str]
    scores: NDArray[np.float32]
    other: dict[str, int]


@dataclass
class Row:
    age: int
    name: str


ANY_SHAPE = TensorType("FP32")


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (list[str], TensorType("BYTES", ())),
        (list[bytes], TensorType("BYTES", ())),
        (list[bool], TensorType("BOOL", ())),
        (list[int], TensorType("INT64", ())),
        (list[list[float]], TensorType("FP64", (-1,))),
        (list[list[list[int]]], TensorType("INT64", (-1, -1))),
        (list[Literal["de", "en"]], TensorType("BYTES", ())),
        (list[Literal["de", 1]], None),
        (list[NDArray[np.float32]], ANY_SHAPE),
        (list[np.float32], TensorType("FP32", ())),
        (np.ndarray, TensorType()),
        (NDArray[np.float32], ANY_SHAPE),
        (NDArray[np.int8], TensorType("INT8")),
        (NDArray[np.floating], TensorType()),
        (Columns, {"text": TensorType("BYTES", ()), "scores": ANY_SHAPE, "other": TensorType()}),
        (list[Row], {"age": TensorType("INT64", ()), "name": TensorType("BYTES", ())}),
        (list[dict[str, int]], None),
        (list[Any], None),
        (list, None),
        (str, None),
        (Any, None),
    ],
)
def test_type_hints_make_types(hint: Any, expected: Any) -> None:
    assert type_of_rows(hint) == expected


def length(rows: list[str], *, scale: float = 1.0) -> list[float]:
    return [len(row) * scale for row in rows]


class Length:
    def __init__(self, unit: str = "m") -> None:
        self.unit = unit

    async def __call__(self, rows: list[str], **more: object) -> list[float]:
        return length(rows)


LENGTH = Signature({"rows": TensorType("BYTES", ()), "scale": None}, ("rows",), TensorType("FP64", ()))


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (length, LENGTH),
        (Length, Signature({"rows": TensorType("BYTES", ())}, ("rows",), TensorType("FP64", ()), any_name=True)),
        (Length(), Signature({"rows": TensorType("BYTES", ())}, ("rows",), TensorType("FP64", ()), any_name=True)),
        (lambda rows: rows, Signature({"rows": None}, ("rows",))),
        (np.log, Signature(any_name=True)),
    ],
)
def test_signatures_of_functions_are_read(function: Any, expected: Signature) -> None:
    found = signature_of(function)
    if function is np.log and found is not None:
        found = Signature(any_name=found.any_name)  # its other arguments are numpy's own business
    assert found == expected


def test_what_cannot_be_read_of_a_function_is_unknown() -> None:
    def of_nowhere(rows: list[Nowhere]) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    assert signature_of(of_nowhere) == Signature({"rows": None}, ("rows",))
    assert signature_of(partial(length, scale=2.0)) is not None
