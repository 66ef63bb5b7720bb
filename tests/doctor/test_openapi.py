"""OpenAPI documents: what is kept of them, and what is read from them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelport.doctor.openapi import ABRIDGED_CHARACTERS, abridged, body_schema, parsed, routes


def with_schemas(schemas: dict[str, Any], reference: str = "#/components/schemas/Request") -> dict[str, Any]:
    body = {"content": {"application/json": {"schema": {"$ref": reference}}}}
    post = {"summary": "Predict", "description": "Long.", "requestBody": body, "responses": {"200": {"x": "y" * 5000}}}
    return {"openapi": "3.1.0", "paths": {"/predict": {"post": post}}, "components": {"schemas": schemas}}


@pytest.mark.parametrize("text", ["", "<html>", "[]", "{}", '{"paths": []}', "[" * 5000])
def test_what_is_no_document_is_nothing(text: str) -> None:
    assert parsed(text) is None


def test_an_abridged_document_describes_the_same_body() -> None:
    schemas = {
        "Request": {"properties": {"instances": {"items": {"$ref": "#/components/schemas/Row"}}}, "title": "Request"},
        "Row": {"properties": {"title": {"type": "string", "description": "The title."}}, "description": "One row."},
        "ValidationError": {"properties": {"loc": {}}},
    }
    short = parsed(abridged(with_schemas(schemas)))
    assert short == {
        "openapi": "3.1.0",
        "paths": {
            "/predict": {
                "post": {
                    "requestBody": {
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Request"}}}
                    }
                }
            }
        },
        "components": {
            "schemas": {
                "Request": {"properties": {"instances": {"items": {"$ref": "#/components/schemas/Row"}}}},
                "Row": {"properties": {"title": {"type": "string"}}},
            }
        },
    }


def test_examples_keep_every_word() -> None:
    example = {"instances": [{"title": "Alien", "description": "A film."}]}
    short = parsed(abridged(with_schemas({"Request": {"example": example}})))
    assert short is not None
    assert body_schema(short, "/predict") == ({"example": example}, [])


def test_bodies_are_left_out_where_they_are_too_much() -> None:
    text = abridged(with_schemas({"Request": {"enum": ["x" * 100] * 1000}}))
    assert len(text) <= ABRIDGED_CHARACTERS
    assert json.loads(text)["paths"] == {"/predict": {"post": {}}}


def test_a_document_of_too_many_paths_is_nothing() -> None:
    assert abridged({"paths": {f"/{number:05}": {"get": {}} for number in range(2000)}}) == ""


def test_a_document_nested_too_deep_is_nothing() -> None:
    nested: dict[str, Any] = {}
    for _ in range(900):
        nested = {"items": nested}
    assert abridged(with_schemas({"Request": nested})) in (
        "",
        '{"openapi": "3.1.0", "paths": {"/predict": {"post": {}}}}',
    )


def test_paths_that_would_be_other_urls_are_no_routes() -> None:
    item = {"get": {}, "post": {}}
    document = {"paths": {"/a/{id}": item, "@evil/b": item, "/c d": item, "/e": "x", "/f": {"get": {}}}}
    assert routes(document, "post") == ("/a/{id}",)
    assert routes(document, "get") == ("/a/{id}", "/f")


@pytest.mark.parametrize(
    "document",
    [
        {"paths": {}},
        {"paths": {"/predict": {"post": "x"}}},
        {"paths": {"/predict": {"post": {"requestBody": {"content": {"text/plain": {}}}}}}},
        with_schemas({}),
        with_schemas({"Request": {"$ref": "#/components/schemas/Request"}}),
        with_schemas({}, "elsewhere.json#/Request"),
    ],
)
def test_a_body_that_is_not_described_is_empty(document: dict[str, Any]) -> None:
    assert body_schema(document, "/predict") == ({}, [])
