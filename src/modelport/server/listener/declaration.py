"""What a listener is made of: servers, their models, stacks of steps, and the routes to them.

Written as Python with these classes, or as `listener.yaml`, which `listener_file` reads into them. Nothing here is
checked: `validation` does that, for both. What is said of each field here makes the messages of the reader and the
page of the reference, by way of `keys`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

REQUEST = "request"  # as the source of a step: the rows that the caller sent


class Kind(StrEnum):
    """What is written for a field in YAML, where that does not follow from its type."""

    WORDS = "list of words, or one text as in a shell"
    NAMES = "list of names"
    TEXTS = "texts by name"
    TYPES = "types by name"
    ROW = "type, or types by name"
    SOURCES = "name of a step, list of names, or names by argument"
    CONDITION = "a step with the value that it gave, or a list of some"
    NUMBERS = "numbers by name"


def _about(help: str, **more: Any) -> Mapping[str, Any]:
    """Return the metadata of a field: what `keys.Key` says beside its name and default."""
    return {"help": help, **more}


class WhenItEnds(StrEnum):
    """What becomes of the listener when its model server ends by itself."""

    RESTART = "restart"  # it is started again, less and less often where it keeps ending
    EXIT = "exit"  # the listener ends too, with the same code: whoever runs the container starts both again


class Runs(StrEnum):
    """Where a Python step runs."""

    INLINE = "inline"  # on the event loop: for what takes microseconds
    THREADS = "threads"  # for what waits, or computes without holding Python's lock
    PROCESSES = "processes"  # for what computes in Python


@dataclass(frozen=True)
class Server:
    """A model server: a child process, or one that runs elsewhere."""

    name: str = field(metadata=_about("What models call it by."))
    url: str = field(
        metadata=_about("Where it listens: `http://HOST:PORT` or `unix:/PATH`; port 0 is any free one, for a child.")
    )
    command: tuple[str, ...] = field(
        default=(),
        metadata=_about(
            "Starts it; `$(VAR)` and bare `$AIP_…` are expanded. Without it, it is run by somebody else.",
            kind=Kind.WORDS,
        ),
    )
    health: str = field(default="/health", metadata=_about("Path that answers 200 when it is ready."))
    env: Mapping[str, str] = field(
        default_factory=dict, metadata=_about("Variables for it beside those of the listener.", kind=Kind.TEXTS)
    )
    start_timeout_s: float = field(
        default=300.0, metadata=_about("It must be ready within so many seconds of its start.", least=0.001)
    )
    probe_period_s: float = field(
        default=2.0, metadata=_about("Seconds between looks at its health, once it is ready.", least=0.001)
    )
    when_it_ends: WhenItEnds = field(
        default=WhenItEnds.RESTART,
        metadata=_about("Where it ends by itself: start it again, or let the listener end too, with the same code."),
    )
    stop_timeout_s: float = field(default=10.0, metadata=_about("Seconds between SIGTERM and SIGKILL.", least=0))
    connections: int = field(default=64, metadata=_about("Most connections to it.", least=1))


@dataclass(frozen=True)
class Model:
    """A model on a server."""

    name: str = field(metadata=_about("What steps and routes call it by."))
    server: str = field(metadata=_about("Name of the server that it is on."))
    path: str = field(metadata=_about("Where it predicts, such as `/v2/models/iris/infer`."))
    format: str = field(default="ai-platform", metadata=_about("Format in which it is spoken to."))
    inputs: Mapping[str, str] = field(
        default_factory=dict,
        metadata=_about('Types of its inputs by their names, such as `{x: "FP32[4]"}`: of one row.', kind=Kind.TYPES),
    )
    outputs: Mapping[str, str] = field(
        default_factory=dict, metadata=_about("Types of its outputs by their names.", kind=Kind.TYPES)
    )
    timeout_s: float = field(default=60.0, metadata=_about("Seconds for one request.", least=0.001))
    concurrency: int = field(default=64, metadata=_about("Most requests at once.", least=1))
    max_waiting: int = field(
        default=1024, metadata=_about("Most requests that wait for one of those places; more get 429.", least=0)
    )
    max_rows: int = field(
        default=1,
        metadata=_about(
            "Most rows of concurrent requests that are sent as one, and no more than two such at once; 1: each request"
            " by itself.",
            least=1,
        ),
    )
    max_delay_ms: float = field(
        default=0.0,
        metadata=_about("Milliseconds that a request may wait for the rows of others.", least=0, most=60_000),
    )


@dataclass(frozen=True)
class Condition:
    """Which rows a step is for: those for which another step gave this value, or one of these where it is a tuple."""

    step: str
    equals: Any

    @property
    def values(self) -> tuple[Any, ...]:
        """Return the values of which the other step must have given one."""
        return self.equals if isinstance(self.equals, tuple) else (self.equals,)


@dataclass(frozen=True)
class Step:
    """One step of a stack: exactly one of `model`, `python` and `merge`."""

    name: str = field(metadata=_about("What other steps of its stack call it by."))
    model: str = field(default="", metadata=_about("Name of the model that is asked."))
    python: str | Callable[..., Any] = field(
        default="",
        metadata=_about(
            "`FILE.py:NAME` or `MODULE:NAME`; in Python also the function itself. It takes a batch (one for each"
            " source) and gives one with as many rows. A class is made once, and called."
        ),
    )
    merge: tuple[str, ...] = field(
        default=(),
        metadata=_about("Steps of which each row takes the first that has given something for it.", kind=Kind.NAMES),
    )
    sources: Mapping[str, str] = field(
        default_factory=dict,
        metadata=_about(
            "The steps whose rows it takes; by the names of its arguments or inputs where there are several. `request`:"
            " the rows of the caller.",
            key="from",
            kind=Kind.SOURCES,
            otherwise="the step written before",
        ),
    )
    when: Condition | None = field(
        default=None,
        metadata=_about(
            "The rows that it is for, such as `{language: de}` or `{language: [de, nl]}`; all others pass it by.",
            kind=Kind.CONDITION,
        ),
    )
    parameters: tuple[str, ...] | None = field(
        default=None,
        metadata=_about(
            "Those of the request's parameters that its model is given.", kind=Kind.NAMES, otherwise="all of them"
        ),
    )
    runs: Runs = field(default=Runs.THREADS, metadata=_about("Where a Python step runs."))
    workers: int = field(
        default=0, metadata=_about("Threads or processes of it.", otherwise="one for each CPU", least=0, most=1024)
    )
    timeout_s: float = field(default=0.0, metadata=_about("Seconds for one call.", otherwise="no limit", least=0))
    concurrency: int = field(
        default=0,
        metadata=_about("Most calls at once.", otherwise="as many as workers; inline any number", least=0),
    )
    max_waiting: int = field(default=1024, metadata=_about("Most calls that wait; more get 429.", least=0))
    max_rows: int = field(
        default=1, metadata=_about("Most rows of concurrent requests in one call; 1: each by itself.", least=1)
    )
    max_delay_ms: float = field(
        default=0.0,
        metadata=_about("Milliseconds that a request may wait for the rows of others.", least=0, most=60_000),
    )
    takes: str | Mapping[str, str] = field(
        default="",
        metadata=_about("Type of a row that comes in, such as `FP32[4]`.", kind=Kind.ROW, otherwise="by its hints"),
    )
    gives: str | Mapping[str, str] = field(
        default="", metadata=_about("Type of a row that goes out.", kind=Kind.ROW, otherwise="by its hints")
    )


@dataclass(frozen=True)
class Stack:
    """Steps in the order in which they were written; the last one gives the answer."""

    name: str
    steps: tuple[Step, ...]


class RouteBy(StrEnum):
    """What chooses the target of a request."""

    HEADER = "header"  # the value of a header
    FIELD = "field"  # a member of the body: `model`, or `parameters.model`
    INSTANCE_KEY = "instance_key"  # a member of each instance, which goes its own way and is answered in its place
    WEIGHTS = "weights"  # chance


@dataclass(frozen=True)
class Routes:
    """Which stack or model a request is for.

    Attributes:
        by: what chooses.
        key: the name of the header, or of the member.
        to: names of stacks or models by value; for weights, by their own names.
        weights: how often each of `to` is chosen, in proportion.
        default: the value that holds where a request has none; empty: such a request is refused.
    """

    by: RouteBy
    key: str = ""
    to: Mapping[str, str] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    default: str = ""


@dataclass(frozen=True)
class Listener:
    """A whole listener."""

    servers: tuple[Server, ...] = field(default=(), metadata=_about("Model servers by their names."))
    models: tuple[Model, ...] = field(default=(), metadata=_about("Models on them by their names."))
    stacks: tuple[Stack, ...] = field(
        default=(), metadata=_about("Stacks by their names: lists of steps, each one name with what it does.")
    )
    routes: Routes | None = field(
        default=None,
        metadata=_about(
            "Which stack or model a request is for.",
            otherwise="the one stack, or the one model where there are no stacks",
        ),
    )
    accepts: tuple[str, ...] = field(
        default=("ai-platform",),
        metadata=_about(
            "Formats that callers may use on the predict route, in the order in which they are tried; the last one"
            " takes everything.",
            kind=Kind.NAMES,
        ),
    )
