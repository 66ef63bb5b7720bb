"""The one place that turns errors into HTTP responses: Google's envelope, whatever went wrong."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import orjson
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from modelport.api.ml_v1.absent import absent
from modelport.core.errors import Code, Error, InvalidArgument, Status, Violation, finding_page

DOMAIN = "modelport"
_RPC = "type.googleapis.com/google.rpc"


def details(status: Status) -> list[dict[str, Any]]:
    """Return the machine-readable part: reason and metadata, field violations, and the hint as a localized message."""
    info: dict[str, Any] = {"@type": f"{_RPC}.ErrorInfo", "reason": status.reason, "domain": DOMAIN}
    if status.metadata:
        info["metadata"] = status.metadata
    found = [info]
    if status.violations:
        violations = [{"field": v.field, "description": v.description} for v in status.violations]
        found.append({"@type": f"{_RPC}.BadRequest", "fieldViolations": violations})
    if status.debug:
        found.append(
            {"@type": f"{_RPC}.DebugInfo", "stackEntries": list(status.debug), "detail": "Last lines of the log"}
        )
    if status.finding:
        link = {"description": f"What {status.finding} means", "url": finding_page(status.finding)}
        found.append({"@type": f"{_RPC}.Help", "links": [link]})
    if status.hint:
        found.append({"@type": f"{_RPC}.LocalizedMessage", "locale": "en", "message": status.hint})
    return found


def envelope(status: Status, http_status: int | None = None) -> dict[str, Any]:
    """Return the JSON body of an error response."""
    return {
        "error": {
            "code": http_status or status.code.http_status,
            "message": status.message,
            "status": status.code.name,
            "details": details(status),
        }
    }


def error_response(status: Status, http_status: int | None = None, headers: dict[str, str] | None = None) -> Response:
    """Return the response for an error."""
    return Response(
        orjson.dumps(envelope(status, http_status), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE),
        status_code=http_status or status.code.http_status,
        headers=headers,
        media_type="application/json",
    )


async def on_error(_request: Request, error: Exception) -> Response:
    """Answer an error of ours."""
    assert isinstance(error, Error)
    headers = {"Retry-After": "1"} if error.code is Code.UNAVAILABLE else None
    return error_response(error.status(), headers=headers)


async def on_invalid(_request: Request, error: Exception) -> Response:
    """Answer what FastAPI found wrong with path or query parameters."""
    assert isinstance(error, RequestValidationError)
    violations = tuple(
        Violation(str(problem["loc"][-1]), f"`{str(problem['input'])[:80]}` does not fit: {problem['msg']}.")
        for problem in error.errors()
    )
    return error_response(InvalidArgument.listing(violations).status())


def on_http(routes: Sequence[BaseRoute]) -> Callable[[Request, Exception], Coroutine[Any, Any, Response]]:
    """Return the handler for what the router refuses: no such path, or no such method on it."""

    async def answer(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        method, path = request.method, request.url.path
        if error.status_code == 404 or (error.status_code == 405 and ":" in path.rpartition("/")[2]):
            return error_response(absent(method, path).status())
        if error.status_code != 405:
            # Nothing of ours raises these; the framework may, for what it cannot read.
            status = Status(Code.INVALID_ARGUMENT, str(error.detail), InvalidArgument.reason)
            return error_response(status, error.status_code)
        allowed = ", ".join(_methods(routes, path))
        status = Status(
            Code.UNIMPLEMENTED, f"{method} is not a method of `{path[:300]}`; {allowed} are", "METHOD_NOT_ALLOWED"
        )
        return error_response(status, 405, headers={"Allow": allowed})

    return answer


def _methods(routes: Sequence[BaseRoute], path: str) -> list[str]:
    found = (route.methods or () for route in routes if isinstance(route, Route) and route.path_regex.match(path))
    return sorted({method for methods in found for method in methods})
