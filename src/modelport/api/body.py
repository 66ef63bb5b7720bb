"""Request bodies: read while they come, never more than the limit, and only as a JSON object."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request

from modelport.core.errors import Cancelled, InvalidArgument, PayloadTooLarge

MAX_BODY_BYTES = 1024 * 1024


async def read_object(request: Request, limit: int = MAX_BODY_BYTES) -> dict[str, Any]:
    """Return the JSON object in the body; an empty body is an empty object.

    The declared content type is not looked at: many a script forgets it, and nothing but JSON would do.

    Raises:
        InvalidArgument: it is not JSON in UTF-8, or not an object.
        PayloadTooLarge: it is longer than `limit`.
    """
    body = await _read(request, limit)
    if not body.strip():
        return {}
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidArgument(f"The request body is not JSON: {error}", hint="Send a JSON object in UTF-8") from error
    if not isinstance(value, dict):
        raise InvalidArgument(
            f"The request body is a JSON {_name(value)}; it must be an object", hint="Send a JSON object"
        )
    return value


async def _read(request: Request, limit: int) -> bytes:
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared[:20]) > limit:
        raise _too_large(limit)
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                raise _too_large(limit)
    except ClientDisconnect as error:
        raise Cancelled("The client went away while it was sending the request") from error
    return bytes(body)


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"Request payload size exceeds the limit: {limit} bytes.", hint="Send a smaller body")


def _name(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case str():
            return "string"
        case list():
            return "list"
    return "number"
