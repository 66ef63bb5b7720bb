"""Type hints hold requests to what a predictor was written for, and say all that is wrong."""

import json
from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, TypedDict

import msgspec
import numpy as np
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from numpy.typing import NDArray

from modelport.core.errors import InvalidArgument
from modelport.server.hints import ListedRows, NumberedRows, Unreadable, hint_of, row_rule


class Species(Enum):
    CAT = "cat"
    DOG = "dog"


@dataclass
class Pet:
    age: int
    name: str = "Rex"
    weights: list[float] = field(default_factory=list)
    species: Species = Species.DOG

    def __post_init__(self) -> None:
        if self.age < 0:
            raise ValueError("an age is not negative")


class House(TypedDict):
    rooms: int
    size: Annotated[float, msgspec.Meta(gt=0, le=1000)]
    photo: NotRequired[bytes]
    owner: Pet | None


class Point(NamedTuple):
    x: float
    y: float = 0.0


class Order(pydantic.BaseModel):
    amount: int
    pets: list[Pet] = []


def read(hint: Any, rows: Any) -> Any:
    rule = row_rule(list[hint])
    assert rule is not None
    return rule.read(rows)


def refused(hint: Any, *rows: Any) -> dict[str, str]:
    with pytest.raises(InvalidArgument) as caught:
        read(hint, list(rows))
    return {one.field: one.description for one in caught.value.violations}


@pytest.mark.parametrize(
    ("hint", "given", "made"),
    [
        (int, 3, 3),
        (float, 3, 3.0),
        (str, "é", "é"),
        (bool, True, True),
        (bytes, b"\xff", b"\xff"),
        (list[float], [1, 2.5], [1.0, 2.5]),
        (dict[str, int], {"a": 1}, {"a": 1}),
        (dict, {"a": [None]}, {"a": [None]}),
        (Literal["low", 3], 3, 3),
        (int | None, None, None),
        (str | list[str], ["a"], ["a"]),
        (Point, [1, 2], Point(1.0, 2.0)),
        (Pet, {"age": 3, "species": "cat", "tail": 1}, Pet(3, species=Species.CAT)),
        (House, {"rooms": 2, "size": 7, "owner": {"age": 1}}, {"rooms": 2, "size": 7.0, "owner": Pet(1)}),
        (Order, {"amount": 3}, Order(amount=3)),
    ],
)
def test_a_row_becomes_what_the_hint_says(hint: Any, given: Any, made: Any) -> None:
    [row] = read(hint, [given])

    assert row == made
    assert type(row) is type(made)


@pytest.mark.parametrize(
    ("hint", "row", "violations"),
    [
        (int, "x", {"instances[0]": '"x" is a text, an integer is wanted'}),
        (int, True, {"instances[0]": "true is true or false, an integer is wanted"}),
        (int, 1.5, {"instances[0]": "1.5 is a number, an integer is wanted"}),
        (float, None, {"instances[0]": "null is nothing, a number is wanted"}),
        (bytes, "aGk=", {"instances[0]": '"aGk=" is a text, bytes, as {"b64": "…"}, are wanted'}),
        (Literal["low", 3], "high", {"instances[0]": '"high" is a text, one of "low", 3 is wanted'}),
        (int | None, "x", {"instances[0]": '"x" is a text, an integer or null is wanted'}),
        (list[float], [1, "x", None], {
            "instances[0][1]": '"x" is a text, a number is wanted',
            "instances[0][2]": "null is nothing, a number is wanted",
        }),
        (dict[str, int], {"a": "x"}, {"instances[0].a": '"x" is a text, an integer is wanted'}),
        (Point, {"x": 1}, {"instances[0]": '{"x": 1} is an object, a list (x, y) is wanted'}),
        (Point, ["x"], {"instances[0][0]": '"x" is a text, a number is wanted'}),
        (Pet, {"name": 1, "weights": [1, "x"], "species": "cow"}, {
            "instances[0].age": "it is missing, an integer is wanted",
            "instances[0].name": "1 is an integer, a text is wanted",
            "instances[0].weights[1]": '"x" is a text, a number is wanted',
            "instances[0].species": '"cow" is a text, one of "cat", "dog" is wanted',
        }),
        (Pet, {"age": -1}, {"instances[0]": "an age is not negative"}),
        (House, {"rooms": 1, "size": 0, "photo": "x", "owner": {"age": "old"}}, {
            "instances[0].size": "0 is given, more than 0 and at most 1000 is wanted",
            "instances[0].photo": '"x" is a text, bytes, as {"b64": "…"}, are wanted',
            "instances[0].owner.age": '"old" is a text, an integer is wanted',
        }),
        (House, [1], {"instances[0]": "[1] is a list, an object is wanted"}),
    ],
)  # fmt: skip
def test_all_that_is_wrong_is_said_at_once(hint: Any, row: Any, violations: dict[str, str]) -> None:
    assert refused(hint, row) == violations


def test_a_pydantic_model_speaks_for_itself() -> None:
    said = refused(Order, {"amount": "x", "pets": 3})

    assert set(said) == {"instances[0].amount", "instances[0].pets"}
    assert "valid integer" in said["instances[0].amount"]


