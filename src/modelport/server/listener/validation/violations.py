"""Whether what is declared can work: everything that is wrong, by its path; pure.

Paths are those of listener.yaml (`stacks.sentiment.german.when`), for a listener in Python too. What code is behind a
step is told by whoever has loaded it; without that, its type hints are not known and not compared.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

from modelport.core.errors import InvalidArgument, Violation
from modelport.server.listener.children.free_ports import leaves_the_port
from modelport.server.listener.declaration import Listener, Model, RouteBy, Routes, Server, Step
from modelport.server.listener.formats.known import FORMATS
from modelport.server.listener.notation.keys import keys_of, listed, unknown
from modelport.server.listener.validation.stack_validation import stack_violations
from modelport.server.listener.validation.tensor_types import NoType, parse
from modelport.server.listener.validation.type_validation import Functions, type_violations
from modelport.server.listener.wire.upstream import Address

# Names stand in `server-timing`, in metrics and in paths of messages.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_HEADER = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")
_NO_FUNCTIONS: Functions = {}
_OF_CHILDREN = ("env", "start_timeout_s", "when_it_ends", "stop_timeout_s")


def validate(listener: Listener, functions: Functions = _NO_FUNCTIONS) -> None:
    """Raise InvalidArgument with all that is wrong; see `violations`."""
    refuse_declared(violations(listener, functions))


def refuse_declared(found: Sequence[Violation]) -> None:
    """Raise InvalidArgument where anything is wrong."""
    if found:
        raise InvalidArgument("; ".join(f"{one.field}: {one.description}" for one in found), violations=tuple(found))


def violations(listener: Listener, functions: Functions = _NO_FUNCTIONS) -> tuple[Violation, ...]:
    """Return everything that is wrong with a listener.

    Args:
        listener: what is declared.
        functions: those of Python steps by the names of stack and step, as far as they are loaded.
    """
    return tuple(
        chain(
            _repeated("servers", (one.name for one in listener.servers)),
            _repeated("models", (one.name for one in listener.models)),
            _repeated("stacks", (one.name for one in listener.stacks)),
            _servers(listener),
            _models(listener),
            *(stack_violations(stack, listener) for stack in listener.stacks),
            (one for stack in listener.stacks for step in stack.steps for one in _step(step, f"stacks.{stack.name}")),
            _targets(listener),
            _routes(listener),
            _accepts(listener.accepts),
            type_violations(listener, functions),
        )
    )


def _repeated(path: str, names: Iterable[str]) -> Iterator[Violation]:
    seen: set[str] = set()
    for name in names:
        if not _NAME.fullmatch(name):
            yield Violation(f"{path}.{name}", _no_name(name))
        if name in seen:
            yield Violation(f"{path}.{name}", "The name is there twice")
        seen.add(name)


def _no_name(name: str) -> str:
    return f"`{name}` is no name: letters, digits and `_` are wanted, and `.` and `-` within"


def _servers(listener: Listener) -> Iterator[Violation]:
    urls: dict[str, str] = {}
    for one in listener.servers:
        path = f"servers.{one.name}"
        try:
            Address.of(one.url)
        except (InvalidArgument, ValueError) as error:  # ValueError: of a port that is no number
            reason = error.message if isinstance(error, InvalidArgument) else f"`{one.url}`: {error}"
            yield Violation(f"{path}.url", f"{reason}; `http://HOST:PORT` or `unix:/PATH` is wanted")
        if leaves_the_port(one):
            if not one.command:
                yield Violation(f"{path}.url", f"`{one.url}` names no port, and only a child can be given one")
        elif one.command and one.url in urls:
            yield Violation(f"{path}.url", f"`{one.url}` is where `{urls[one.url]}` listens; each needs its own")
        elif one.command:
            urls[one.url] = one.name
        if not one.command:
            said = (key for key in _OF_CHILDREN if getattr(one, key) != getattr(Server(one.name, one.url), key))
            for key in said:
                yield Violation(f"{path}.{key}", "It is for a child, and the server has no `command`")
        yield from _path(one.health, f"{path}.health")
        yield from _bounds(one, path)


def _models(listener: Listener) -> Iterator[Violation]:
    servers = [one.name for one in listener.servers]
    for one in listener.models:
        path = f"models.{one.name}"
        if one.server not in servers:
            yield Violation(f"{path}.server", unknown(one.server, "server", servers))
        if one.format not in FORMATS:
            yield Violation(f"{path}.format", unknown(one.format, "format", FORMATS))
        yield from _path(one.path, f"{path}.path")
        yield from _types(one.inputs, f"{path}.inputs")
        yield from _types(one.outputs, f"{path}.outputs")
        yield from _bounds(one, path)


def _step(step: Step, path: str) -> Iterator[Violation]:
    path = f"{path}.{step.name}"
    if not _NAME.fullmatch(step.name):
        yield Violation(path, _no_name(step.name))
    for key, row in (("takes", step.takes), ("gives", step.gives)):
        yield from _types({"": row} if isinstance(row, str) else row, f"{path}.{key}", optional=True)
    yield from _bounds(step, path)


def _targets(listener: Listener) -> Iterator[Violation]:
    models = {one.name for one in listener.models}
    for stack in listener.stacks:
        if stack.name in models:
            yield Violation(f"stacks.{stack.name}", "A model has this name too; routes could not tell them apart")
    if listener.routes is not None:
        return
    kind = "stacks" if listener.stacks else "models"
    names = {one.name for one in listener.stacks} or models
    if not names:
        yield Violation("models", "There is neither a model nor a stack, so nothing can be asked")
    elif len(names) > 1:
        yield Violation("routes", f"There are {len(names)} {kind} ({listed(sorted(names))}) and no routes to them")


def _routes(listener: Listener) -> Iterator[Violation]:
    routes = listener.routes
    if routes is None:
        return
    targets = [*(one.name for one in listener.stacks), *(one.name for one in listener.models)]
    if routes.by is RouteBy.WEIGHTS:
        yield from _weights(routes, targets)
        return
    if routes.weights:
        yield Violation("routes.weights", f"They are for chance; here `{routes.by}` chooses")
    if not routes.key:
        yield Violation(f"routes.{routes.by}", "It is empty, a name is wanted")
    elif routes.by is RouteBy.HEADER and not _HEADER.fullmatch(routes.key):
        yield Violation("routes.header", f"`{routes.key}` is no name of a header in lower case")
    if not routes.to:
        yield Violation("routes.to", "It is empty, names of stacks or models by value are wanted")
    yield from _to(routes, targets)
    if routes.default and routes.to and routes.default not in routes.to:
        yield Violation("routes.default", unknown(routes.default, "value in `to`", routes.to))


def _weights(routes: Routes, targets: list[str]) -> Iterator[Violation]:
    if not routes.weights:
        yield Violation("routes.weights", "It is empty, a number for each stack or model is wanted")
    for name, weight in routes.weights.items():
        if not 0 < weight < float("inf"):
            yield Violation(f"routes.weights.{name}", f"It is {weight:g}, a number above 0 is wanted")
        if name not in routes.to:
            yield Violation(f"routes.weights.{name}", unknown(name, "name in `to`", routes.to))
    for name in routes.to:
        if name not in routes.weights:
            yield Violation(f"routes.to.{name}", "It has no weight")
    if routes.default:
        yield Violation("routes.default", "It has no meaning where chance chooses; leave it out")
    implied = all(name == target for name, target in routes.to.items())
    yield from _to(routes, targets, "weights" if implied else "to")


def _to(routes: Routes, targets: list[str], key: str = "to") -> Iterator[Violation]:
    for value, target in routes.to.items():
        if target not in targets:
            yield Violation(f"routes.{key}.{value}", unknown(target, "stack or model", targets))


def _accepts(names: tuple[str, ...]) -> Iterator[Violation]:
    if not names:
        yield Violation("accepts", f"It is empty, at least one of {', '.join(FORMATS)} is wanted")
    for index, name in enumerate(names):
        if name not in FORMATS:
            yield Violation(f"accepts[{index}]", unknown(name, "format", FORMATS))
        elif name in names[:index]:
            yield Violation(f"accepts[{index}]", f"`{name}` is there twice")


def _path(text: str, path: str) -> Iterator[Violation]:
    if not text.startswith("/") or any(char.isspace() for char in text):
        yield Violation(path, f"It is `{text}`, a path that begins with `/` is wanted")


def _types(types: Mapping[str, str], path: str, *, optional: bool = False) -> Iterator[Violation]:
    for name, text in types.items():
        if optional and not text:
            continue
        try:
            parse(text)
        except NoType as error:
            yield Violation(f"{path}.{name}" if name else path, f"It is `{text}`, {error}")


def _bounds(one: Server | Model | Step, path: str) -> Iterator[Violation]:
    for key in keys_of(type(one)).values():
        value = getattr(one, key.field)
        if key.least is not None and not key.least <= value <= (key.most if key.most is not None else float("inf")):
            yield Violation(f"{path}.{key.name}", f"It is {value:g}, {key.wanted}{key.bounds()} is wanted")
