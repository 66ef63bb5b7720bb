"""`modelport logs`: what the replicas of a version write, also those that are dead."""

from __future__ import annotations

from typing import Annotated

import typer

from modelport.cli.session import Session
from modelport.cli.usage import parse_target
from modelport.core.errors import NoDefaultVersion
from modelport.sdk.client import Json


def logs(
    session: Session,
    target: Annotated[str, typer.Argument(metavar="MODEL[/VERSION]", help="Without VERSION: the model's default.")],
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on with new lines until Ctrl-C.")] = False,
    tail: Annotated[int, typer.Option("--tail", metavar="N", min=0, help="Last lines of each replica.")] = 100,
) -> None:
    """Show the logs of a version.

    Those of dead replicas are among them. With --output json each line is a JSON document.
    """
    name = parse_target(target, session.project)
    client = session.client_of(name.project)
    version = name.version
    if not version:
        default = client.get_model(name.model).get("defaultVersion", {}).get("name", "")
        if not default:
            raise NoDefaultVersion(
                f"Model `{name.model}` has no default version",
                hint=f"Name one: modelport logs {name.model}/VERSION",
            )
        version = default.rpartition("/")[2]
    for line in client.logs(name.model, version, tail=tail, follow=follow):
        session.out.record(line, text(line))


def text(line: Json) -> str:
    """Return a line as people read it: time, replica (and attempt after the first), text."""
    time = str(line.get("time") or "")[11:23].rstrip("Z").ljust(12) if line.get("time") else " " * 12
    attempt = f"#{line['attempt']}" if line.get("attempt", 1) > 1 else ""
    return f"{time}  {str(line.get('replica', '')).rpartition('-')[2]}{attempt}  {line['text']}"
