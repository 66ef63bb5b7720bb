"""`modelport operations`: list, describe, wait, cancel."""

from __future__ import annotations

from typing import Annotated

import typer

from modelport.cli.output import columns
from modelport.cli.render import details
from modelport.cli.session import Session, command
from modelport.cli.usage import parse_operation
from modelport.cli.watch import watch
from modelport.sdk.client import Json

app = typer.Typer(help="Operations: goals under way.", no_args_is_help=True)

OperationArgument = Annotated[str, typer.Argument(metavar="OPERATION", help="Operation, or its full name.")]


@command(app, "list")
def list_operations(
    session: Session,
    filter: Annotated[str, typer.Option("--filter", metavar="EXPR", help="Such as done:false.")] = "",
) -> None:
    """List the operations of the project."""
    found = session.client.list_operations(filter)
    session.out.show(found, _table(found) if found else f"No operations in project `{session.project}`")


@command(app)
def describe(session: Session, operation: OperationArgument) -> None:
    """Show one operation."""
    name = parse_operation(operation, session.project)
    found = session.client_of(name.project).get_operation(name.operation)
    session.out.show(found, details(found))


@command(app)
def wait(
    session: Session,
    operation: OperationArgument,
    deadline: Annotated[
        float | None, typer.Option("--deadline", metavar="SECONDS", min=0, help="Longest wait.")
    ] = None,
) -> None:
    """Watch an operation until it is done."""
    name = parse_operation(operation, session.project)
    client = session.client_of(name.project)
    done = watch(session, client, client.get_operation(name.operation), deadline_s=deadline)
    session.out.show(done, f"Done: {done['name']}")


@command(app)
def cancel(session: Session, operation: OperationArgument) -> None:
    """Give an operation up."""
    name = parse_operation(operation, session.project)
    client = session.client_of(name.project)
    client.cancel_operation(name.operation)
    session.out.show(client.get_operation(name.operation), f"Asked {name} to stop")


def _table(operations: list[Json]) -> str:
    rows = []
    for operation in operations:
        metadata = operation.get("metadata", {})
        target = metadata.get("version", {}).get("name") or metadata.get("modelName", "")
        outcome = ("failed" if "error" in operation else "done") if operation.get("done") else "under way"
        rows.append((operation["name"].rpartition("/")[2], metadata.get("operationType", ""), outcome, target))
    return columns(("OPERATION", "TYPE", "OUTCOME", "TARGET"), rows)
