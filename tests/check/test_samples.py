"""Instances made from OpenAPI documents."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelport.check.samples import Origin, Sample, first_sample, from_openapi
from modelport.check.schema_values import leaves, value_of
from modelport.doctor.evidence import Purpose

# As FastAPI 0.165 writes it for `instances: list[Row]` with an optional and a required field.
FASTAPI: dict[str, Any] = json.loads("""
{"openapi": "3.1.0", "info": {"title": "FastAPI", "version": "0.1.0"}, "paths": {"/health": {"get": {"responses": {}}},
 "/predict": {"post": {"summary": "Predict", "operationId": "predict_predict_post", "requestBody": {"content":
 {"application/json": {"schema": {"$ref": "#/components/schemas/Request"}}}, "required": true}}}}, "components":
 {"schemas": {"Row": {"properties": {"age": {"type": "integer", "minimum": 18.0, "title": "Age"}, "name": {"anyOf":
 [{"type": "string"}, {"type": "null"}], "title": "Name"}}, "type": "object", "required": ["age"], "title": "Row"},
 "Request": {"properties": {"instances": {"items": {"$ref": "#/components/schemas/Row"}, "type": "array", "title":
 "Instances"}, "parameters": {"anyOf": [{"additionalProperties": true, "type": "object"}, {"type": "null"}], "title":
 "Parameters"}}, "type": "object", "required": ["instances"], "title": "Request"}}}}
