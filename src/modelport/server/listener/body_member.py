"""One member of a JSON body: read, and taken out, without building the rest of the document.

What chooses a route is for the listener alone. Neither whoever reads the rows nor the model server has to know it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson
import simdjson

_KEPT_BYTES = 16 * 1024**2  # a parser keeps buffers of the size of the largest body; after a larger one it is let go
# In a large body the member is looked for at its ends, where it mostly is, before all of it is parsed.
_LARGE_BYTES = 64 * 1024
_HEAD_BYTES = 1024
_TEXT = rb'"(?:[^"\\]|\\.)*"'
_TOKEN = re.compile(_TEXT + rb"|[{}\[\]]", re.DOTALL)
_VALUE = re.compile(rb"\s*:\s*(" + _TEXT + rb"|[^\s,{}\[\]]+)", re.DOTALL)
_OBJECT = re.compile(rb"\s*:\s*\{")
_COLON = re.compile(rb"\s*:")
_COMMA = re.compile(rb"\s*,")
_END = re.compile(rb"\s*\}\s*\Z")


@dataclass(frozen=True, slots=True)
class Found:
    """A member that is there.

    Attributes:
        value: None, a truth value, a number or a text; of a list or an object, its type.
        without: the body without it; the same as before where the value is a list or an object.
    """

    value: Any
    without: bytes


class BodyMember:
    """Finds a member by its path, such as `parameters.model`; not for several threads at once."""

    def __init__(self, path: str) -> None:
        self._names = path.split(".")
        self._pointer = "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in self._names)
        self._quoted = b'"' + self._names[-1].encode() + b'"'
        self._parser = simdjson.Parser()

    def find(self, body: bytes) -> Found | None:
        """Return the member; None where it is not there.

        Of a large body it is not said whether it is JSON where the member stands at its beginning or end; whoever
        reads the rest finds out.

        Raises:
            ValueError: the body is not JSON.
        """
        if len(body) > _LARGE_BYTES and (found := self._at_an_end(body)) is not None:
            return found
        try:
            value = _value(self._parser.parse(body), self._pointer)
        except (ValueError, RuntimeError, MemoryError):  # too deep, a number beyond 64 bits, or indeed not JSON
            value = _walked(orjson.loads(body), self._names)
        finally:
            if len(body) > _KEPT_BYTES:
                self._parser = simdjson.Parser()
        if value is _ABSENT:
            return None
        if isinstance(value, type):
            return Found(value, body)
        return Found(value, self._without(body, value))

    def _at_an_end(self, body: bytes) -> Found | None:
        last = body.rfind(self._quoted, -_HEAD_BYTES)
        value = _VALUE.match(body, last + len(self._quoted)) if last >= 0 and len(self._names) == 1 else None
        if value and _END.match(body, value.end()):  # what closes behind it is the document itself
            places = [_Place(last, value.end(), value[1])]
        else:
            places = self._places(body[:_HEAD_BYTES])
        if not places or places[0].end == _HEAD_BYTES or (read := _loaded(places[0].value)) is _ABSENT:
            return None
        return Found(read, _cut(body, places[0]))

    def _without(self, body: bytes, value: Any) -> bytes:
        if body.count(self._quoted) == 1:
            start = body.index(self._quoted)
            found = _VALUE.match(body, start + len(self._quoted))
            if found is not None and _loaded(found[1]) == value:
                return _cut(body, _Place(start, found.end(), found[1]))
        # It is written in another way, more than once, or the same word is found elsewhere.
        for place in reversed(self._places(body)):
            body = _cut(body, place)
        return body

    def _places(self, body: bytes) -> list[_Place]:
        """Return where the member is, as often as it is there."""
        found: list[_Place] = []
        depth = within = 0  # brackets that are open, and those of them that are on the path
        for token in _TOKEN.finditer(body):
            if token[0] in b"{[":
                depth += 1
            elif token[0] in b"}]":
                depth -= 1
                within = min(within, max(depth - 1, 0))
            elif depth == within + 1 and _COLON.match(body, token.end()) and _loaded(token[0]) == self._names[within]:
                if within < len(self._names) - 1:
                    within += _OBJECT.match(body, token.end()) is not None
                elif value := _VALUE.match(body, token.end()):
                    found.append(_Place(token.start(), value.end(), value[1]))
        return found


class _Place(NamedTuple):
    start: int
    end: int
    value: bytes


_ABSENT = object()


def _value(document: Any, pointer: str) -> Any:
    try:
        value = document.at_pointer(pointer)
    except (AttributeError, KeyError, IndexError, TypeError, ValueError):  # not an object, or not in it
        return _ABSENT
    if isinstance(value, simdjson.Object):
        return dict
    return list if isinstance(value, simdjson.Array) else value


def _walked(document: Any, names: list[str]) -> Any:
    for name in names:
        if not isinstance(document, dict) or name not in document:
            return _ABSENT
        document = document[name]
    return type(document) if isinstance(document, list | dict) else document


def _cut(body: bytes, place: _Place) -> bytes:
    """Return a body without a member of an object, and without the comma that parts it from others."""
    start, end, _ = place
    if comma := _COMMA.match(body, end):
        return body[:start] + body[comma.end() :]
    before = start
    while body[before - 1 : before].isspace():
        before -= 1
    return body[: before - 1 if body[before - 1 : before] == b"," else start] + body[end:]


def _loaded(json: bytes) -> Any:
    try:
        return orjson.loads(json)
    except orjson.JSONDecodeError:
        return _ABSENT
