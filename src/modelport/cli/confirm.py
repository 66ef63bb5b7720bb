"""Confirmation: destructive commands ask first; without a terminal they want --yes."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from modelport.cli.usage import UsageProblem

YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def confirm(question: str, *, yes: bool) -> None:
    """Return when the answer is yes; end the command otherwise."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageProblem("This cannot be undone, and there is no terminal to ask on", hint="Add --yes")
    if not typer.confirm(question, err=True):
        raise typer.Exit(1)
