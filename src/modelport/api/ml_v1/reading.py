"""From JSON to a message: names in either spelling, and everything that cannot be read, at once. Pure."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Generic, TypeVar, get_args, get_origin

from pydantic import ValidationError

from modelport.api.ml_v1.messages import Message
from modelport.core.errors import Violation

M = TypeVar("M", bound=Message)

MAX_VIOLATIONS = 50
_WANTED = {
    "string_type": "a string",
    "bool_type": "true or false",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
}


@dataclass(frozen=True)
class Parsed(Generic[M]):
    """A message with what could be read, and what could not."""

    message: M
    unreadable: tuple[Violation, ...]


def parse(data: dict[str, Any], kind: type[M], root: str) -> Parsed[M]:
    """Return the message that `data` holds; `root` is what its fields' paths begin with, such as `version`."""
    violations: list[Violation] = []
    known = _known(data, kind, root, violations)
    try:
        message = kind.model_validate(known)
    except ValidationError as error:
        for problem in error.errors(include_url=False):
            location = tuple(part for part in problem["loc"] if part != "[key]")
            violations.append(Violation(_path(root, location), _explanation(problem["type"], problem)))
            _prune(known, location)
        message = kind.model_validate(known)
    if len(violations) > MAX_VIOLATIONS:
        more = Violation(root, f"There are {len(violations) - MAX_VIOLATIONS} more fields like these.")
        violations = [*violations[:MAX_VIOLATIONS], more]
    return Parsed(message, tuple(violations))


def _known(data: dict[str, Any], kind: type[Message], path: str, violations: list[Violation]) -> dict[str, Any]:
    """Return the known fields under their camelCase names; null is the same as absent."""
    aliases = {field.alias or name: field.annotation for name, field in kind.model_fields.items()}
    snake = {name: field.alias or name for name, field in kind.model_fields.items()}
    result: dict[str, Any] = {}
    for key, value in data.items():
        alias = key if key in aliases else snake.get(key)
        if alias is None:
            violations.append(Violation(f"{path}.{key[:80]}", _unknown(key, list(aliases))))
        elif alias in result or (alias != key and alias in data):
            violations.append(
                Violation(f"{path}.{alias}", f"It is stated twice, as `{alias}` and as `{_other(alias, kind)}`.")
            )
        elif value is not None:
            result[alias] = _inner(value, aliases[alias], f"{path}.{alias}", violations)
    return result


def _inner(value: Any, annotation: Any, path: str, violations: list[Violation]) -> Any:
    if get_origin(annotation) is UnionType:
        annotation = next(part for part in get_args(annotation) if part is not NoneType)
    if isinstance(annotation, type) and issubclass(annotation, Message) and isinstance(value, dict):
        return _known(value, annotation, path, violations)
    if get_origin(annotation) is list and isinstance(value, list):
        (item,) = get_args(annotation)
        return [_inner(part, item, f"{path}[{index}]", violations) for index, part in enumerate(value)]
    return value


def _unknown(key: str, known: list[str]) -> str:
    nearest = difflib.get_close_matches(key[:80], known, n=1)
    if nearest:
        return f"Unknown field `{key[:80]}`; did you mean `{nearest[0]}`?"
    return f"Unknown field `{key[:80]}`; known are {', '.join(sorted(known))}."


def _other(alias: str, kind: type[Message]) -> str:
    return next(name for name, field in kind.model_fields.items() if field.alias == alias)


def _path(root: str, location: tuple[int | str, ...]) -> str:
    return root + "".join(f"[{part}]" if isinstance(part, int) else f".{part[:80]}" for part in location)


def _explanation(type: str, problem: Any) -> str:
    if type not in _WANTED:
        return str(problem["msg"])
    return f"It is {_seen(problem['input'])}; it must be {_WANTED[type]}."


def _seen(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int() | float():
            return f"the number {str(value)[:40]}"
        case str():
            return f"the string `{value[:40]}`"
        case list():
            return "a list"
    return "an object"


def _prune(data: dict[str, Any], location: tuple[int | str, ...]) -> None:
    """Remove the field that cannot be read; a bad element takes its whole list with it."""
    while isinstance(location[-1], int):
        location = location[:-1]
    container: Any = data
    for part in location[:-1]:
        if isinstance(container, dict) and part not in container:
            return
        container = container[part]
    container.pop(location[-1], None)
