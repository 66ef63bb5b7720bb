"""What the code says of listeners, for their page of the reference: keys of listener.yaml, formats, types."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from modelport.server.listener.declaration import Listener, Model, Routes, Server, Step
from modelport.server.listener.formats.known import FORMATS
from modelport.server.listener.notation.keys import SECTIONS, Key, keys_of
from modelport.server.listener.validation.tensor_types import DATATYPES

Rows = list[Sequence[str]]

_WITH_KEYS = ("servers", "models", "stacks", "routes")

# The title of each part of the file, and what is said before its keys.
SECTION_TEXTS: dict[type, tuple[str, str]] = {
    Listener: ("The file", "The outermost keys. Names below them are yours: letters, digits, `_`, `.` and `-`."),
    Server: ("Servers", "`servers: {NAME: {…}}`. A model server: a child of the listener, or one that runs elsewhere."),
    Model: ("Models", "`models: {NAME: {…}}`. A model on a server; steps and routes name it."),
    Step: (
        "Steps",
        "`stacks: {NAME: [{STEP: {…}}, …]}`. Exactly one of `model`, `python` and `merge` says what a step does. Steps"
        " may refer to later ones; the last one gives the answer, and every other must lead to it.",
    ),
    Routes: ("Routes", "Exactly one of `header`, `field`, `instance_key` and `weights`."),
}


def sections() -> Iterator[tuple[str, str, Rows]]:
    """Yield title, text and rows (key, value, default, meaning) of each part of listener.yaml."""
    for _, kind in SECTIONS:
        title, text = SECTION_TEXTS[kind]
        yield title, text, [_row(key) for key in keys_of(kind).values()]


def format_rows() -> Rows:
    """Return name and meaning of every format."""
    return [(f"`{name}`", _first_sentence(kind)) for name, kind in FORMATS.items()]


def datatype_rows() -> Rows:
    """Return the types of elements by what they hold."""
    kinds = dict.fromkeys(DATATYPES.values())
    return [(", ".join(f"`{name}`" for name, one in DATATYPES.items() if one == kind), kind) for kind in kinds]


def _row(key: Key) -> Sequence[str]:
    value = ", ".join(f"`{one}`" for one in key.choices) or _value(key)
    return f"`{key.name}`", value, "required" if key.required else _default(key), key.help


def _value(key: Key) -> str:
    if key.kind is not None:
        return str(key.kind)
    if key.type in (int, float):
        return key.wanted.removeprefix("a ") + key.bounds()
    return "see below" if key.name in _WITH_KEYS else "text"


def _default(key: Key) -> str:
    default: Any = key.default
    if key.otherwise:
        return key.otherwise
    if default is None or default == "" or default == () or default == {}:
        return ""
    if isinstance(default, tuple):
        return f"`[{', '.join(default)}]`"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def _first_sentence(kind: type) -> str:
    return " ".join((kind.__doc__ or "").partition("\n\n")[0].split())
