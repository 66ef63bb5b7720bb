"""Answers to what cannot be handled as a request at all: broken, too large, or too slow. The connection ends with them.

Their HTTP status says more than the code of the error, for which Google's APIs have one word only.
"""

from __future__ import annotations

import orjson

from modelport.core.errors import DeadlineExceeded, Error, InvalidArgument, PayloadTooLarge, ResourceExhausted
from modelport.server import failures
from modelport.server.exchange import Response


def malformed(what: str) -> Response:
    """Return the answer to bytes that are not HTTP/1.1."""
    return _answer(400, InvalidArgument(f"The request is not HTTP/1.1: {what}"))


def body_too_large(limit: int, declared: int | None = None) -> Response:
    """Return the answer to a body above the limit, by its declared length or by what has come of it."""
    size = "is longer than" if declared is None else f"has {declared} bytes, which is more than"
    hint = "Send fewer instances in a request, or raise --max-body-bytes"
    return _answer(413, PayloadTooLarge(f"The body {size} the limit of {limit} bytes", hint=hint, limit=str(limit)))


def head_too_large(limit: int) -> Response:
    """Return the answer to a request line and headers above the limit."""
    hint = "Send instances in the body, not in the URL or in headers"
    return _answer(431, InvalidArgument(f"The headers are longer than the limit of {limit} bytes", hint=hint))


def too_slow(part: str, timeout_s: float) -> Response:
    """Return the answer to a caller who stops in the middle of `part`, the head or the body."""
    hint = "Send the request without pauses, or raise --read-timeout-s"
    return _answer(408, DeadlineExceeded(f"The {part} of the request did not come within {timeout_s:g} s", hint=hint))


def too_many_ahead(limit: int) -> Response:
    """Return the answer to more requests than a caller may send before the first of them is answered."""
    hint = "Read the answers before sending more requests on a connection"
    return _answer(429, ResourceExhausted(f"More than {limit} requests came before the first was answered", hint=hint))


def _answer(status: int, error: Error) -> Response:
    document = orjson.loads(failures.response(error).body)
    document["error"]["code"] = status
    return Response(status, orjson.dumps(document))
