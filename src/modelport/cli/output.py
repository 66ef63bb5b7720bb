"""Output: data to stdout, everything else to stderr; with `--output json` exactly one JSON document on stdout.

Colour comes on at this edge only, by recognising words, and only on a terminal; nothing needs it to be understood.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TextIO

from rich.console import Console
from rich.highlighter import RegexHighlighter
from rich.text import Text
from rich.theme import Theme


class Format(StrEnum):
    """How results are written; JUNIT is known to commands that test something, SVG to those that draw."""

    TEXT = "text"
    JSON = "json"
    JUNIT = "junit"
    SVG = "svg"


class _Words(RegexHighlighter):
    base_style = "modelport."
    highlights = [  # noqa: RUF012 - the base class declares it so
        r"(?P<good>\b(READY|HEALTHY)\b|✓|^conforms\b)",
        r"(?P<bad>\b(FAILED|UNHEALTHY|UNDETECTED)\b|^error:|✗|^does not conform\b)",
        r"(?P<busy>\b(CREATING|UPDATING|DELETING)\b|(?<= )!(?= )|(?m:^  (consequence|warning|advice)(?= [A-Z_]+:)))",
        r"(?P<hint>(?m:^(hint|docs|next):))",
    ]


_THEME = Theme(
    {
        "modelport.good": "bold green",
        "modelport.bad": "bold red",
        "modelport.busy": "yellow",
        "modelport.hint": "bold cyan",
    }
)


class Output:
    """Where one command writes."""

    def __init__(self, format: Format, *, stdout: TextIO | None = None, stderr: TextIO | None = None) -> None:
        self.format = format
        self._stdout = stdout or sys.stdout
        self._out = _console(self._stdout)
        self._err = _console(stderr or sys.stderr)

    @property
    def json(self) -> bool:
        """Return whether stdout is for a machine."""
        return self.format is Format.JSON

    @property
    def for_people(self) -> bool:
        """Return whether stdout is for people, not for a machine."""
        return self.format is Format.TEXT

    @property
    def width(self) -> int:
        """Return how many characters fit in a line of stdout."""
        return self._out.width

    @property
    def interactive(self) -> bool:
        """Return whether progress is written to a terminal, where it may move."""
        return self._progress.is_terminal

    @property
    def _progress(self) -> Console:
        return self._out if self.for_people else self._err

    def show(self, document: Any, text: str) -> None:
        """Write the result: the document, or what people read of it."""
        if self.json:
            self._stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
            self._stdout.flush()
        elif text:
            _print(self._out, text)

    def record(self, document: Any, text: str) -> None:
        """Write one of many results that come one after the other: one JSON document in a line."""
        if self.json:
            self._stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
        else:
            self._stdout.write(text + "\n")
        self._stdout.flush()

    def progress(self, text: str) -> None:
        """Write what happens on the way to the result; to stderr where stdout is for a machine."""
        _print(self._progress, text)

    def write(self, document: str) -> None:
        """Write a document that is complete to stdout, as it is."""
        self._stdout.write(document)
        self._stdout.flush()

    def note(self, text: str) -> None:
        """Write to stderr."""
        _print(self._err, text)

    @contextmanager
    def pending(self, text: str) -> Iterator[Pending]:
        """Show a moving sign with `text` on a terminal until the block ends; elsewhere nothing."""
        if not self.interactive:
            yield Pending(None)
            return
        with self._progress.status(Text(text)) as status:
            yield Pending(status.update)


class Pending:
    """The text beside the moving sign."""

    def __init__(self, update: Any) -> None:
        self._update = update

    def say(self, text: str) -> None:
        """Replace the text; nothing where there is no terminal."""
        if self._update is not None:
            self._update(Text(text))


def columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows under a header, each column as wide as its widest cell, without trailing blanks."""
    table = [list(header), *(list(row) for row in rows)]
    widths = [max(len(row[index]) for row in table) for index in range(len(header))]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
    )


def parse_time(text: str) -> datetime:
    """Read an RFC 3339 time."""
    return datetime.fromisoformat(text).astimezone(UTC)


def ago(since: datetime, now: datetime) -> str:
    """Return a duration up to now in its largest unit: `12 s`, `5 min`, `3 h`, `2 d`."""
    seconds = max(0, int((now - since).total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _console(file: TextIO) -> Console:
    return Console(file=file, theme=_THEME, highlighter=_Words(), soft_wrap=True)


def _print(console: Console, text: str) -> None:
    console.print(text, markup=False, emoji=False, soft_wrap=True)
