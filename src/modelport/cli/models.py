"""`modelport models`: create, list, describe, update, delete."""

from __future__ import annotations

from typing import Annotated

import typer

from modelport.cli.confirm import YesOption, confirm
from modelport.cli.output import columns
from modelport.cli.render import details
from modelport.cli.session import Session, command
from modelport.cli.specs import read_object
from modelport.cli.usage import Target, UsageProblem, parse_pairs, parse_target
from modelport.cli.watch import watch
from modelport.sdk.client import Json

app = typer.Typer(help="Models: each a group of versions.", no_args_is_help=True)

ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help="Model, or its full name.")]
SpecOption = Annotated[str, typer.Option("-f", "--file", metavar="FILE", help="Model in JSON or YAML; - for stdin.")]
DescriptionOption = Annotated[str | None, typer.Option("--description", metavar="TEXT")]
LabelOption = Annotated[list[str] | None, typer.Option("--label", metavar="K=V", help="May be given several times.")]
FilterOption = Annotated[str, typer.Option("--filter", metavar="EXPR", help="Such as labels.team=risk.")]


@command(app)
def create(
    session: Session,
    model: ModelArgument,
    description: DescriptionOption = None,
    label: LabelOption = None,
    file: SpecOption = "",
) -> None:
    """Create a model; it answers predictions once it has a version."""
    name = _model(model, session)
    body = read_object(file) if file else {}
    if description is not None:
        body["description"] = description
    if label:
        body["labels"] = {**body.get("labels", {}), **parse_pairs(label, "--label")}
    created = session.client_of(name.project).create_model(name.model, body)
    session.out.show(created, f"Created {created['name']}")


@command(app, "list")
def list_models(session: Session, filter: FilterOption = "") -> None:
    """List the models of the project."""
    models = session.client.list_models(filter)
    session.out.show(models, _table(models) if models else f"No models in project `{session.project}`")


@command(app)
def describe(session: Session, model: ModelArgument) -> None:
    """Show one model."""
    name = _model(model, session)
    found = session.client_of(name.project).get_model(name.model)
    session.out.show(found, details(found))


@command(app)
def update(session: Session, model: ModelArgument, description: DescriptionOption = None) -> None:
    """Change a model's description."""
    if description is None:
        raise UsageProblem("Nothing to change", hint="Add --description TEXT")
    name = _model(model, session)
    client = session.client_of(name.project)
    watch(session, client, client.update_model(name.model, {"description": description}, mask="description"))
    changed = client.get_model(name.model)
    session.out.show(changed, f"Changed {changed['name']}")


@command(app)
def delete(session: Session, model: ModelArgument, yes: YesOption = False) -> None:
    """Delete a model that has no versions."""
    name = _model(model, session)
    confirm(f"Delete model {name.model} of project {name.project}?", yes=yes)
    client = session.client_of(name.project)
    done = watch(session, client, client.delete_model(name.model))
    session.out.show(done, f"Deleted projects/{name.project}/models/{name.model}")


def _model(text: str, session: Session) -> Target:
    target = parse_target(text, session.project)
    if target.version:
        raise UsageProblem(f"`{text}` names a version; a model is wanted", hint=f"Write {target.model}")
    return target


def _table(models: list[Json]) -> str:
    rows = []
    for model in models:
        default = model.get("defaultVersion", {})
        version = default.get("name", "").rpartition("/")[2] or "-"
        rows.append(
            (model["name"].rpartition("/")[2], version, default.get("state", "-"), model.get("description", ""))
        )
    return columns(("MODEL", "DEFAULT VERSION", "STATE", "DESCRIPTION"), rows)
