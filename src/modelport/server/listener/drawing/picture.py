"""What a drawing of a listener shows: boxes and arrows from the requests to the servers, and not where they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from modelport.server.listener.children.free_ports import leaves_the_port
from modelport.server.listener.declaration import REQUEST, Listener, Model, RouteBy, Runs, Server, Stack, Step
from modelport.server.listener.validation.graph import sources


class Role(StrEnum):
    """What a box stands for."""

    REQUESTS = "requests"
    STACK = "stack"
    PYTHON = "python"
    ASKS = "asks"  # a step that asks a model
    MERGE = "merge"
    MODEL = "model"
    SERVER = "server"


class Line(StrEnum):
    """What an arrow stands for."""

    ROWS = "rows"  # go from one to the other
    CONDITION = "condition"  # what one gives decides whether the other is for a row
    CALL = "call"  # of a model, or its server


@dataclass(frozen=True)
class Node:
    """One box.

    Attributes:
        id: unique in the picture.
        role: what it stands for.
        title: its name.
        notes: lines below it.
        condition: which rows it is for; empty: all.
        last: what it gives is the answer.
    """

    id: str
    role: Role
    title: str
    notes: tuple[str, ...] = ()
    condition: str = ""
    last: bool = False


@dataclass(frozen=True)
class Edge:
    """An arrow between two boxes; `label` says for which requests it is."""

    source: str
    target: str
    line: Line = Line.ROWS
    label: str = ""


@dataclass(frozen=True)
class Picture:
    """All boxes and arrows."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


def picture(listener: Listener, *, servers: bool) -> Picture:
    """Return what is drawn of a listener that can work.

    Args:
        listener: what is declared.
        servers: models and servers are boxes of their own; else steps name their model, and models their server.
    """
    reached = [*_routed(listener)]
    nodes = [Node(REQUEST, Role.REQUESTS, "requests", _chosen_by(listener))]
    edges = [Edge(REQUEST, _target(listener, name), Line.ROWS, label) for name, label in reached]
    for stack in listener.stacks:
        nodes.append(Node(f"stack {stack.name}", Role.STACK, stack.name, ("stack",)))
        nodes += [_step(stack, step, listener, servers=servers) for step in stack.steps]
        edges += _arrows(stack, servers=servers)
    targets = {name for name, _ in reached}
    for model in listener.models:
        if servers or model.name in targets:
            nodes.append(_model(model, servers=servers))
    if servers:
        nodes += [
            Node(
                f"server {one.name}",
                Role.SERVER,
                one.name,
                _told(one),
            )
            for one in listener.servers
        ]
        edges += [Edge(f"model {one.name}", f"server {one.server}", Line.CALL) for one in listener.models]
    return Picture(tuple(nodes), tuple(edges))


def _routed(listener: Listener) -> Iterator[tuple[str, str]]:
    """Yield the names of all targets of routes, each once, with what leads to it."""
    routes = listener.routes
    if routes is None:
        yield (listener.stacks or listener.models)[0].name, ""
        return
    total = sum(routes.weights.values())
    for target in dict.fromkeys(routes.to.values()):
        values = [value for value, one in routes.to.items() if one == target]
        if routes.by is RouteBy.WEIGHTS:
            yield target, f"{100 * sum(routes.weights[value] for value in values) / total:.3g} %"
        else:
            yield target, ", ".join(f"{one}, default" if one == routes.default else one for one in values)


def _chosen_by(listener: Listener) -> tuple[str, ...]:
    formats = " or ".join(listener.accepts)
    if listener.routes is None:
        return (formats,)
    words = {
        RouteBy.HEADER: f"by header {listener.routes.key}",
        RouteBy.FIELD: f"by field {listener.routes.key}",
        RouteBy.INSTANCE_KEY: f"each instance by its {listener.routes.key}",
        RouteBy.WEIGHTS: "by chance",
    }
    return formats, words[listener.routes.by]


def _target(listener: Listener, name: str) -> str:
    return f"stack {name}" if any(one.name == name for one in listener.stacks) else f"model {name}"


def _step(stack: Stack, step: Step, listener: Listener, *, servers: bool) -> Node:
    role, notes = _does(step, listener, servers=servers)
    condition = f"{step.when.step} = {' or '.join(map(_value, step.when.values))}" if step.when else ""
    return Node(_id(stack, step.name), role, step.name, notes, condition, last=step is stack.steps[-1])


def _does(step: Step, listener: Listener, *, servers: bool) -> tuple[Role, tuple[str, ...]]:
    if step.merge:
        return Role.MERGE, ("merge",)
    if step.model:
        server = next((one.server for one in listener.models if one.name == step.model), "")
        return Role.ASKS, (f"model {step.model}" if servers else f"model {step.model} on {server}",)
    code = step.python if isinstance(step.python, str) else getattr(step.python, "__qualname__", repr(step.python))
    places = {Runs.THREADS: (), Runs.PROCESSES: ("in processes",), Runs.INLINE: ("inline",)}
    return Role.PYTHON, (code, *places[step.runs])


def _arrows(stack: Stack, *, servers: bool) -> Iterator[Edge]:
    taken = sources(stack)
    for step in stack.steps:
        name = _id(stack, step.name)
        rows = dict.fromkeys(taken[step.name].values())
        for source in rows:
            yield Edge(_id(stack, source), name)
        if step.when and step.when.step not in rows:
            yield Edge(_id(stack, step.when.step), name, Line.CONDITION)
        if step.model and servers:
            yield Edge(name, f"model {step.model}", Line.CALL)


def _id(stack: Stack, step: str) -> str:
    return f"stack {stack.name}" if step == REQUEST else f"step {stack.name} {step}"


def _model(model: Model, *, servers: bool) -> Node:
    notes = (model.format,) if servers else (f"model on {model.server}",)
    return Node(f"model {model.name}", Role.MODEL, model.name, notes)


def _told(server: Server) -> tuple[str, ...]:
    place = "a free port" if leaves_the_port(server) else server.url
    if not server.command:
        return (place,)
    program, *rest = server.command
    module = f" -m {rest[1]}" if rest[:1] == ["-m"] and len(rest) > 1 else ""
    return place, f"starts {program.rpartition('/')[2]}{module}"


def _value(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
