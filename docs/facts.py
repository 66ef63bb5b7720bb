"""What the code knows of itself: its commands, errors, answers and methods, for the reference and for its tests."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from typer.main import get_command

from modelport.api.app import create_app
from modelport.build import build
from modelport.cli.main import app as command_line
from modelport.core.errors import Error
from modelport.gateway import answers
from modelport.settings import Settings


def commands() -> dict[str, Any]:
    """Return every command that does something, by its full name."""

    def walk(name: str, command: Any) -> Iterator[tuple[str, Any]]:
        children = getattr(command, "commands", None)
        if children is None:
            yield name, command
        for child, inner in (children or {}).items():
            yield from walk(f"{name} {child}", inner)

    return dict(walk("modelport", get_command(command_line)))


def command_options() -> dict[str, set[str]]:
    """Return the options of every command by its full name."""
    return {
        name: {text for parameter in command.params for text in parameter.opts if text.startswith("-")}
        | {"--help", "-h"}
        for name, command in commands().items()
    }


def error_reasons() -> set[str]:
    """Return every reason of the core and of the gateway."""
    of_gateway = {reason for answer in gateway_answers() for reason in _reasons(answer)}
    return {kind.reason for kind in kinds(Error)} | of_gateway


def api_methods() -> set[str]:
    """Return the id of every method of the API."""
    return {operation["operationId"] for path in openapi_document()["paths"].values() for operation in path.values()}


def openapi_document() -> dict[str, Any]:
    """Return the OpenAPI description of the whole API."""
    with tempfile.TemporaryDirectory() as folder:
        parts = build(Settings(data_dir=Path(folder), driver="fake"), "reference")
        try:
            return create_app(parts.services, lambda: "").openapi()
        finally:
            parts.store.close()


def kinds(root: type[Error]) -> Iterator[type[Error]]:
    """Yield a class of errors and all its subclasses."""
    yield root
    for kind in root.__subclasses__():
        yield from kinds(kind)


def gateway_answers() -> Iterator[answers.Answer]:
    """Yield every answer that the gateway gives by itself."""
    for value in vars(answers).values():
        if isinstance(value, answers.Answer):
            yield value
        elif isinstance(value, tuple):
            yield from (one for one in value if isinstance(one, answers.Answer))
    yield answers.not_taken(30_000)


def gateway_rows() -> list[Sequence[str]]:
    """Return a row for each reason; the same answer may come with several statuses."""
    rows: dict[str, list[str]] = {}
    for reason, code, http_status, message in (row for answer in gateway_answers() for row in _answer_rows(answer)):
        row = rows.setdefault(reason, [reason, code, "", message])
        row[2] += f", {http_status}" if row[2] else http_status
    return list(rows.values())


def _answer_rows(answer: answers.Answer) -> Iterator[Sequence[str]]:
    message = answer.message
    for sample, word in (
        (answers.VERSION, "VERSION"),
        (answers.QUEUE_LIMIT, "LIMIT"),
        (answers.TIMEOUT_MS, "LIMIT"),
        (answers.REQUEST_BYTES, "LIMIT"),
        (answers.RESPONSE_BYTES, "LIMIT"),
    ):
        message = message.replace(sample, word)
    for position, reason in enumerate(_reasons(answer)):
        yield f"`{reason}`", f"`{answer.status}`", str(answer.http_status), _chosen(message, position)


def _reasons(answer: answers.Answer) -> list[str]:
    """Return the reasons among which HAProxy chooses: most answers have one."""
    return sorted({_chosen(answer.reason, position) for position in (0, 1)}, key=answer.reason.index)


def _chosen(text: str, position: int) -> str:
    """Return the text with what HAProxy chooses, `%[...iif(A,B)]`, replaced by the one or the other."""
    before, found, rest = text.partition("%[")
    if not found:
        return text
    # A sample ends at the first bracket that nothing has opened.
    inside, _, after = rest.partition(")]")
    alternatives = inside.rpartition("iif(")[2].split(",")
    return before + alternatives[position] + _chosen(after, position)
