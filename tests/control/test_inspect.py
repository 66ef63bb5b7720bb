"""The lines of a version: over all its replicas, followed, and left at any moment."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from modelport.control.inspect import PlatformInspector
from modelport.core.errors import EngineUnreachable, RequestNotFound, VersionNotFound
from modelport.core.names import VersionName
from modelport.core.replicas import LogLine, Replica
from modelport.core.resources import ContainerSpec, Version, VersionSpec
from modelport.core.version_replicas import replica_names
from modelport.gateway.base import RequestError
from modelport.gateway.fake import FakeGateway
from modelport.store.store import Store

pytestmark = pytest.mark.anyio

NAME = VersionName("p", "iris", "v1")
VERSION = Version(NAME, "uid", VersionSpec(ContainerSpec("i")), datetime(2026, 1, 1, tzinfo=UTC), nodes=2)


class Talkative:
    """A driver of which only the logs are asked: lines without end where they are followed."""

    def __init__(self) -> None:
        self.reading = 0

    async def logs(self, name: str, *, tail: int, follow: bool = False) -> AsyncIterator[LogLine]:
        self.reading += 1
        try:
            for number in range(tail):
                yield LogLine(None, "stdout", str(number))
            while follow:
                yield LogLine(None, "stdout", "more")
                await anyio.lowlevel.checkpoint()
        finally:
            self.reading -= 1


class NoFleet:
    def of(self, owner: str) -> dict[str, Replica]:
        return {"an-old-one": None}  # type: ignore[dict-item]


@pytest.fixture
async def inspector(tmp_path: Path) -> AsyncIterator[tuple[PlatformInspector, Talkative]]:
    store, driver = Store(tmp_path / "m.db"), Talkative()
    await store.write(lambda tx: tx.insert(VERSION))
    parts: dict[str, Any] = {"gateway": None, "prober": None, "version": "1", "listen": ""}
    yield PlatformInspector(store=store, driver=driver, fleet=NoFleet(), **parts), driver  # type: ignore[arg-type]
    store.close()


async def test_the_lines_of_all_replicas_are_read_once_and_end(inspector: tuple[PlatformInspector, Talkative]) -> None:
    async with inspector[0].logs(NAME, tail=2, follow=False) as lines:
        seen = [(replica, line.text) async for replica, line in lines]
    assert sorted(seen) == sorted((name, text) for name in (*replica_names(VERSION), "an-old-one") for text in "01")


@pytest.mark.parametrize("taken", [0, 1, 500])
async def test_following_can_be_left_at_any_moment(inspector: tuple[PlatformInspector, Talkative], taken: int) -> None:
    with anyio.fail_after(30):
        async with inspector[0].logs(NAME, tail=1, follow=True) as lines:
            for _ in range(taken):
                await anext(lines)
            await anyio.sleep(0.01)
    assert inspector[1].reading == 0


async def test_following_can_be_cancelled(inspector: tuple[PlatformInspector, Talkative]) -> None:
    with anyio.move_on_after(0.05) as scope:
        async with inspector[0].logs(NAME, tail=1, follow=True) as lines:
            async for _ in lines:
                pass
    assert scope.cancelled_caught


async def test_a_version_that_is_not_there_has_no_lines(inspector: tuple[PlatformInspector, Talkative]) -> None:
    with pytest.raises(VersionNotFound):
        async with inspector[0].logs(VersionName("p", "iris", "v2"), tail=1, follow=False):
            pass


async def test_a_driver_that_cannot_read_on_ends_the_lines_with_its_error(
    inspector: tuple[PlatformInspector, Talkative], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def logs(name: str, *, tail: int, follow: bool = False) -> AsyncIterator[LogLine]:
        yield LogLine(None, "stdout", "first")
        raise EngineUnreachable("the engine is away")

    monkeypatch.setattr(inspector[1], "logs", logs)
    seen = []
    async with inspector[0].logs(NAME, tail=1, follow=False) as lines:
        with pytest.raises(EngineUnreachable):
            async for _, line in lines:
                seen.append(line.text)
    assert seen == ["first"] * 3


async def test_a_failed_request_comes_with_what_has_become_of_its_version(tmp_path: Path) -> None:
    store, gateway = Store(tmp_path / "m.db"), FakeGateway()
    await store.write(lambda tx: tx.insert(VERSION))
    parts: dict[str, Any] = {"driver": None, "fleet": None, "prober": None, "version": "1", "listen": ""}
    inspector = PlatformInspector(store=store, gateway=gateway, **parts)
    when = datetime(2026, 1, 1, tzinfo=UTC)
    for version in (f"{NAME}", "projects/p/models/iris/versions/gone", ""):
        gateway.fail(RequestError(when, version.rpartition("/")[2] or "api", 503, version=version))
    gateway.fail(RequestError(when, "v1", 429, "QUEUE_FULL", version=str(NAME)))
    async with anyio.create_task_group() as tasks:
        await tasks.start(lambda *, task_status: gateway.run(task_status=task_status))
        found = await inspector.request("v1")
        assert (found.error.reason, found.times) == ("QUEUE_FULL", 2)
        assert found.version is not None
        assert found.version.name == NAME
        assert (await inspector.request("gone")).version is None
        assert (await inspector.request("api")).version is None
        with pytest.raises(RequestNotFound):
            await inspector.request("other")
        tasks.cancel_scope.cancel()
    store.close()
