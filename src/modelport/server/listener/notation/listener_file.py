"""Reads listener.yaml into a `Listener`; everything that is wrong is told at once, each with file and line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from modelport.core.errors import InvalidArgument, Violation
from modelport.server.listener.declaration import (
    Condition,
    Kind,
    Listener,
    Model,
    RouteBy,
    Routes,
    Server,
    Stack,
    Step,
)
from modelport.server.listener.notation.keys import Key, keys_of, listed
from modelport.server.listener.notation.yaml_document import Document, kind_of, scalar
from modelport.server.listener.validation.violations import violations

T = TypeVar("T", Server, Model, Step)


def read_listener(path: Path | str) -> Listener:
    """Return what a file declares, after all checks that need no code of the user's.

    Raises:
        InvalidArgument: some of it cannot be used; violations name `FILE:LINE: path`, what is there and what is wanted.
    """
    document, listener = read_document(path)
    refuse(document, violations(listener))
    return listener


def refuse(document: Document, found: Iterable[Violation]) -> None:
    """Raise InvalidArgument where anything is wrong, in how a file is written or in what it declares."""
    # What is said of a step as a whole may follow from a key of it that is written wrong.
    unsure = {one.field.rpartition(".")[0] for one in document.wrong}
    own = [
        one
        for one in found
        if one.field not in unsure and not any(_lies_in(one.field, path) for path in document.unread)
    ]
    if document.wrong or own:
        raise document.error([*document.wrong, *own])


def read_document(path: Path | str) -> tuple[Document, Listener]:
    """Return a file with where its values stand, and what could be read of it; `wrong` of the document is the rest.

    Raises:
        InvalidArgument: there is no such file.
    """
    try:
        text = Path(path).read_bytes()
    except OSError as error:
        raise InvalidArgument(
            f"`{path}` cannot be read: {(error.strerror or str(error)).lower()}",
            hint="Name a listener.yaml, or a listener in Python as FILE.py:NAME",
        ) from error
    document = Document(text, str(path))
    if document.root is None:
        if not document.wrong:
            document.refuse("", "It is empty, names with values are wanted")
        return document, Listener()
    return document, _listener(document, document.root)


def _lies_in(one: str, other: str) -> bool:
    """Return whether one path lies at or below the other; below everything, where that is an entry of a list."""
    other = other.partition("[")[0]
    return not other or one == other or one.startswith(f"{other}.")


def _listener(document: Document, root: Node) -> Listener:
    parts = document.members(root, "", keys_of(Listener))
    values: dict[str, Any] = {}
    if "servers" in parts:
        values["servers"] = _all(document, parts["servers"], "servers", Server)
    if "models" in parts:
        values["models"] = _all(document, parts["models"], "models", Model)
    if "stacks" in parts:
        values["stacks"] = tuple(
            _stack(document, node, name) for name, node in document.mapping(parts["stacks"], "stacks").items()
        )
    if "routes" in parts:
        values["routes"] = _routes(document, parts["routes"])
    if "accepts" in parts:
        values["accepts"] = document.names(parts["accepts"], "accepts")
    return Listener(**values)


def _stack(document: Document, node: Node, name: str) -> Stack:
    path = f"stacks.{name}"
    steps: list[Step] = []
    for place, one in document.items(node, path, "a list of steps"):
        named = document.mapping(one, place, "a step with its name, `NAME: {model: …}`,")
        if isinstance(one, MappingNode) and len(named) != 1:
            seen = listed(named) or "no name"
            document.note(place, f"It has {seen}, one step is wanted: a name, and indented below it what it does")
        for own, inner in named.items():
            where = document.at(f"{path}.{own}", one)
            if any(step.name == own for step in steps):
                document.note(where, "Another step of the stack has this name")
            else:
                steps.append(_one(document, inner, where, Step, own))
    return Stack(name, tuple(steps))


def _all(document: Document, node: Node, path: str, kind: type[T]) -> tuple[T, ...]:
    named = document.mapping(node, path)
    return tuple(_one(document, one, f"{path}.{name}", kind, name) for name, one in named.items())


def _one(document: Document, node: Node, path: str, kind: type[T], name: str) -> T:
    """Return a server, model or step; what is required and missing is noted, and empty."""
    keys = keys_of(kind)
    parts = document.members(node, path, keys)
    values = {keys[key].field: _value(document, part, f"{path}.{key}", keys[key]) for key, part in parts.items()}
    for key in keys.values():
        if key.required and key.name not in parts:
            values[key.field] = ""
            if isinstance(node, MappingNode):
                document.refuse(f"{path}.{key.name}", f"It is missing: {key.help}")
    return kind(name=name, **values)


def _value(document: Document, node: Node, path: str, key: Key) -> Any:
    match key.kind:
        case Kind.WORDS:
            return document.words(node, path)
        case Kind.NAMES:
            return document.names(node, path)
        case Kind.TEXTS | Kind.TYPES:
            return document.texts(node, path)
        case Kind.NUMBERS:
            parts = document.mapping(node, path)
            return {name: document.number(one, f"{path}.{name}", "a number", 1.0) for name, one in parts.items()}
        case Kind.ROW:
            return document.texts(node, path) if isinstance(node, MappingNode) else document.text(node, path)
        case Kind.SOURCES:
            return _sources(document, node, path)
        case Kind.CONDITION:
            return _condition(document, node, path)
    if key.choices:
        return document.choice(node, path, key.choices, key.default)
    if key.type in (int, float):
        return document.number(node, path, key.wanted + key.bounds(), key.default)
    return document.text(node, path)


def _sources(document: Document, node: Node, path: str) -> Mapping[str, str]:
    if isinstance(node, MappingNode):
        return document.texts(node, path)
    if isinstance(node, ScalarNode):
        return {"": document.text(node, path, "the name of a step, or a list of them,")}
    return {name: name for name in document.names(node, path) if name}


def _condition(document: Document, node: Node, path: str) -> Condition | None:
    parts = document.mapping(node, path, "a step with a value, such as `{language: de}`,")
    if not isinstance(node, MappingNode):
        return None
    if len(parts) != 1:
        document.refuse(path, f"It names {len(parts)} steps, one is wanted, such as `{{language: de}}`")
        return None
    ((step, value),) = parts.items()
    listed = value.value if isinstance(value, SequenceNode) and value.value else [value]
    values = tuple(scalar(one) if isinstance(one, ScalarNode) else None for one in listed)
    if None in values:
        wrong = kind_of(listed[values.index(None)])
        document.refuse(
            f"{path}.{step}", f"It is {wrong}, a text, a number, true or false is wanted, or a list of such"
        )
        return None
    return Condition(step, values if isinstance(value, SequenceNode) else values[0])


def _routes(document: Document, node: Node) -> Routes | None:
    keys = keys_of(Routes)
    parts = document.members(node, "routes", keys)
    choosers = [key for key in parts if key in tuple(RouteBy)]
    values = {keys[key].field: _value(document, part, f"routes.{key}", keys[key]) for key, part in parts.items()}
    if len(choosers) != 1:
        if isinstance(node, MappingNode):
            seen = " and ".join(f"`{one}`" for one in choosers) or "none of these"
            document.refuse("routes", f"There is {seen}, exactly one of {', '.join(RouteBy)} is wanted")
        return None
    by = RouteBy(choosers[0])
    if by is RouteBy.HEADER:
        values["key"] = values["key"].lower()
    if by is RouteBy.WEIGHTS:
        values.setdefault("to", {name: name for name in values["weights"]})
    return Routes(by=by, **values)
