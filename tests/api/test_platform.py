import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from anyio import Event, create_task_group, get_current_task, sleep, sleep_forever, to_thread
from starlette.types import Message

from modelport.api.platform import LinesResponse
from modelport.control.inspect import Lines
from modelport.core.errors import EngineUnreachable
from modelport.core.replicas import LogLine
from tests.api.served import Served
from tests.api.world import Api, StoredInspector

pytestmark = pytest.mark.anyio

V1 = "/modelport/v1/projects/p/models/iris/versions/v1"


async def test_the_status_has_driver_gateway_and_a_line_for_each_version(api: Api) -> None:
    await api.model()
    await api.version()
    status = await api.ok("GET", "/modelport/v1/status")
    assert status["driver"] == {"name": "fake", "state": "HEALTHY", "version": "2", "message": "", "remedy": ""}
    assert status["gateway"] == {"running": True, "version": "2.8", "digest": "d", "message": ""}
    (line,) = status["versions"]
    assert line["since"].endswith("Z")
    assert {**line, "since": ""} == {
        "name": "projects/p/models/iris/versions/v1",
        "state": "CREATING",
        "since": "",
        "ready": 0,
        "wanted": 1,
        "isDefault": False,
        "cause": "",
    }


async def test_inspect_shows_the_version_its_conditions_and_replicas(api: Api) -> None:
    await api.model()
    await api.version()
    seen = await api.ok("GET", f"{V1}:inspect")
    assert seen["version"]["state"] == "CREATING"
    assert seen["conditions"] == [
        {"type": "Started", "status": "True", "reason": "RUNNING", "message": "", "since": "2026-01-02T03:04:05Z"}
    ]
    assert seen["replicas"] == [
        {
            "name": "r-0",
            "state": "RUNNING",
            "address": "127.0.0.1:9",
            "attempt": 1,
            "healthy": True,
            "startedAt": None,
            "exit": None,
        }
    ]


async def test_logs_come_one_object_a_line(api: Api) -> None:
    await api.model()
    await api.version()
    response = await api.call("GET", f"{V1}:logs?tail=1&follow=false")
    assert response.headers["content-type"] == "application/x-ndjson"
    (line,) = response.text.splitlines()
    assert json.loads(line) == {
        "time": "2026-01-02T03:04:05Z",
        "stream": "stdout",
        "text": "two",
        "replica": "r-0",
        "attempt": 1,
    }


@pytest.mark.parametrize("query", ["tail=-1", "tail=100000", "tail=all", "follow=perhaps", "lines=3"])
async def test_logs_that_cannot_be_are_refused(api: Api, query: str) -> None:
    await api.model()
    await api.version()
    await api.refused(400, "GET", f"{V1}:logs?{query}")


async def test_logs_that_end_with_an_error_say_so_in_the_last_line(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    @asynccontextmanager
    async def broken(*_: object, **__: object) -> AsyncIterator[Lines]:
        async def lines() -> Lines:
            yield "r", LogLine(None, "stdout", "first")
            raise EngineUnreachable("the engine is away")

        yield lines()

    await api.model()
    await api.version()
    monkeypatch.setattr(StoredInspector, "logs", broken)
    response = await api.call("GET", f"{V1}:logs")
    first, last = (json.loads(line) for line in response.text.splitlines())
    assert first["text"] == "first"
    assert last["error"]["status"] == "UNAVAILABLE"


async def test_a_failed_request_is_found_by_its_id(api: Api) -> None:
    found = await api.ok("GET", "/modelport/v1/requests/failed-1")
    assert found == {
        "requestId": "failed-1",
        "time": "2026-01-02T03:04:05Z",
        "method": "",
        "path": "",
        "httpStatus": 503,
        "reason": "QUEUE_TIMEOUT",
        "version": "projects/p/models/iris/versions/v1",
        "replica": "",
        "retries": 0,
        "seconds": {"received": None, "queued": 30, "connected": None, "answered": None, "total": None},
        "endedBy": "",
        "times": 1,
        "versionNow": None,
    }


async def test_a_request_that_is_not_remembered_is_not_found(api: Api) -> None:
    error = await api.refused(404, "GET", "/modelport/v1/requests/other")
    assert error["details"][0]["reason"] == "REQUEST_NOT_FOUND"
    assert "modelport explain REASON" in error["details"][1]["message"]


async def test_a_version_that_is_not_there_has_no_logs(api: Api) -> None:
    await api.refused(404, "GET", f"{V1}:logs")


class Following:
    """Endless lines with a task behind them, as the platform makes them; notes when and how they ended."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.orderly = False

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Lines]:
        async def lines() -> Lines:
            while True:
                yield "r-0", LogLine(None, "stdout", "x")
                await sleep(0.001)

        task = get_current_task().id
        try:
            async with create_task_group() as tasks:
                tasks.start_soon(sleep_forever)
                try:
                    yield lines()
                finally:
                    tasks.cancel_scope.cancel()
        finally:
            self.orderly = get_current_task().id == task
            self.ended.set()


async def test_a_client_that_leaves_ends_the_following_of_logs(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    following = Following()
    monkeypatch.setattr(StoredInspector, "logs", lambda *_, **__: following.opened())
    await api.model()
    await api.version()
    with Served(api) as served:
        async with (
            httpx.AsyncClient() as client,
            client.stream("GET", f"{served.url}{V1}:logs?follow=true") as response,
        ):
            assert response.status_code == 200
            assert await anext(response.aiter_lines())
            assert not following.ended.is_set()
        assert await to_thread.run_sync(following.ended.wait, 10)
    assert following.orderly


async def test_a_client_that_leaves_while_it_is_sent_to_ends_the_lines_in_their_own_task() -> None:
    following, sending = Following(), Event()

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            sending.set()
            await sleep_forever()

    async def receive() -> Message:
        await sending.wait()
        return {"type": "http.disconnect"}

    await LinesResponse(following.opened())({"type": "http", "asgi": {"spec_version": "2.3"}}, receive, send)
    assert following.orderly
