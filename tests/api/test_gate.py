"""The outermost layer by itself."""

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from modelport.api.gate import Gate
from tests.api.world import Api

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


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/projects/p/models", 403),
        ("PATCH", "/v1/projects/p/models/m?updateMask=description", 403),
        ("DELETE", "/v1/projects/p/models/m", 403),
        ("GET", "/v1/projects/p/models", 200),
        ("POST", "/v1/projects/p/models/m:predict", 404),
    ],
)
async def test_a_web_page_changes_nothing(api: Api, method: str, path: str, status: int) -> None:
    answer = await api.call(method, path, headers={"origin": "https://somewhere.example"}, content=b'{"name": "m"}')
    assert answer.status_code == status
    if status == 403:
        assert answer.json()["error"]["details"][0]["reason"] == "BROWSER_REFUSED"
        assert (await api.call("GET", "/v1/projects/p/models")).json() == {}
