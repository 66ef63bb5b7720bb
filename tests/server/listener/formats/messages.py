"""What one side writes as the other side gets it, and whether rows are still what they were."""

from __future__ import annotations

from typing import Any

import numpy as np

from modelport.server.exchange import Request, Response
from modelport.server.listener.declaration import Model
from modelport.server.listener.formats.base import Call, Message
from modelport.server.listener.formats.json_body import values_in
from modelport.server.listener.formats.known import format_named
from modelport.server.model import Batch, take


def model(format: str = "oip", **fields: Any) -> Model:
    return Model("m", "server", "/predict", format, **fields)


def request(body: bytes, content_type: bytes = b"application/json", **headers: bytes) -> Request:
    named = [(name.replace("_", "-").encode(), value) for name, value in headers.items()]
    return Request(b"POST", b"/predict", headers=[(b"Content-Type", content_type), *named], body=body)


def received(message: Message) -> Request:
    """Return what a model server, or the next listener, gets."""
    headers = [(b"content-type", message.content_type), *message.headers.items()]
    return Request(b"POST", b"/predict", headers=headers, body=message.body)


def answer(response: Response) -> Message:
    """Return what a listener gets that called another."""
    return Message(response.body, response.content_type, response.headers, response.status)


def call_there_and_back(format: str, batch: Batch, declared: Model | None = None) -> Batch:
    one = format_named(format)
    return one.read_call(received(one.write_call(Call(batch), declared or model(format)))).batch


def answer_there_and_back(format: str, batch: Batch, *, binary: bool = False, declared: Model | None = None) -> Batch:
    one = format_named(format)
    response = one.write_answer(batch, Call([], binary=binary), "m")
    assert response.status == 200
    return one.read_answer(answer(response), declared or model(format))


def converted(batch: Batch, format: str) -> Batch:
    """Return the answer to the rows, by way of a model server of this format that answers what it is asked."""
    one = format_named(format)
    if one.row_by_row:
        given: list[Any] = []
        for row in range(len(values_in(batch))):
            given += _echoed(take(batch, row, row + 1), format)
        return given
    return _echoed(batch, format)


def _echoed(batch: Batch, format: str) -> Any:
    one = format_named(format)
    server = format_named(format)
    asked = server.read_call(received(one.write_call(Call(batch), model(format))))
    return one.read_answer(answer(server.write_answer(asked.batch, asked, "m")), model(format))


def plain(batch: Batch) -> list[Any]:
    """Return rows as Python has them."""
    return [_plain(row) for row in values_in(batch)]


def _plain(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain(value.tolist())
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, float) and value != value:
        return None  # the missing number, which is the same as itself here
    return value
