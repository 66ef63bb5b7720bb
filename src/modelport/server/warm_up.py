"""The warm-up: a real request with rows that the model names itself, answered before the server counts as healthy."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Mapping
from typing import Any

import orjson

from modelport.core.errors import Error, ModelCannotBeLoaded
from modelport.server.exchange import Handler, Request, Response


async def warm_up(handler: Handler, rows: Any) -> float:
    """Have the handler of the predict route answer a request with these rows; return the seconds that it took.

    Raises:
        ModelCannotBeLoaded: it does not answer with predictions.
    """
    body = orjson.dumps({"instances": rows}, default=_plain, option=orjson.OPT_SERIALIZE_NUMPY)
    reply = _Answer()
    before = time.perf_counter()
    try:
        handler(Request(b"POST", b"/", body=body, received=before), reply)
    except Error as error:
        raise _failed(error.message) from error
    response = await reply.response
    if response.status != 200:
        raise _failed(_message(response.body))
    return time.perf_counter() - before


class _Answer:
    """A reply that keeps what it is given."""

    def __init__(self) -> None:
        self.closed = False
        self.response: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._chunks: list[bytes] = []

    def send(self, response: Response) -> None:
        self.response.set_result(response)

    def start(self, content_type: bytes, headers: Mapping[bytes, bytes]) -> None:
        self._chunks.clear()

    async def write(self, chunk: bytes) -> None:
        self._chunks.append(chunk)

    def end(self) -> None:
        self.response.set_result(Response(200, b"".join(self._chunks)))

    def abort(self) -> None:
        self.response.set_result(Response(500, b"".join(self._chunks)))


def _plain(value: Any) -> Any:
    """Return what stands for a value in JSON: bytes as the platform writes them, numbers of numpy as numbers."""
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError


def _message(body: bytes) -> str:
    try:
        return str(orjson.loads(body)["error"]["message"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return body[:500].decode(errors="replace")


def _failed(message: str) -> ModelCannotBeLoaded:
    return ModelCannotBeLoaded(
        f"The model cannot predict its own example: {message}",
        hint="Correct the example, or what predicts it; the server becomes healthy only when it works",
    )
