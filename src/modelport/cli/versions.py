"""`modelport versions`: create, list, describe, set-default, update, delete."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from modelport.cli.confirm import YesOption, confirm
from modelport.cli.output import ago, columns, parse_time
from modelport.cli.presets import filled
from modelport.cli.render import details
from modelport.cli.session import Session, command
from modelport.cli.specs import folder_spec, read_object
from modelport.cli.usage import UsageProblem, parse_target, parse_version
from modelport.cli.watch import watch
from modelport.sdk.client import Json

app = typer.Typer(help="Versions: each a container, immutable.", no_args_is_help=True)

VersionArgument = Annotated[str, typer.Argument(metavar="VERSION", help="VERSION with --model, or MODEL/VERSION.")]
ModelOption = Annotated[str, typer.Option("--model", metavar="MODEL", help="Model of the version.")]
NoWaitOption = Annotated[bool, typer.Option("--no-wait", help="Return at once with the operation.")]


@command(app)
def create(
    session: Session,
    version: VersionArgument,
    file: Annotated[str, typer.Option("-f", "--file", metavar="FILE", help="Version in JSON or YAML; - for stdin.")],
    model: ModelOption = "",
    no_wait: NoWaitOption = False,
) -> None:
    """Create a version and wait until it is READY."""
    name = parse_version(version, model, session.project)
    body = read_object(file)
    if file != "-":
        body = folder_spec(body, Path(file)).version
    body = filled(body).version
    client = session.client_of(name.project)
    operation = client.create_version(name.model, name.version, body)
    if no_wait:
        session.out.show(operation, f"Started {operation['name']}")
        return
    watch(session, client, operation)
    session.out.show(client.get_version(name.model, name.version), "")


@command(app, "list")
def list_versions(
    session: Session,
    model: Annotated[str, typer.Option("--model", metavar="MODEL", help="Model to list the versions of.")],
    filter: Annotated[str, typer.Option("--filter", metavar="EXPR", help="Such as labels.team=risk.")] = "",
) -> None:
    """List the versions of a model."""
    name = parse_target(model, session.project)
    versions = session.client_of(name.project).list_versions(name.model, filter)
    session.out.show(versions, _table(versions) if versions else f"No versions of model `{name.model}`")


@command(app)
def describe(session: Session, version: VersionArgument, model: ModelOption = "") -> None:
    """Show one version with its conditions and replicas."""
    name = parse_version(version, model, session.project)
    found = session.client_of(name.project).inspect_version(name.model, name.version)
    session.out.show(found, details(found))


@command(app, "set-default")
def set_default(session: Session, version: VersionArgument, model: ModelOption = "") -> None:
    """Let this version answer for its model."""
    name = parse_version(version, model, session.project)
    changed = session.client_of(name.project).set_default_version(name.model, name.version)
    session.out.show(changed, f"{changed['name']} is now the default")


@command(app)
def update(
    session: Session,
    version: VersionArgument,
    model: ModelOption = "",
    nodes: Annotated[int | None, typer.Option("--nodes", min=1, help="Replicas to run.")] = None,
    description: Annotated[str | None, typer.Option("--description", metavar="TEXT")] = None,
    no_wait: NoWaitOption = False,
) -> None:
    """Change the number of replicas, or the description.

    All else of a version never changes.
    """
    name = parse_version(version, model, session.project)
    client = session.client_of(name.project)
    body: Json = {}
    mask = []
    if nodes is not None:
        automatic = "autoScaling" in client.get_version(name.model, name.version)
        field, key = ("autoScaling", "minNodes") if automatic else ("manualScaling", "nodes")
        body[field] = {key: nodes}
        mask.append(f"{field}.{key}")
    if description is not None:
        body["description"] = description
        mask.append("description")
    if not mask:
        raise UsageProblem("Nothing to change", hint="Add --nodes N or --description TEXT")
    operation = client.update_version(name.model, name.version, body, mask=",".join(mask))
    if no_wait:
        session.out.show(operation, f"Started {operation['name']}")
        return
    watch(session, client, operation)
    changed = client.get_version(name.model, name.version)
    session.out.show(changed, f"Changed {changed['name']}")


@command(app)
def delete(
    session: Session,
    version: VersionArgument,
    model: ModelOption = "",
    yes: YesOption = False,
    no_wait: NoWaitOption = False,
) -> None:
    """Delete a version: first its traffic, then its replicas."""
    name = parse_version(version, model, session.project)
    confirm(f"Delete version {name} of project {name.project}?", yes=yes)
    client = session.client_of(name.project)
    operation = client.delete_version(name.model, name.version)
    if no_wait:
        session.out.show(operation, f"Started {operation['name']}")
        return
    done = watch(session, client, operation)
    session.out.show(done, f"Deleted projects/{name.project}/models/{name.model}/versions/{name.version}")


def _table(versions: list[Json]) -> str:
    now = datetime.now(UTC)
    rows = [
        (
            version["name"].rpartition("/")[2],
            version.get("state", ""),
            "yes" if version.get("isDefault") else "",
            f"{ago(parse_time(version['createTime']), now)} ago",
            version.get("container", {}).get("image", ""),
        )
        for version in versions
    ]
    return columns(("VERSION", "STATE", "DEFAULT", "CREATED", "IMAGE"), rows)
