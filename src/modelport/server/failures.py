"""Failures as answers: the one place where an exception becomes an HTTP response."""

from __future__ import annotations

from dataclasses import replace

import orjson

from modelport.core.errors import Error, Internal, InvalidArgument, ResourceExhausted, Status
from modelport.server.exchange import Response

_CALLERS_FAULT = (ValueError, TypeError, KeyError, IndexError)
_DOMAIN = "modelport.server"
_LONGEST_MESSAGE = 2000  # libraries put whole arrays into theirs


class RowFailure(Exception):
    """A failure of a request of several rows that one of them brings about.

    Attributes:
        row: which one, counted from 0 within its request.
        error: what the model raises for this row alone.
    """

    def __init__(self, row: int, error: Exception) -> None:
        super().__init__(row, error)
        self.row = row
        self.error = error


def as_error(error: Exception, *, who: str = "The model", wants: str = "what it was trained on") -> Error:
    """Return what an exception means to a caller; one of the own of `who`ever was called is named with its type."""
    if isinstance(error, Error):
        return error
    text = f"{type(error).__name__}: {_message(error)}"
    if isinstance(error, _CALLERS_FAULT):
        return InvalidArgument(f"{who} refuses the instances: {text}", hint=f"Compare them with {wants}")
    if isinstance(error, MemoryError):
        return ResourceExhausted(
            f"The memory does not suffice for these instances: {text}", hint="Send fewer instances in a request"
        )
    return Internal(f"{who} failed: {text}", hint="See the server's log")


def status_of(error: Exception) -> Status:
    """Return a failure as data, with the row at fault where it is known."""
    if isinstance(error, RowFailure):
        return _at_row(as_error(error.error).status(), error.row)
    return as_error(error).status()


def words_of(status: Status) -> str:
    """Return what a failure says and what helps, for protocols that have one text for both."""
    return writable(f"{status.message}. {status.hint}" if status.hint else status.message)


def response(error: Exception) -> Response:
    """Return the answer in the form of Google's APIs: code, message, status, details."""
    status = status_of(error)
    metadata = {**status.metadata, "hint": status.hint} if status.hint else status.metadata
    details: list[dict[str, object]] = [
        {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": status.reason,
            "domain": _DOMAIN,
            "metadata": {name: writable(value) for name, value in metadata.items()},
        }
    ]
    if status.violations:
        violations = [
            {"field": writable(one.field), "description": writable(one.description)} for one in status.violations
        ]
        details.append({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations})
    body = {
        "error": {
            "code": status.code.http_status,
            "message": writable(status.message),
            "status": status.code.value,
            "details": details,
        }
    }
    return Response(status.code.http_status, orjson.dumps(body))


def writable(text: str) -> str:
    """Return a text that can be written as UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


def _message(error: Exception) -> str:
    try:
        text = str(error)
    except Exception as other:  # the model's own exceptions may fail even at this
        return f"(its text cannot be had: {type(other).__name__})"
    return text if len(text) <= _LONGEST_MESSAGE else f"{text[:_LONGEST_MESSAGE]}…"


def _at_row(status: Status, row: int) -> Status:
    """Return the failure of a row alone, which is then the first, as that of the row in its request."""
    place = f"instances[{row}]"
    if "instances[0]" in status.message:
        message = status.message.replace("instances[0]", place)
    else:
        message = f"{place}: {status.message}"
    violations = tuple(replace(one, field=one.field.replace("instances[0]", place, 1)) for one in status.violations)
    return replace(status, message=message, metadata={**status.metadata, "row": str(row)}, violations=violations)
