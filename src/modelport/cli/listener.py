"""`modelport listener`: draws a listener, and checks whether it can work; nothing is started."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from modelport.cli.extras import server_extra
from modelport.cli.output import Format
from modelport.cli.session import Session, command
from modelport.cli.usage import UsageProblem

if TYPE_CHECKING:
    from modelport.server.listener.declaration import Listener

app = typer.Typer(help="Listeners: what stands before model servers.", no_args_is_help=True)

_WHO = "The listener"

TargetArgument = Annotated[
    str, typer.Argument(metavar="[FILE]", help="listener.yaml, its folder, or FILE.py:NAME. [default: listener.yaml]")
]
GraphOutputOption = Annotated[
    Literal["text", "json", "svg"] | None,
    typer.Option("--output", help="text for people, json for programs, svg for documents. [default: text]"),
]
SvgOption = Annotated[Path | None, typer.Option("--svg", metavar="FILE", help="Write the picture to a file, as SVG.")]


@command(app, output=GraphOutputOption)
def graph(session: Session, target: TargetArgument = "", svg: SvgOption = None) -> None:
    """Draw a listener: routes, stacks and their steps, models, servers.

    No function of it is imported, so this is quick, and needs none of the packages that they need.
    """
    with server_extra(_WHO):
        from modelport.server.listener.drawing.drawings import document_of, svg_of, text_of
        from modelport.server.listener.notation.listener_source import DEFAULT_FILE, load_listener
    listener = load_listener(target or DEFAULT_FILE)
    if svg is not None:
        try:
            svg.write_text(svg_of(listener), encoding="utf-8")
        except OSError as error:
            raise UsageProblem(f"`--svg {svg}` cannot be written: {(error.strerror or str(error)).lower()}") from error
        session.out.show({"svg": str(svg)}, f"wrote {svg}")
    elif session.out.format is Format.SVG:
        session.out.write(svg_of(listener))
    elif session.out.json:
        session.out.show(document_of(listener), "")
    else:
        session.out.write(text_of(listener))


@command(app)
def check(session: Session, target: TargetArgument = "") -> None:
    """Check whether a listener can work, without starting anything.

    Imports the functions of its steps, and compares their type hints with the types of the models. Everything that is
    wrong is told at once, with file and line. Exit code 1 if anything is.
    """
    with server_extra(_WHO):
        from modelport.server.listener.notation.listener_source import DEFAULT_FILE, examine
    where = target or DEFAULT_FILE
    listener = examine(where)
    counts = _counts(listener)
    told = ", ".join(f"{count} {name if count != 1 else name[:-1]}" for name, count in counts.items())
    session.out.show({"ok": True, "listener": where, **counts}, f"✓ {where}: {told}")


def _counts(listener: Listener) -> dict[str, int]:
    return {
        "servers": len(listener.servers),
        "models": len(listener.models),
        "stacks": len(listener.stacks),
        "steps": sum(len(one.steps) for one in listener.stacks),
    }
