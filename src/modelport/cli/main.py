"""The command line: puts the commands together, and is the only place that prints errors and picks exit codes.

Exit codes: 0 done; 1 the platform said no; 2 the command line is wrong; 3 the platform is out of reach; 130 Ctrl-C.
With `--output json` an error is one line of JSON, the last one on stderr, in the shape of the API; stdout stays empty.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

import typer

from modelport import __version__
from modelport.cli import (
    check,
    deploy,
    doctor,
    explain,
    init,
    listener,
    logs,
    models,
    operations,
    predict,
    serve,
    status,
    versions,
)
from modelport.cli.dry_run import dry_run
from modelport.cli.findings import diagnosed
from modelport.cli.output import Format, Output
from modelport.cli.run import run as run_locally
from modelport.cli.session import (
    EndpointOption,
    Invocation,
    OutputOption,
    ProjectOption,
    Session,
    TestOutputOption,
    command,
)
from modelport.cli.usage import UsageProblem
from modelport.core.errors import ControlPlaneUnreachable, Error
from modelport.sdk.statuses import status_document

_INTERRUPTED = 130

app = typer.Typer(
    name="modelport",
    help="Bring a container that serves a model; get an endpoint that answers predictions.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run one command, print its error if it has one, and return the exit code."""
    invocation = Invocation()
    try:
        code = app(list(arguments), prog_name="modelport", standalone_mode=False, obj=invocation)
        return code if isinstance(code, int) else 0
    except Error as error:
        _print_error(error, invocation.output)
        if isinstance(error, UsageProblem):
            return 2
        return 3 if isinstance(error, ControlPlaneUnreachable) else 1
    except typer.TyperException as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            Output(Format.TEXT).note(error.message)
        else:
            context = getattr(error, "ctx", None)
            hint = f"See `{context.command_path if context else 'modelport'} --help`"
            _print_error(UsageProblem(error.format_message().rstrip("."), hint=hint), Format.TEXT)
        return error.exit_code
    except (typer.Abort, KeyboardInterrupt):
        return _INTERRUPTED


def _print_error(error: Error, format: Format) -> None:
    out = Output(format)
    if out.json:
        sys.stderr.write(json.dumps(status_document(error), ensure_ascii=False) + "\n")
        return
    if error.finding:
        out.note(diagnosed(error, out.width))
        return
    lines = [f"error: {headline(error)}"]
    if len(error.violations) > 1:
        lines += [f"  {one.field}: {one.description}" for one in error.violations]
    if error.hint:
        lines += ["", f"hint: {error.hint}"]
    out.note("\n".join(lines))


def headline(error: Error) -> str:
    """Return the message; where it only enumerates violations, the one, or how many there are."""
    match error.violations:
        case ():
            return error.message
        case [one] if one.description == error.message:
            return error.message
        case [one]:
            return f"{one.field}: {one.description}"
    return f"{len(error.violations)} fields are wrong; nothing was changed"


@app.callback()
def root(
    ctx: typer.Context, endpoint: EndpointOption = "", project: ProjectOption = "", output: OutputOption = None
) -> None:
    """Bring a container that serves a model; get an endpoint that answers predictions."""
    invocation: Invocation = ctx.obj
    invocation.endpoint, invocation.project = endpoint, project
    invocation.output = Format(output or Format.TEXT)


app.command("serve")(serve.serve)
command(app)(serve.shutdown)
command(app)(init.init)
command(app)(deploy.deploy)
command(app, output=TestOutputOption)(check.check)
app.command("run")(run_locally)
command(app, "dry-run")(dry_run)
command(app)(predict.predict)
command(app)(explain.explain)
command(app)(doctor.doctor)
command(app)(logs.logs)
command(app)(status.status)
app.add_typer(models.app, name="models")
app.add_typer(versions.app, name="versions")
app.add_typer(operations.app, name="operations")
app.add_typer(listener.app, name="listener")


@command(app)
def version(session: Session) -> None:
    """Show the version of this command line."""
    session.out.show({"version": __version__}, f"modelport {__version__}")
