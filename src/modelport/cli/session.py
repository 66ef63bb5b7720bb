"""The session of one command: endpoint, project and output, taken from options, else MODELPORT_* variables."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, Literal

import typer

from modelport.cli.output import Format, Output
from modelport.sdk.client import DEFAULT_ENDPOINT, DEFAULT_PROJECT, Client

EndpointOption = Annotated[
    str,
    typer.Option(
        "--endpoint", metavar="URL", help=f"Control plane. [env: MODELPORT_ENDPOINT; default: {DEFAULT_ENDPOINT}]"
    ),
]
ProjectOption = Annotated[
    str, typer.Option("--project", metavar="PROJECT", help="Project. [env: MODELPORT_PROJECT; default: demo]")
]
OutputOption = Annotated[
    Literal["text", "json"] | None,
    typer.Option("--output", help="text for people, json for programs. [default: text]"),
]
TestOutputOption = Annotated[
    Literal["text", "json", "junit"] | None,
    typer.Option("--output", help="text for people, json for programs, junit for CI. [default: text]"),
]


@dataclass
class Invocation:
    """What was said before the command's name; `output` is also what errors are written in."""

    endpoint: str = ""
    project: str = ""
    output: Format = Format.TEXT


def default_project() -> str:
    """Return the project where no option names one."""
    return os.environ.get("MODELPORT_PROJECT") or DEFAULT_PROJECT


@dataclass(frozen=True)
class Session:
    """What every command works with."""

    endpoint: str
    project: str
    out: Output
    _clients: dict[str, Client] = field(default_factory=dict)

    @cached_property
    def client(self) -> Client:
        """Return the client of the session's project."""
        return self.client_of(self.project)

    def client_of(self, project: str) -> Client:
        """Return the client of a project that a full resource name spoke of."""
        if project not in self._clients:
            self._clients[project] = Client(self.endpoint, project)
        return self._clients[project]

    def close(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            client.close()


def command(
    app: typer.Typer, name: str = "", *, output: object = OutputOption
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add a function as a command with --endpoint, --project and --output; its first parameter is the Session.

    Args:
        app: what it is added to.
        name: of the command; the function's own by default.
        output: the option --output, for a command that knows more formats than others.
    """
    output_option = output

    def add(function: Callable[..., None]) -> Callable[..., None]:
        own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]

        def run(
            ctx: typer.Context,
            *,
            endpoint: str = "",
            project: str = "",
            output: str | None = None,
            **own_values: Any,
        ) -> None:
            session = _open(ctx.obj, endpoint, project, output)
            try:
                function(session, **own_values)
            finally:
                session.close()

        keyword = inspect.Parameter.KEYWORD_ONLY
        shared = [
            inspect.Parameter("endpoint", keyword, default="", annotation=EndpointOption),
            inspect.Parameter("project", keyword, default="", annotation=ProjectOption),
            inspect.Parameter("output", keyword, default=None, annotation=output_option),
        ]
        context = inspect.Parameter("ctx", keyword, annotation=typer.Context)
        # typer reads a command's options off its signature.
        signature = inspect.Signature([context, *(one.replace(kind=keyword) for one in own), *shared])
        run.__signature__ = signature  # type: ignore[attr-defined]
        run.__annotations__ = {one.name: one.annotation for one in signature.parameters.values()}
        run.__doc__ = function.__doc__
        app.command(name or function.__name__)(run)
        return function

    return add


def _open(invocation: Invocation, endpoint: str, project: str, output: str | None) -> Session:
    invocation.output = Format(output) if output else invocation.output
    return Session(
        endpoint=endpoint or invocation.endpoint or os.environ.get("MODELPORT_ENDPOINT") or DEFAULT_ENDPOINT,
        project=project or invocation.project or default_project(),
        out=Output(invocation.output),
    )
