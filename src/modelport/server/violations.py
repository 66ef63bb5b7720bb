"""What is wrong with a value, place by place, by the type hint that it does not fulfil.

Runs only after a conversion has failed, and goes down only where it fails, so a good request costs nothing here.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime, time
from enum import Enum
from typing import Annotated, Any, Literal, NotRequired, Required, Union
from uuid import UUID

import msgspec

from modelport.core.errors import Violation

Convert = Callable[[Any, Any], Any]

# The form of bytes in JSON.
BYTES = {"type": "object", "properties": {"b64": {"type": "string", "contentEncoding": "base64"}}, "required": ["b64"]}

_SHOWN_CHARACTERS = 40
_WANTED: dict[Any, str] = {
    int: "an integer",
    float: "a number",
    str: "a text",
    bool: "true or false",
    bytes: 'bytes, as {"b64": "…"}, are',
    type(None): "null",
    dict: "an object",
    list: "a list",
    tuple: "a list",
    datetime: "a time such as 2026-01-31T12:00:00Z",
    date: "a date such as 2026-01-31",
    time: "a time of day such as 12:00:00",
    UUID: "a UUID",
}
_BOUNDS = (
    ("ge", "at least {}"),
    ("gt", "more than {}"),
    ("le", "at most {}"),
    ("lt", "less than {}"),
    ("multiple_of", "a multiple of {}"),
    ("min_length", "a length of at least {}"),
    ("max_length", "a length of at most {}"),
    ("pattern", "a match of `{}`"),
)


def violations_of(value: Any, hint: Any, path: str, convert: Convert) -> Iterator[Violation]:
    """Yield the violations of a value, deepest places first named; none where it fulfils the hint."""
    try:
        convert(value, hint)
        return
    except msgspec.ValidationError as error:
        cause = error
    found = False
    for one in _within(value, hint, path, convert):
        found = True
        yield one
    if not found:
        yield _whole(value, hint, path, cause, convert)


def refused(path: str, value: Any, wanted: str) -> Violation:
    """Return the violation of a value that is of another kind than the one wanted."""
    verb = "" if wanted.endswith((" is", " are")) else " is"
    return Violation(path, f"{shown(value)} is {kind(value)}, {wanted}{verb} wanted")


def wanted(hint: Any) -> str:
    """Return what a hint wants, in words."""
    hint = _bare(hint)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return "one of " + ", ".join(shown(one) for one in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(wanted(one) for one in arguments))
    if isinstance(hint, type) and issubclass(hint, Enum):
        return "one of " + ", ".join(shown(one.value) for one in hint)
    if isinstance(hint, type) and issubclass(hint, tuple) and hasattr(hint, "_fields"):
        return f"a list ({', '.join(hint._fields)})"
    plain = origin or hint
    if plain in _WANTED:
        return _WANTED[plain]
    if isinstance(plain, type) and issubclass(plain, Mapping):
        return "an object"
    if isinstance(plain, type) and issubclass(plain, Iterable) and not typing.is_typeddict(plain):
        return "a list"
    return "an object" if isinstance(plain, type) else f"{hint}"


def kind(value: Any) -> str:
    """Return what a value of JSON is, in words."""
    names = {bool: "true or false", type(None): "nothing", list: "a list", dict: "an object", str: "a text"}
    return {**names, int: "an integer", float: "a number", bytes: "bytes"}.get(type(value), type(value).__name__)


def shown(value: Any) -> str:
    """Return a value as JSON, cut where it is long."""
    if isinstance(value, bytes):
        return f"({len(value)} bytes)"
    # A large value is not written out only to be cut.
    value = value[: _SHOWN_CHARACTERS + 1] if isinstance(value, str | list) else value
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"


def _within(value: Any, hint: Any, path: str, convert: Convert) -> Iterator[Violation]:
    """Yield the violations of the parts of a value, where the hint has parts and the value is of its kind."""
    hint = _bare(hint)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        others = [one for one in arguments if one is not type(None)]
        if len(others) == 1 and value is not None:
            yield from _within(value, others[0], path, convert)
    elif hasattr(hint, "model_validate"):
        yield from _of_pydantic(value, hint, path)
    elif isinstance(value, dict):
        if fields := _fields(hint):
            yield from _of_fields(value, fields, path, convert)
        elif origin is dict:
            for key, one in value.items():
                yield from violations_of(one, arguments[1], f"{path}.{key}", convert)
    elif isinstance(value, list):
        for index, one, wanted_there in _items(value, hint, origin, arguments):
            yield from violations_of(one, wanted_there, f"{path}[{index}]", convert)


def _of_fields(
    value: dict[str, Any], fields: dict[str, tuple[Any, bool]], path: str, convert: Convert
) -> Iterator[Violation]:
    for name, (hint, required) in fields.items():
        place = f"{path}.{name}"
        if name in value:
            yield from violations_of(value[name], hint, place, convert)
        elif required:
            text = wanted(hint)
            verb = "" if text.endswith(" are") else " is"
            yield Violation(place, f"it is missing, {text}{verb} wanted")


def _of_pydantic(value: Any, hint: Any, path: str) -> Iterator[Violation]:
    try:
        hint.model_validate(value)
    except ValueError as error:  # pydantic's own is one, and has `errors`
        for one in getattr(error, "errors", list)():
            place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in one["loc"])
            yield Violation(path + place, one["msg"])


def _items(value: list[Any], hint: Any, origin: Any, arguments: tuple[Any, ...]) -> Iterator[tuple[int, Any, Any]]:
    if isinstance(hint, type) and hasattr(hint, "_fields") and issubclass(hint, tuple):
        arguments = tuple(typing.get_type_hints(hint, include_extras=True).values())
    elif origin is not tuple or Ellipsis in arguments:
        if isinstance(origin, type) and issubclass(origin, Iterable) and arguments:
            for index, one in enumerate(value):
                yield index, one, arguments[0]
        return
    for index, (one, wanted_there) in enumerate(zip(value, arguments, strict=False)):
        yield index, one, wanted_there


def _fields(hint: Any) -> dict[str, tuple[Any, bool]]:
    """Return the fields of a class whose values are objects in JSON: hint, and whether each must be there."""
    plain = typing.get_origin(hint) or hint
    if not isinstance(plain, type):
        return {}
    if typing.is_typeddict(plain):
        hints = typing.get_type_hints(plain, include_extras=True)
        return {name: (_field_hint(one), name in plain.__required_keys__) for name, one in hints.items()}  # type: ignore[attr-defined]
    if issubclass(plain, msgspec.Struct):
        return {one.encode_name: (one.type, one.required) for one in msgspec.structs.fields(plain)}
    if dataclasses.is_dataclass(plain):
        hints = typing.get_type_hints(plain, include_extras=True)
        none = dataclasses.MISSING
        return {
            one.name: (hints[one.name], one.default is none and one.default_factory is none)
            for one in dataclasses.fields(plain)
            if one.init
        }
    return {}


def _whole(value: Any, hint: Any, path: str, error: Exception, convert: Convert) -> Violation:
    """Return the violation of a value none of whose parts is at fault by itself."""
    if error.__cause__ is not None:  # raised by the user's own class
        return Violation(path, str(error.__cause__))
    bare = _bare(hint)
    if bare is not hint and _fulfils(value, bare, convert):
        bounds = [one for one in getattr(hint, "__metadata__", ()) if isinstance(one, msgspec.Meta)]
        texts = [
            text.format(getattr(one, name))
            for one in bounds
            for name, text in _BOUNDS
            if getattr(one, name) is not None
        ]
        return Violation(path, f"{shown(value)} is given, {' and '.join(texts)} is wanted")
    text = wanted(hint)
    if kind(value) in text.split(" or "):  # the right kind of value, and wrong nevertheless
        return Violation(path, str(error).partition(" - at `")[0])
    return refused(path, value, text)


def _fulfils(value: Any, hint: Any, convert: Convert) -> bool:
    try:
        convert(value, hint)
    except msgspec.ValidationError:
        return False
    return True


def _field_hint(hint: Any) -> Any:
    """Return the hint of a TypedDict's value; Required and NotRequired are about its key."""
    while typing.get_origin(hint) in (Required, NotRequired):
        hint = typing.get_args(hint)[0]
    return hint


def _bare(hint: Any) -> Any:
    """Return a hint without the bounds that Annotated puts round it."""
    while typing.get_origin(hint) is Annotated:
        hint = typing.get_args(hint)[0]
    return hint
