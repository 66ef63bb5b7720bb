"""Values that a JSON schema allows: one small one for each schema of an OpenAPI 3.0 or 3.1 document. Pure."""

from __future__ import annotations

from typing import Any

from modelport.doctor import openapi

_DEPTH = 8
_SCHEMAS = 2000
_LEAVES = 200_000
_FORMATS = {
    "date": "2024-01-01",
    "date-time": "2024-01-01T00:00:00Z",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "email": "someone@example.com",
    "uri": "http://example.com/",
    "byte": "AAAA",
}


def value_of(document: dict[str, Any], schema: Any) -> Any:
    """Return a small value that the schema allows; a list of one number where it allows anything."""
    schema = followed(document, schema)
    return _Maker(document).value(schema, 0) if schema else [0.0]


def followed(document: dict[str, Any], schema: Any) -> dict[str, Any]:
    """Return the schema with `$ref` and `allOf` followed, and of `anyOf` or `oneOf` the first choice that is not null.

    Where the schema shows an example, that decides, and no choice is made.
    """
    for _ in range(_DEPTH):
        found = openapi.resolved(document, schema)
        choices = found.get("anyOf") or found.get("oneOf")
        if isinstance(found.get("allOf"), list):
            schema = _merged(document, found)
        elif isinstance(choices, list) and choices and not examples_of(found):
            choices = [openapi.resolved(document, choice) for choice in choices]
            schema = next((choice for choice in choices if _type(choice) != "null"), choices[0])
        else:
            return found
    return {}


def examples_of(schema: dict[str, Any]) -> list[Any]:
    """Return the examples that a schema carries: `example` in OpenAPI 3.0, `examples` in 3.1."""
    examples = schema.get("examples")
    found = [schema["example"]] if schema.get("example") is not None else []
    return found + (examples if isinstance(examples, list) else [])


class _Maker:
    """Makes one value; of schemas that contain themselves no more than `_SCHEMAS` are followed."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._left = _SCHEMAS

    def value(self, schema: Any, depth: int) -> Any:
        self._left -= 1
        if depth >= _DEPTH or self._left < 0:
            return None
        schema = followed(self._document, schema)
        if shown := examples_of(schema):
            return shown[0]
        for chosen in ("default", "const"):
            if schema.get(chosen) is not None:
                return schema[chosen]
        if isinstance(schema.get("enum"), list) and schema["enum"]:
            return schema["enum"][0]
        match _type(schema):
            case "null":
                return None
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "string":
                return _string(schema)
            case "boolean":
                return False
            case "integer":
                return int(_number(schema))
            case _:
                return float(_number(schema))

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties")
        if not isinstance(properties, dict):
            return {}
        required = schema.get("required")
        required = required if isinstance(required, list) else []
        # Fields that need not be there are left out, unless none must be: an empty object tells nothing.
        names = [name for name in properties if name in required] or list(properties)
        return {name: self.value(properties[name], depth + 1) for name in names}

    def _array(self, schema: dict[str, Any], depth: int) -> list[Any]:
        first = schema.get("prefixItems")
        if isinstance(first, list):
            return [self.value(one, depth + 1) for one in first]
        least = schema.get("minItems")
        item = self.value(schema.get("items"), depth + 1)
        most = _LEAVES // leaves(item)
        return [item] * min(most, max(1, least) if isinstance(least, int) else 1)


def leaves(value: Any) -> int:
    """Return how many values are in a value, at least one."""
    if isinstance(value, dict):
        return max(1, sum(leaves(inner) for inner in value.values()))
    return max(1, sum(leaves(inner) for inner in value)) if isinstance(value, list) else 1


def _merged(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    merged = {key: value for key, value in schema.items() if key != "allOf"}
    for part in (openapi.resolved(document, one) for one in schema["allOf"]):
        for key, value in part.items():
            if key == "properties" and isinstance(value, dict) and isinstance(merged.get(key), dict):
                merged[key] = {**value, **merged[key]}
            elif key == "required" and isinstance(value, list) and isinstance(merged.get(key), list):
                merged[key] = [*value, *merged[key]]
            else:
                merged.setdefault(key, value)
    return merged


def _type(schema: dict[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if isinstance(kind, str):
        return kind
    if isinstance(schema.get("properties"), dict):
        return "object"
    return "array" if "items" in schema or "prefixItems" in schema else ""


def _number(schema: dict[str, Any]) -> float:
    least, most = _bound(schema.get("minimum")), _bound(schema.get("maximum"))
    # In OpenAPI 3.0 the exclusive bounds are flags on the others; in 3.1 they are bounds themselves.
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    low = least if _bound(above) is None else _bound(above)
    high = most if _bound(below) is None else _bound(below)

    def allowed(value: float) -> bool:
        if low is not None and (value < low or (value == low and _excludes(above))):
            return False
        return high is None or value < high or (value == high and not _excludes(below))

    bounds = [bound for bound in (low, high) if bound is not None]
    near = [bound + step for bound in bounds for step in (0, 1, -1)]
    return float(next((value for value in (0, 1, *near, sum(bounds) / 2) if allowed(value)), 0))


def _bound(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _excludes(bound: Any) -> bool:
    return bound is True or _bound(bound) is not None


def _string(schema: dict[str, Any]) -> str:
    text = _FORMATS.get(str(schema.get("format")), "text")
    least, most = schema.get("minLength"), schema.get("maxLength")
    if isinstance(least, int):
        text = text.ljust(min(least, 1000), "x")
    return text[:most] if isinstance(most, int) else text
