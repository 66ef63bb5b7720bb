"""What the messages of libraries and servers teach about the instances that are wanted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelport.check.lessons import adapted, mentions_parameters
from modelport.check.samples import Origin, Sample

ROW: list[Any] = [0.0]


def taught(item: Any, *said: str) -> Any:
    found = adapted(Sample([item], {}, Origin.GUESS), *said)
    if found is None:
        return None
    assert found.origin is Origin.LEARNED
    return found.instances[0]


@pytest.mark.parametrize(
    ("said", "count"),
    [
        ("X has 1 features, but RandomForestClassifier is expecting 4 features as input.", 4),
        ("X has 1 features per sample; expecting 13", 13),
        ("Number of features of the model must match the input. Model n_features is 4 and input n_features is 1", 4),
        ("Feature shape mismatch, expected: 4, got 1", 4),
        ("The number of features in data (1) is not the same as it was in training data (30).", 30),
        (
            'Input 0 of layer "dense" is incompatible with the layer: expected axis -1 of input shape to have value 4, '
            "but received input with shape (1, 1)",
            4,
        ),
        ("mat1 and mat2 shapes cannot be multiplied (1x1 and 784x128)", 784),
        ("Got invalid dimensions for input: X for the following indices\n index: 1 Got: 1 Expected: 4", 4),
        ("shapes (1,1) and (4,) not aligned: 1 (dim 1) != 4 (dim 0)", 4),
        (
            "matmul: Input operand 1 has a mismatch in its core dimension 0, with gufunc signature "
            "(n?,k),(k,m?)->(n?,m?) (size 4 is different from 1)",
            4,
        ),
        ("Each instance must have exactly 4 values", 4),
        ("Expected 4 features", 4),
        ('{"error": "expected: 4 numeric features per row"}', 4),
    ],
)
def test_a_number_of_features_makes_a_row_of_that_many(said: str, count: int) -> None:
    assert taught(ROW, said) == [0.0] * count
    assert taught(ROW, json.dumps({"error": said})) == [0.0] * count


@pytest.mark.parametrize(
    ("item", "said", "wanted"),
    [
        (ROW, "Expected 2D array, got 1D array instead:\narray=[0.].", [[0.0]]),
        (0.0, "Expected 2D array, got 1D array instead:\narray=[0.].", [0.0]),
        ([[0.0]], "Found array with dim 3. RandomForestClassifier expected <= 2.", [0.0]),
        ([[0.0]], "Found array with dim 3, while dim <= 2 is required by RandomForestClassifier.", [0.0]),
        ([[0.0]], "X has 1 features, but Forest is expecting 3 features as input", [[0.0, 0.0, 0.0]]),
        (ROW, "expected shape=(None, 2, 3), found shape=(None, 1)", [[0.0] * 3] * 2),
        (ROW, "expected min_ndim=4, found ndim=2. Full shape received: (None, 1)", [[[0.0]]]),
        ({"features": 0.0}, "'float' object is not iterable", {"features": [0.0]}),
        ({"features": [0.0]}, "X has 1 features, but Forest is expecting 2 features", {"features": [0.0, 0.0]}),
    ],
)
def test_a_shape_is_learned(item: Any, said: str, wanted: Any) -> None:
    assert taught(item, said) == wanted


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("AttributeError: 'list' object has no attribute 'lower'", "text"),
        ("TypeError: expected string or bytes-like object, got 'list'", "text"),
        ("text input must be of type `str` (single example)", "text"),
        ("TypeError: list indices must be integers or slices, not str", {}),
        ("AttributeError: 'list' object has no attribute 'get'", {}),
        ("Specifying the columns using strings is only supported for dataframes.", {}),
    ],
)
def test_another_kind_of_instance_is_learned(said: str, wanted: Any) -> None:
    assert taught(ROW, said) == wanted


@pytest.mark.parametrize(
    ("said", "names"),
    [
        ("KeyError: 'age'", ["age"]),
        ('{"error": "\'age\'"}', ["age"]),
        ("<pre>KeyError: &#39;age&#39;</pre>", ["age"]),
        ("KeyError: \"['age', 'sex'] not in index\"", ["age", "sex"]),
        ("None of [Index(['age', 'sex'], dtype='object')] are in the [columns]", ["age", "sex"]),
        ("ValueError: columns are missing: {'age', 'sex'}", ["age", "sex"]),
        ("Feature names seen at fit time, yet now missing:\n- age\n- sex\n", ["age", "sex"]),
        ("feature_names mismatch: ['age', 'sex'] ['0']\nexpected sex, age in input data", ["age", "sex"]),
        ("jsonschema: 'age' is a required property", ["age"]),
        ('{"message": "Missing required field: age"}', ["age"]),
        ("missing fields: ['age', 'sex']", ["age", "sex"]),
    ],
)
def test_names_of_fields_make_an_object(said: str, names: list[str]) -> None:
    assert taught(ROW, said) == dict.fromkeys(names, 0.0)


def test_a_further_field_is_added_to_those_that_are_known() -> None:
    assert taught({"age": 0.0}, "KeyError: 'sex'") == {"age": 0.0, "sex": 0.0}


@pytest.mark.parametrize(
    "said",
    [
        "",
        "<h1>Internal Server Error</h1>",
        "KeyError: 'instances'",
        "KeyError: 'parameters'",
        "float() argument must be a string or a real number, not 'dict'",
        "Expected 2D array, got scalar array instead:\narray={'instances': [[0.0]]}.",
        "X has 1 features, but Forest is expecting 1 features",
        "expected 99999999 features",
        '{"broken": ',
    ],
)
def test_what_tells_nothing_of_the_instances_teaches_nothing(said: str) -> None:
    assert taught(ROW, said) is None


def test_a_known_field_that_is_asked_for_again_teaches_nothing() -> None:
    assert taught({"age": 0.0}, "KeyError: 'age'") is None


def validation(*errors: dict[str, Any]) -> str:
    return json.dumps({"detail": list(errors)})


@pytest.mark.parametrize(
    ("item", "errors", "wanted"),
    [
        (ROW, [{"type": "missing", "loc": ["body", "instances", 0, "age"], "msg": "Field required"}], {"age": 0.0}),
        (
            {},
            [
                {"type": "missing", "loc": ["body", "instances", 0, "age"]},
                {"type": "missing", "loc": ["body", "instances", 0, "name"]},
            ],
            {"age": 0.0, "name": 0.0},
        ),
        ({"name": 0.0}, [{"type": "string_type", "loc": ["body", "instances", 0, "name"]}], {"name": "text"}),
        ({"name": 0.0}, [{"type": "type_error.str", "loc": ["body", "instances", 0, "name"]}], {"name": "text"}),
        (ROW, [{"type": "model_attributes_type", "loc": ["body", "instances", 0]}], {}),
        (0.0, [{"type": "list_type", "loc": ["body", "instances", 0]}], [0.0]),
        ({"age": 0.0}, [{"type": "greater_than", "loc": ["body", 0, "age"], "ctx": {"gt": 17}}], {"age": 18}),
        ({"age": 0.0}, [{"type": "less_than_equal", "loc": ["age"], "ctx": {"le": -2}}], {"age": -2}),
        (ROW, [{"type": "missing", "loc": ["body", "features"]}], {"features": 0.0}),
        (["x"], [{"type": "float_parsing", "loc": ["body", "instances", 0, 0]}], [0.0]),
        (ROW, [{"type": "too_short", "loc": ["body", "instances", 0], "ctx": {"min_length": 3}}], [0.0] * 3),
        (
            {"kind": 0.0},
            [{"type": "literal_error", "loc": ["body", "instances", 0, "kind"], "ctx": {"expected": "'a' or 'b'"}}],
            {"kind": "a"},
        ),
    ],
)
def test_errors_of_pydantic_are_followed(item: Any, errors: list[dict[str, Any]], wanted: Any) -> None:
    assert taught(item, validation(*errors)) == wanted


def test_errors_of_pydantic_about_other_parts_of_the_request_teach_nothing() -> None:
    said = validation(
        {"type": "missing", "loc": ["body", "parameters"]},
        {"type": "missing", "loc": ["body", "instances"]},
        {"type": "list_type", "loc": ["body"]},
        {"type": "missing", "loc": ["query", "key"]},
    )
    assert taught(ROW, said) is None


def test_errors_of_pydantic_about_parameters_add_to_them() -> None:
    said = validation({"type": "missing", "loc": ["body", "parameters", "top_k"]})
    assert adapted(Sample([ROW], {}, Origin.GIVEN), said) == Sample([ROW], {"top_k": 0.0}, Origin.GIVEN)


def test_the_log_teaches_where_the_answer_does_not() -> None:
    assert taught(ROW, "Internal Server Error", "Traceback …\nValueError: expecting 2 features as input") == [0.0, 0.0]


@pytest.mark.parametrize(
    ("said", "mentioned"),
    [("KeyError: 'parameters'", True), ('{"loc": ["body", "parameters"]}', True), ("hyperparameters", False)],
)
def test_a_mention_of_parameters_is_noticed(said: str, mentioned: bool) -> None:
    assert mentions_parameters(said) is mentioned
