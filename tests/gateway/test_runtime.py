"""The client of the admin socket against small servers: lines, bounds, silence."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketStream
from hypothesis import given
from hypothesis import strategies as st

from modelport.core.errors import GatewayRejected, GatewayUnavailable
from modelport.gateway.runtime import AdminSocket, lines


@pytest.fixture
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="gw-") as directory:
        yield Path(directory) / "admin.sock"


@asynccontextmanager
async def answering(path: Path, answer: Callable[[SocketStream], Awaitable[None]]) -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks, await anyio.create_unix_listener(path) as listener:
        tasks.start_soon(listener.serve, answer)
        yield
        tasks.cancel_scope.cancel()


@given(st.lists(st.text("abc ", min_size=1, max_size=30), max_size=40))
def test_lines_keep_every_command_in_order(commands: list[str]) -> None:
    batches = list(lines(commands, longest=64))
    assert [command for line in batches for command in line.split(";")] == commands
    assert all(len(line) <= 64 for line in batches)


@pytest.mark.parametrize("command", ["a\nb", "a;b", "a\\ b", "a'b", 'a"b', "a <<", "a\x00b", "ä", "x" * 20_000])
@pytest.mark.anyio
async def test_a_line_that_could_be_two_commands_is_never_sent(path: Path, command: str) -> None:
    async def receive(stream: SocketStream) -> None:
        pytest.fail("something was sent")

    async with answering(path, receive):
        with pytest.raises(GatewayRejected):
            await AdminSocket(path).ask(command)
        with pytest.raises(GatewayRejected):
            await AdminSocket(path).tell([command])


@pytest.mark.anyio
async def test_what_was_said_to_all_commands_comes_back(path: Path) -> None:
    async def echo(stream: SocketStream) -> None:
        async with stream:
            await stream.send(b"\n" + await stream.receive() + b"\n")

    async with answering(path, echo):
        assert await AdminSocket(path).tell(["a", "b"]) == "a;b"
        assert await AdminSocket(path).tell([]) == ""


@pytest.mark.anyio
async def test_nobody_there_is_unavailable(path: Path) -> None:
    with pytest.raises(GatewayUnavailable, match="FileNotFoundError"):
        await AdminSocket(path).ask("show info")


@pytest.mark.anyio
async def test_silence_is_unavailable(path: Path) -> None:
    async def say_nothing(stream: SocketStream) -> None:
        await anyio.sleep_forever()

    async with answering(path, say_nothing):
        with pytest.raises(GatewayUnavailable, match="TimeoutError"):
            await AdminSocket(path, timeout_s=0.05).ask("show info")


@pytest.mark.anyio
async def test_an_endless_answer_is_cut_off(path: Path) -> None:
    async def rave(stream: SocketStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(b"x" * 1001)

    async with answering(path, rave):
        with pytest.raises(GatewayRejected, match="more than 1000 bytes"):
            await AdminSocket(path, max_answer=1000).ask("show info")
        assert len(await AdminSocket(path, max_answer=1001).ask("show info")) == 1001
