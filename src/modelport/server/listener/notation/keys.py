"""The keys of listener.yaml, each once: read off the fields of the declaration, for the reader, messages and reference.

What is said of a field stands beside it in `declaration`. Routes alone are written otherwise than they are held: what
chooses is a key there, with its name as the value.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from modelport.server.listener.declaration import Kind, Listener, Model, RouteBy, Routes, Server, Step
from modelport.server.settings_reading import like

_NAME = "name"  # of a server, model or step: the key under which the others stand


@dataclass(frozen=True)
class Key:
    """What is known of one key.

    Attributes:
        name: as it is written.
        field: of the dataclass.
        type: of the field.
        default: the value where it is not written; None where it must be, see `required`.
        help: one sentence.
        required: it must be written.
        kind: what is written, where that does not follow from the type.
        otherwise: in words what holds where it is not written, where the default does not tell.
        least: the smallest number it may be.
        most: the largest number it may be.
    """

    name: str
    field: str
    type: Any
    default: Any
    help: str
    required: bool = False
    kind: Kind | None = None
    otherwise: str = ""
    least: float | None = None
    most: float | None = None

    @property
    def choices(self) -> tuple[str, ...]:
        """Return the values it may have; empty: any of its type."""
        return tuple(self.type) if isinstance(self.type, type) and issubclass(self.type, StrEnum) else ()

    @property
    def wanted(self) -> str:
        """Return in words what may be written."""
        if self.kind is not None:
            return f"a {self.kind}"
        if self.choices:
            return "one of " + ", ".join(self.choices)
        return {int: "a whole number", float: "a number"}.get(self.type, "a text")

    def bounds(self) -> str:
        """Return in words how large a number may be; empty: any."""
        if self.least is None:
            return ""
        return f" from {self.least:g}" + (f" to {self.most:g}" if self.most is not None else "")


def keys_of(kind: type) -> Mapping[str, Key]:
    """Return the keys of a server, a model, a step, the routes or the whole listener, by how they are written."""
    return _ROUTES if kind is Routes else {one.name: one for one in _keys(kind)}


def _keys(kind: type) -> Iterable[Key]:
    types = typing.get_type_hints(kind)
    for one in dataclasses.fields(kind):
        if one.name == _NAME:
            continue
        about = dict(one.metadata)
        required = one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING
        default = one.default_factory() if one.default_factory is not dataclasses.MISSING else one.default
        written = about.pop("key", one.name)
        yield Key(written, one.name, types[one.name], None if required else default, required=required, **about)


_ROUTES: Mapping[str, Key] = MappingProxyType(
    {
        RouteBy.HEADER: Key("header", "key", str, "", "Name of the header whose value chooses."),
        RouteBy.FIELD: Key(
            "field", "key", str, "", "The member of the body that chooses: `model`, or `parameters.model`."
        ),
        RouteBy.INSTANCE_KEY: Key(
            "instance_key",
            "key",
            str,
            "",
            "The member of an instance that chooses. Each instance goes its own way, and is answered in its place.",
        ),
        RouteBy.WEIGHTS: Key(
            "weights",
            "weights",
            Mapping[str, float],
            {},
            "How often each stack or model is chosen, in proportion: `{old: 95, new: 5}`.",
            kind=Kind.NUMBERS,
        ),
        "to": Key("to", "to", Mapping[str, str], {}, "Names of stacks or models by value.", kind=Kind.TEXTS),
        "default": Key(
            "default",
            "default",
            str,
            "",
            "The value that holds where a request has none.",
            otherwise="such a request is refused",
        ),
    }
)

# Every part of the file that has keys of its own, in the order in which they are written.
SECTIONS: tuple[tuple[str, type], ...] = (
    ("", Listener),
    ("servers.NAME", Server),
    ("models.NAME", Model),
    ("stacks.NAME[].NAME", Step),
    ("routes", Routes),
)


def listed(names: Iterable[str]) -> str:
    """Return names as `a`, `b`."""
    return ", ".join(f"`{name}`" for name in names)


def unknown(name: str, kind: str, known: Iterable[str]) -> str:
    """Return that a name is none of a kind, with the one that was meant, or all there are."""
    known = list(known)
    there = f"there {'is' if len(known) == 1 else 'are'} {listed(known) or 'none'}"
    return f"`{name}` is no {kind}{like(name, known) or f'; {there}'}"
