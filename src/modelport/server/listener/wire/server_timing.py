"""The `server-timing` header of a listener's answers: what each step took, in milliseconds. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from modelport.server.exchange import Response

NAME = b"server-timing"


def written(spans: Iterable[tuple[str, float]]) -> bytes:
    """Return the value of the header for names of steps and the seconds they took."""
    return ", ".join([f"{name};dur={seconds * 1e3:.3f}" for name, seconds in spans]).encode()


def timed(response: Response, spans: Iterable[tuple[str, float]]) -> Response:
    """Return the response with the header; what it says already stays behind."""
    value, before = written(spans), response.headers.get(NAME)
    parts = [part for part in (value, before) if part]
    if parts:
        response.headers = {**response.headers, NAME: b", ".join(parts)}
    return response
