"""Samples: instances to predict for, made from a server's OpenAPI document, or guessed. Pure.

What a server says about a wrong guess is read in `check.lessons`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from modelport.check.schema_values import examples_of, followed, value_of
from modelport.doctor import openapi
from modelport.doctor.evidence import Purpose


class Origin(StrEnum):
    """Where instances come from; the text ends a sentence that begins with "instances"."""

    GIVEN = "as given"
    EXAMPLE = "of the example in the server's own OpenAPI document"
    SCHEMA = "made after the schema in the server's own OpenAPI document"
    METADATA = "made after the server's own description of the model"
    GUESS = "that are a guess"
    LEARNED = "guessed from what the server said"


@dataclass(frozen=True)
class Sample:
    """Instances to predict for.

    Attributes:
        instances: at least one.
        parameters: sent where a prediction has `parameters`.
        origin: where they come from.
        with_parameters: whether predictions need `parameters`.
        native: the only instance is a whole request, in a protocol of the server's own.
    """

    instances: list[Any]
    parameters: dict[str, Any]
    origin: Origin
    with_parameters: bool = False
    native: bool = False

    @property
    def certain(self) -> bool:
        """Return whether the server has to answer these: a failure is its fault, not that of the instances."""
        return self.origin in (Origin.GIVEN, Origin.EXAMPLE)

    @property
    def purpose(self) -> Purpose:
        """Return why the sample is sent as it is."""
        if self.with_parameters:
            return Purpose.WITH_PARAMETERS
        return Purpose.SAMPLE if self.certain else Purpose.SAFE

    @property
    def body(self) -> bytes:
        """Return the body of a prediction, as the contract has it unless it is native."""
        if self.native:
            return encoded(self.instances[0])
        parameters = {"parameters": self.parameters} if self.with_parameters else {}
        return encoded({"instances": self.instances, **parameters})


def encoded(value: Any) -> bytes:
    """Return a value as JSON."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", errors="replace")


def first_sample(instances: list[Any] | None, document: dict[str, Any] | None, route: str) -> Sample:
    """Return what to try first: the user's instances, else those of the OpenAPI document, else a number in a list."""
    documented = from_openapi(document, route) if document else None
    if instances:
        return Sample(instances, documented.parameters if documented else {}, Origin.GIVEN)
    return documented or Sample([[0.0]], {}, Origin.GUESS)


def from_openapi(document: dict[str, Any], route: str) -> Sample | None:
    """Return a sample that the document shows or describes for a POST to `route`; None where it says nothing of it.

    A body that is not `{"instances": […]}` gives its parts as instances: a bare list its items, any other object
    itself as the only instance.
    """
    schema, examples = openapi.body_schema(document, route)
    parameters = _parameters(document, schema)
    shown = [*examples, *examples_of(schema)]
    for example in shown:
        if instances := _instances_in(example):
            return Sample(instances, parameters, Origin.EXAMPLE)
    properties = schema.get("properties")
    if isinstance(properties, dict) and "instances" in properties:
        listed = followed(document, properties["instances"])
        for example in examples_of(listed):
            if isinstance(example, list) and example:
                return Sample(example, parameters, Origin.EXAMPLE)
        item = followed(document, listed.get("items"))
        if examples := examples_of(item):
            return Sample([examples[0]], parameters, Origin.EXAMPLE)
        return Sample([value_of(document, item)], parameters, Origin.SCHEMA)
    if not schema:
        return None
    instances = _instances_in(value_of(document, schema))
    return Sample(instances, parameters, Origin.SCHEMA) if instances else None


def _parameters(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Return the least that the schema allows as `parameters`."""
    properties = schema.get("properties")
    described = followed(document, properties.get("parameters") if isinstance(properties, dict) else None)
    fields, required = described.get("properties"), described.get("required")
    if not isinstance(fields, dict) or not isinstance(required, list):
        return {}
    return {name: value_of(document, fields[name]) for name in required if name in fields}


def _instances_in(body: Any) -> list[Any]:
    if isinstance(body, dict) and "instances" in body:
        return body["instances"] if isinstance(body["instances"], list) else []
    if isinstance(body, dict) and body:
        return [body]
    return body if isinstance(body, list) else []
