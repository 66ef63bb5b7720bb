"""The outermost layer by itself."""

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from modelport.api.gate import Gate

pytestmark = pytest.mark.anyio


async def test_a_defect_after_the_first_byte_breaks_the_connection_and_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def breaks(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("half way")

    client = httpx.AsyncClient(transport=httpx.ASGITransport(Gate(breaks, lambda: "id-7")), base_url="http://t")
    with pytest.raises(RuntimeError):
        await client.get("/x")
    assert "request id-7 failed: GET /x" in caplog.text


async def test_what_is_no_request_passes_through() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    async def never() -> Message:
        raise AssertionError

    async def ignored(message: Message) -> None: ...

    await Gate(app, lambda: "")({"type": "lifespan"}, never, ignored)
    assert seen == ["lifespan"]
