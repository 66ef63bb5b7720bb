"""`modelport predict`: sends instances or a whole request to a model or version."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from modelport.cli.session import Session
from modelport.cli.specs import read_instances, read_text
from modelport.cli.usage import UsageProblem, parse_target


def predict(
    session: Session,
    target: Annotated[str, typer.Argument(metavar="MODEL[/VERSION]", help="Without VERSION: the model's default.")],
    source: Annotated[str, typer.Argument(metavar="[-]", help="- reads a whole request from stdin.")] = "",
    json_instances: Annotated[
        str,
        typer.Option("--json-instances", metavar="FILE", help="One instance in a line, or a JSON array; - for stdin."),
    ] = "",
    json_request: Annotated[
        str, typer.Option("--json-request", metavar="FILE", help="Sent as it is; - for stdin.")
    ] = "",
) -> None:
    """Predict, and print the container's answer."""
    if source not in ("", "-"):
        raise UsageProblem(f"`{source}` is not -", hint=f"Write --json-instances {source} or --json-request {source}")
    given = [one for one in (json_instances, json_request, source) if one]
    if len(given) != 1:
        raise UsageProblem(
            "Nothing to predict" if not given else "More than one source of instances",
            hint="Give one of --json-instances FILE, --json-request FILE, or - for a request on stdin",
        )
    name = parse_target(target, session.project)
    # A whole request is not read and written anew: the container gets the very bytes.
    body: object = {"instances": read_instances(json_instances)} if json_instances else read_text(given[0]).encode()
    answer = session.client_of(name.project).predict(name.model, body, version=name.version)
    session.out.show(answer, answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False))
