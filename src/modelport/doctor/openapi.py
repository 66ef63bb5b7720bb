"""OpenAPI documents, of which only what tells how to predict is kept: paths, methods and request bodies. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

ABRIDGED_CHARACTERS = 16_384
_METHODS = ("get", "post", "put")
_NOISE = frozenset({"description", "title", "externalDocs", "xml", "deprecated"})
_VALUES = frozenset({"example", "examples", "default", "enum", "const"})
_KEPT_SCHEMAS = 200
_PLAIN_PATH = re.compile(r"/[\w{}:.,~/-]*")


def parsed(text: str) -> dict[str, Any] | None:
    """Return the document, or None where the text is no OpenAPI document."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) and isinstance(document.get("paths"), dict) else None


def abridged(document: dict[str, Any]) -> str:
    """Return the document without what does not tell how to predict, at most 16 KiB; nothing where that is too much."""
    try:
        for bodies in (True, False):
            text = json.dumps(_kept(document, bodies=bodies), ensure_ascii=False)
            if len(text) <= ABRIDGED_CHARACTERS:
                return text
    except RecursionError:
        pass  # nested too deep to be any use
    return ""


def routes(document: dict[str, Any], method: str) -> tuple[str, ...]:
    """Return the paths, as written, that have an operation of this method; no path that would be another URL."""
    return tuple(
        path
        for path, item in document["paths"].items()
        if _PLAIN_PATH.fullmatch(path) and isinstance(item, dict) and isinstance(item.get(method), dict)
    )


def body_schema(document: dict[str, Any], route: str) -> tuple[dict[str, Any], list[Any]]:
    """Return the schema of the JSON that a POST to `route` takes, and the examples given beside it."""
    item = document["paths"].get(route)
    operation = item.get("post") if isinstance(item, dict) else None
    if not isinstance(operation, dict):
        return {}, []
    content = resolved(document, operation.get("requestBody")).get("content")
    media = content.get("application/json") if isinstance(content, dict) else None
    if not isinstance(media, dict):
        return {}, []
    examples = [media["example"]] if "example" in media else []
    named = media.get("examples")
    if isinstance(named, dict):
        examples += [one["value"] for one in named.values() if isinstance(one, dict) and "value" in one]
    return resolved(document, media.get("schema")), examples


def resolved(document: dict[str, Any], schema: Any) -> dict[str, Any]:
    """Return what a schema's `$ref` points to within the document; anything that is no schema is an empty one."""
    for _ in range(20):  # a chain of references may be a circle
        if not isinstance(schema, dict):
            return {}
        reference = schema.get("$ref")
        if not isinstance(reference, str):
            return schema
        schema = _at(document, reference)
    return {}


def _kept(document: dict[str, Any], *, bodies: bool) -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for path, item in document["paths"].items():
        if isinstance(item, dict):
            paths[path] = {method: _operation(item[method], bodies) for method in _METHODS if method in item}
    kept: dict[str, Any] = {"openapi": document.get("openapi", ""), "paths": paths}
    for reference in _reachable(document, paths):
        _put(kept, reference, _without_noise(_at(document, reference)))
    return kept


def _operation(operation: Any, bodies: bool) -> dict[str, Any]:
    body = operation.get("requestBody") if isinstance(operation, dict) else None
    return {"requestBody": _without_noise(body)} if body and bodies else {}


def _without_noise(value: Any) -> Any:
    """Drop words for readers; a property may be called `title`, so only texts are dropped, never schemas or values."""
    if isinstance(value, dict):
        return {
            key: inner if key in _VALUES else _without_noise(inner)
            for key, inner in value.items()
            if not (key in _NOISE and isinstance(inner, str | bool))
        }
    return [_without_noise(inner) for inner in value] if isinstance(value, list) else value


def _reachable(document: dict[str, Any], start: Any) -> list[str]:
    found: list[str] = []
    waiting = [start]
    while waiting and len(found) < _KEPT_SCHEMAS:
        for reference in _references(waiting.pop()):
            if reference not in found:
                found.append(reference)
                waiting.append(_at(document, reference))
    return found


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(reference := value.get("$ref"), str) and reference.startswith("#/components/"):
            yield reference
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def _at(document: dict[str, Any], reference: str) -> Any:
    place: Any = document
    for part in reference.removeprefix("#/").split("/"):
        if not isinstance(place, dict):
            return None
        place = place.get(part.replace("~1", "/").replace("~0", "~"))
    return place


def _put(document: dict[str, Any], reference: str, value: Any) -> None:
    *parents, last = reference.removeprefix("#/").split("/")
    for part in parents:
        document = document.setdefault(part, {})
    document[last.replace("~1", "/").replace("~0", "~")] = value
