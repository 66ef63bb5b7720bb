"""The outermost layer of the API: no changes from web pages, method override, the last word on what went wrong."""

from __future__ import annotations

import logging
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modelport.api.errors import error_response
from modelport.core.errors import BrowserRefused, Code, Error, PayloadTooLarge, Status

log = logging.getLogger("modelport.api")

_SAFE = ("GET", "HEAD", "OPTIONS")
_OVERRIDABLE = ("GET", "DELETE", "PATCH", "PUT", "POST")
MAX_QUERY_BYTES = 64 * 1024


class Gate:
    """Wraps the whole application; knows nothing of routes."""

    def __init__(self, app: ASGIApp, new_id: Callable[[], str]) -> None:
        self._app = app
        self._new_id = new_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; 500 in our shape when the code inside has a defect."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            scope, receive = await _overridden(scope, receive)
            _refuse_web_pages(scope)
            await self._app(scope, receive, sending)
        except Error as error:
            await error_response(error.status())(scope, receive, send)
        except Exception:
            # One of the three gates: a defect must end in an answer and a log entry, not in a dropped connection.
            request_id = self._new_id()
            log.exception("request %s failed: %s %s", request_id, scope["method"], scope["path"])
            if started:
                raise
            status = Status(
                Code.INTERNAL,
                f"modelport failed to answer this request (request id `{request_id}`)",
                "INTERNAL",
                hint="Look for the request id in the log of the control plane",
                metadata={"request_id": request_id},
            )
            await error_response(status)(scope, receive, send)


def _refuse_web_pages(scope: Scope) -> None:
    """Refuse changes that carry `Origin`, as browsers send it and other clients do not.

    Without logins, a page that somebody opens on this machine could otherwise have containers run here.
    """
    changes = scope["method"] not in _SAFE and not scope["path"].endswith(":predict")
    if changes and "origin" in Headers(scope=scope):
        raise BrowserRefused(
            "Changes are not taken from web pages, and this request has an `Origin` header",
            hint="Use the command line, the SDK or curl",
        )


async def _overridden(scope: Scope, receive: Receive) -> tuple[Scope, Receive]:
    """Return the request that a POST with `x-http-method-override` stands for.

    Clients send a GET whose URL would be too long this way, with the query as a form in the body.
    """
    headers = Headers(scope=scope)
    method = headers.get("x-http-method-override", "").upper()
    if scope["method"] != "POST" or method not in _OVERRIDABLE or method == "POST":
        return scope, receive
    scope = {**scope, "method": method}
    if method != "GET" or not headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return scope, receive
    form = bytearray()
    async for chunk in Request(scope, receive).stream():
        form += chunk
        if len(form) > MAX_QUERY_BYTES:
            raise PayloadTooLarge(f"Request payload size exceeds the limit: {MAX_QUERY_BYTES} bytes.")
    query = b"&".join(part for part in (scope["query_string"], bytes(form)) if part)
    return {**scope, "query_string": query}, receive