def test_the_first_row_at_fault_is_named() -> None:
    with pytest.raises(InvalidArgument) as caught:
        read(Pet, [{"age": 1}, {"age": 1}, {"age": "x"}, {}])

    assert caught.value.message == (
        'instances[2].age: "x" is a text, an integer is wanted; instances[3].age: it is missing, an integer is wanted'
    )
    assert caught.value.metadata == {"row": "2"}


def test_of_many_violations_no_more_are_worked_out_than_told() -> None:
    with pytest.raises(InvalidArgument) as caught:
        read(int, ["x"] * 100_000)

    assert len(caught.value.violations) == 20
    assert caught.value.message.endswith("; and more than 17 others")


def test_a_long_value_is_cut() -> None:
    assert len(refused(int, "x" * 10_000)["instances[0]"]) < 100


@pytest.mark.parametrize("hint", [Any, list, list[Any]])
def test_a_hint_that_says_nothing_checks_nothing(hint: Any) -> None:
    assert row_rule(hint) is None


class Deep(TypedDict):
    inner: NotRequired["Deep"]


def test_a_value_that_is_nested_too_deep_is_refused() -> None:
    row: dict[str, Any] = {}
    for _ in range(1000):
        row = {"inner": row}
    row_rule(list[Deep]).read([{"inner": {"inner": {}}}])  # type: ignore[union-attr]

    assert refused(Deep, row) == {"instances": "it is nested too deep"}


@pytest.mark.parametrize("hint", [int, list[complex], list[object()], str, list[House | Pet]])  # type: ignore[misc]
def test_a_hint_that_is_no_rule_for_json_is_unreadable(hint: Any) -> None:
    with pytest.raises(Unreadable):
        row_rule(hint)


def test_columns_become_rows() -> None:
    rule = ListedRows(dict[str, int])

    assert rule.read({"a": np.array([1, 2]), "b": [3, 4]}) == [{"a": 1, "b": 3}, {"a": 2, "b": 4}]


def test_numbers_become_an_array_of_the_hinted_type() -> None:
    rule = row_rule(NDArray[np.float32])
    assert isinstance(rule, NumberedRows)

    assert rule.read([[1, 2]]).dtype == np.float32
    assert rule.read(np.array([[1, 2]])).dtype == np.float32
    assert row_rule(np.ndarray).read([[1, 2]]).dtype.kind == "i"  # type: ignore[union-attr]


@pytest.mark.parametrize("hint", [np.ndarray, NDArray[np.float64], NDArray[Any]])
def test_rows_that_are_no_numbers_are_named(hint: Any) -> None:
    rule = row_rule(hint)
    assert rule is not None
    with pytest.raises(InvalidArgument) as caught:
        rule.read([[1, 2], [3], ["x", 4]])

    assert {one.field for one in caught.value.violations} == {"instances[1]", "instances[2]"}
    assert caught.value.metadata == {"row": "1"}


def test_a_hint_for_type_checkers_only_is_unreadable_and_leaves_the_others() -> None:
    def predict(instances: "list[int]", other: "NotImported") -> None: ...  # type: ignore[name-defined]  # noqa: F821

    assert hint_of(predict, "instances") == list[int]
    with pytest.raises(Unreadable, match="NotImported"):
        hint_of(predict, "other")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-10, 10) | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["age", "name", "x"]), inner),
    max_leaves=6,
)
HINTS = st.sampled_from(
    [int, float, str, bool, bytes, list[float], dict[str, int], Literal["a"], int | None, Pet, House, Point, Order]
)


@given(HINTS, st.lists(JSON, max_size=4))
def test_rows_are_read_or_the_first_at_fault_is_named(hint: Any, rows: list[Any]) -> None:
    def row_at_fault(these: list[Any]) -> int | None:
        try:
            made = read(hint, these)
        except InvalidArgument as error:
            fields = [one.field for one in error.violations if one.description]
            return int(error.metadata["row"]) if all(one.startswith("instances[") for one in fields) else -1
        return None if len(made) == len(these) else -1

    alone = [row_at_fault([row]) for row in rows]
    first = next((index for index, found in enumerate(alone) if found is not None), None)

    assert set(alone) <= {None, 0}
    assert row_at_fault(rows) == first


@given(st.sampled_from([int, float, str, bool, list[float], dict[str, int], Literal["a"], int | None, Point]), JSON)
def test_the_schema_allows_what_is_read(hint: Any, row: Any) -> None:
    rule = ListedRows(hint)
    try:
        rule.read([row])
    except InvalidArgument:
        return
    Draft202012Validator(rule.schema).validate(row)


def test_a_schema_is_whole_in_itself() -> None:
    schema = ListedRows(list[Order]).schema

    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate([{"amount": 3}])
    assert "contentEncoding" in json.dumps(ListedRows(House).schema)
    assert not Draft202012Validator(ListedRows(House).schema).is_valid(
        {"rooms": 1, "size": 1, "owner": None, "photo": "aGk="}
    )