""")


def document(schema: dict[str, Any], **media: Any) -> dict[str, Any]:
    content = {"application/json": {"schema": schema, **media}}
    return {"openapi": "3.1.0", "paths": {"/predict": {"post": {"requestBody": {"content": content}}}}}


def instances(schema: dict[str, Any]) -> dict[str, Any]:
    return document({"type": "object", "properties": {"instances": schema}})


def test_the_schema_of_a_row_makes_a_row_of_what_is_required() -> None:
    assert from_openapi(FASTAPI, "/predict") == Sample([{"age": 18}], {}, Origin.SCHEMA)


def test_a_route_that_is_not_in_the_document_has_no_sample() -> None:
    assert from_openapi(FASTAPI, "/invocations") is None
    assert from_openapi(FASTAPI, "/health") is None


@pytest.mark.parametrize(
    "shown",
    [
        document({}, example={"instances": [[1, 2]]}),
        document({}, examples={"one": {"value": {"instances": [[1, 2]]}}}),
        document({"type": "object", "example": {"instances": [[1, 2]]}}),
        document({"type": "object", "examples": [{"instances": [[1, 2]]}]}),
        instances({"type": "array", "example": [[1, 2]]}),
        instances({"type": "array", "items": {"type": "array", "examples": [[1, 2]]}}),
    ],
)
def test_an_example_anywhere_is_preferred(shown: dict[str, Any]) -> None:
    assert from_openapi(shown, "/predict") == Sample([[1, 2]], {}, Origin.EXAMPLE)


@pytest.mark.parametrize(
    ("schema", "wanted"),
    [
        ({}, [0.0]),
        ({"type": "array", "items": {}}, [0.0]),
        ({"type": "array", "items": {"type": "number"}, "minItems": 3}, [0.0, 0.0, 0.0]),
        ({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}]}, [0, "text"]),
        ({"type": "string"}, "text"),
        ({"type": "string", "minLength": 6}, "textxx"),
        ({"type": "string", "maxLength": 2}, "te"),
        ({"type": "string", "format": "date"}, "2024-01-01"),
        ({"type": "string", "enum": ["red", "blue"]}, "red"),
        ({"const": 7}, 7),
        ({"type": "integer", "default": 3}, 3),
        ({"type": "integer", "minimum": 5}, 5),
        ({"type": "integer", "exclusiveMinimum": 0}, 1),
        ({"type": "integer", "minimum": 0, "exclusiveMinimum": True}, 1),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, 0.5),
        ({"type": "number", "maximum": -2}, -2.0),
        ({"type": ["null", "boolean"]}, False),
        ({"anyOf": [{"type": "null"}, {"type": "string"}]}, "text"),
        ({"allOf": [{"properties": {"a": {"type": "integer"}}}, {"properties": {"b": {}}}]}, {"a": 0, "b": 0.0}),
        ({"properties": {"a": {"type": "string"}, "b": {}}, "required": ["a"]}, {"a": "text"}),
        ({"type": "object"}, {}),
    ],
)
def test_a_value_is_one_that_the_schema_allows(schema: dict[str, Any], wanted: Any) -> None:
    assert from_openapi(instances({"type": "array", "items": schema}), "/predict") == Sample(
        [wanted], {}, Origin.SCHEMA
    )


def test_required_parameters_are_made_with_what_they_require() -> None:
    parameters = {
        "type": "object",
        "properties": {"top_k": {"type": "integer", "minimum": 1}, "seed": {"type": "integer"}},
        "required": ["top_k"],
    }
    body = {"type": "object", "properties": {"instances": {}, "parameters": parameters}}
    sample = from_openapi(document(body), "/predict")
    assert sample is not None
    assert sample.parameters == {"top_k": 1}
    assert first_sample([[1]], document(body), "/predict") == Sample([[1]], {"top_k": 1}, Origin.GIVEN)


@pytest.mark.parametrize(
    ("schema", "wanted"),
    [
        ({"type": "array", "items": {"type": "array", "items": {"type": "number"}}}, [[0.0]]),
        ({"type": "object", "properties": {"features": {"type": "array", "items": {}}}}, [{"features": [0.0]}]),
    ],
)
def test_a_body_without_instances_gives_its_parts_as_instances(schema: dict[str, Any], wanted: list[Any]) -> None:
    assert from_openapi(document(schema), "/predict") == Sample(wanted, {}, Origin.SCHEMA)


def test_without_instances_or_document_a_number_in_a_list_is_tried() -> None:
    assert first_sample(None, None, "/predict") == Sample([[0.0]], {}, Origin.GUESS)


@pytest.mark.parametrize(
    ("origin", "purpose"),
    [
        (Origin.GIVEN, Purpose.SAMPLE),
        (Origin.EXAMPLE, Purpose.SAMPLE),
        (Origin.SCHEMA, Purpose.SAFE),
        (Origin.GUESS, Purpose.SAFE),
        (Origin.LEARNED, Purpose.SAFE),
    ],
)
def test_only_what_was_given_or_shown_has_to_work(origin: Origin, purpose: Purpose) -> None:
    assert Sample([1], {}, origin).purpose is purpose
    assert Sample([1], {}, origin, with_parameters=True).purpose is Purpose.WITH_PARAMETERS


def test_a_body_has_parameters_only_where_they_are_wanted() -> None:
    assert Sample(["ä"], {"k": 1}, Origin.GIVEN).body == '{"instances": ["ä"]}'.encode()
    assert (
        Sample([1], {"k": 1}, Origin.GIVEN, with_parameters=True).body == b'{"instances": [1], "parameters": {"k": 1}}'
    )


def test_a_schema_that_contains_itself_many_times_makes_a_bounded_value() -> None:
    me = {"$ref": "#/components/schemas/Node"}
    node = {"type": "object", "properties": {f"child{n}": me for n in range(20)}}
    assert leaves(value_of({"components": {"schemas": {"Node": node}}}, me)) <= 3000


def test_lists_within_lists_make_a_bounded_value() -> None:
    schema: dict[str, Any] = {"type": "number"}
    for _ in range(6):
        schema = {"type": "array", "items": schema, "minItems": 1000}
    assert leaves(value_of({}, schema)) <= 200_000


def test_references_in_a_circle_end() -> None:
    loop = {
        "components": {"schemas": {"A": {"$ref": "#/components/schemas/B"}, "B": {"$ref": "#/components/schemas/A"}}}
    }
    assert value_of(loop, {"$ref": "#/components/schemas/A"}) == [0.0]
