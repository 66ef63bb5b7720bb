"""Bodies as they come over the wire: in pieces, without an end, without a client."""

from collections.abc import Iterable

import pytest
from starlette.requests import Request
from starlette.types import Message

from modelport.api.body import read_object
from modelport.core.errors import Cancelled, InvalidArgument, PayloadTooLarge

pytestmark = pytest.mark.anyio


def request(messages: Iterable[Message], **headers: str) -> tuple[Request, list[Message]]:
    rest = list(messages)

    async def receive() -> Message:
        return rest.pop(0)

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": raw}, receive), rest


def chunk(body: bytes, *, more: bool) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


async def test_a_body_in_pieces_is_put_together() -> None:
    sent, _ = request([chunk(b'{"a"', more=True), chunk(b": 1}", more=False)])
    assert await read_object(sent) == {"a": 1}


@pytest.mark.parametrize("body", [b"", b"  \n"])
async def test_no_body_is_an_empty_object(body: bytes) -> None:
    assert await read_object(request([chunk(body, more=False)])[0]) == {}


async def test_reading_ends_at_the_limit_whatever_still_comes() -> None:
    sent, rest = request([chunk(b"x" * 60, more=True)] * 1000)
    with pytest.raises(PayloadTooLarge, match="exceeds the limit: 100 bytes"):
        await read_object(sent, limit=100)
    assert len(rest) == 998


async def test_a_declared_length_above_the_limit_is_refused_unread() -> None:
    sent, rest = request([chunk(b"{}", more=False)], content_length="101")
    with pytest.raises(PayloadTooLarge):
        await read_object(sent, limit=100)
    assert len(rest) == 1


async def test_a_client_that_goes_away_cancels() -> None:
    with pytest.raises(Cancelled):
        await read_object(request([chunk(b"{", more=True), {"type": "http.disconnect"}])[0])


@pytest.mark.parametrize(
    ("body", "words"),
    [(b"[1]", "a JSON list"), (b'"a"', "a JSON string"), (b"null", "a JSON null"), (b"1.5", "a JSON number"),
     (b"false", "a JSON boolean"), (b"{]", "not JSON"), (b'{"a":"\\ud800"}', "not JSON")],
)  # fmt: skip
async def test_a_body_that_is_no_object_is_refused(body: bytes, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        await read_object(request([chunk(body, more=False)])[0])
