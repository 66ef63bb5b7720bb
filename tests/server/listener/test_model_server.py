"""One model server as the listener keeps it: real processes, and looks at their health that a test answers."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from modelport.core.errors import ModelServerDown
from modelport.server.listener.children.child import Child
from modelport.server.listener.children.health import Phase
from modelport.server.listener.children.model_server import ModelServer
from modelport.server.listener.declaration import Server, WhenItEnds
from modelport.server.listener.formats.base import Message
from modelport.server.listener.wire.upstream_connection import Answered
from tests.server.listener.listener_process import runs

pytestmark = pytest.mark.anyio
SLEEP = ("sleep", "600")


class Looks:
    """Answers looks at the health of a server."""

    def __init__(self) -> None:
        self.outcome: Message | ModelServerDown = ModelServerDown("Nothing listens")
        self.paths: list[bytes] = []
        self.closed = False

    def send(self, method: bytes, path: bytes, message: Message, done: Answered) -> Callable[[], None]:
        self.paths.append(path)
        return asyncio.get_running_loop().call_soon(done, self.outcome).cancel

    def close(self) -> None:
        self.closed = True

    def good(self) -> None:
        self.outcome = Message(b"{}")


@asynccontextmanager
async def running(server: Server, looks: Looks) -> AsyncIterator[tuple[ModelServer, list[int]]]:
    codes: list[int] = []
    one = ModelServer(server, looks, dict(os.environ), codes.append, patience_s=60)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one.run)
        yield one, codes
        tasks.cancel_scope.cancel()


async def until(true: Callable[[], object]) -> None:
    with anyio.fail_after(30):
        while not true():
            await anyio.sleep(0.005)


def declared(*command: str, when: WhenItEnds = WhenItEnds.RESTART, **more: float) -> Server:
    return Server("s", "http://127.0.0.1:1", command, when_it_ends=when, probe_period_s=0.02, **more)  # type: ignore[arg-type]


async def test_it_is_starting_until_its_health_is_good_and_is_ended_in_order() -> None:
    looks = Looks()
    async with running(declared(*SLEEP), looks) as (server, codes):
        await until(lambda: server.standing.why == "Nothing listens")
        assert server.standing.phase is Phase.STARTING
        looks.good()
        await until(lambda: server.standing.phase is Phase.READY)
        pid = server.pid
        await server.stop()
        assert looks.closed  # a server may end only when nobody is connected
        assert not runs(pid)
        await until(lambda: server.standing.phase is Phase.DOWN)
    assert set(looks.paths) == {b"/health"}
    assert codes == []


async def test_one_that_somebody_else_runs_is_watched_and_not_ended() -> None:
    looks = Looks()
    async with running(declared(start_timeout_s=0.05), looks) as (server, codes):
        await anyio.sleep(0.2)
        assert server.standing.phase is Phase.STARTING
        looks.good()
        await until(lambda: server.standing.phase is Phase.READY)
        looks.outcome = ModelServerDown("Nothing listens")
        await until(lambda: server.standing.phase is Phase.UNREADY)
        await server.stop()
    assert codes == []


async def test_after_its_end_it_is_started_again_as_another_process() -> None:
    looks = Looks()
    looks.good()
    async with running(declared(*SLEEP), looks) as (server, codes):
        await until(lambda: server.standing.phase is Phase.READY)
        first = server.pid
        os.kill(first, signal.SIGKILL)
        await until(lambda: server.standing.phase is Phase.DOWN)
        assert "was killed by SIGKILL (often: out of memory) and is started again in 0.1 s" in server.standing.why
        assert server.pid == 0
        await until(lambda: server.standing.phase is Phase.READY)
        assert (server.restarts, server.pid != first) == (1, True)
    assert codes == []


@pytest.mark.parametrize("when", WhenItEnds)
async def test_one_that_was_never_ready_is_not_started_again(when: WhenItEnds) -> None:
    async with running(declared("sh", "-c", "exit 4", when=when), Looks()) as (server, codes):
        await until(lambda: codes)
        assert server.standing.phase is Phase.DOWN
    assert codes == [4]


async def test_where_it_ends_well_before_it_was_ready_the_listener_does_not() -> None:
    async with running(declared("true"), Looks()) as (_, codes):
        await until(lambda: codes)
    assert codes == [1]


async def test_its_code_is_the_listeners_where_that_is_to_end_with_it() -> None:
    looks = Looks()
    looks.good()
    async with running(declared("sh", "-c", "sleep 0.2; exit 5", when=WhenItEnds.EXIT), looks) as (_, codes):
        await until(lambda: codes)
    assert codes == [5]


async def test_no_process_remains_where_the_listener_fails() -> None:
    async with running(declared(*SLEEP), Looks()) as (server, _):
        await until(lambda: server.pid)
        pid = server.pid
    assert not runs(pid)


async def test_a_child_runs_in_the_folder_of_its_listener(tmp_path: Path) -> None:
    child = Child(["sh", "-c", "pwd > here"], dict(os.environ), tmp_path)
    assert (await child.run())[0] == 0
    assert (tmp_path / "here").read_text().strip() == str(tmp_path)


async def test_a_child_takes_its_whole_group_with_it(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    child = Child(["sh", "-c", f"sleep 600 & echo $! > {file}; exit 3"], dict(os.environ))
    assert await child.run() == (3, "ended with code 3")
    pid = int(file.read_text())
    await until(lambda: not runs(pid))


async def test_a_child_has_no_input_and_default_signals() -> None:
    script = "import signal, sys; sys.exit(sys.stdin.read() != '' or signal.getsignal(signal.SIGINT) is None)"
    assert (await Child([sys.executable, "-S", "-c", script], dict(os.environ)).run())[0] == 0


async def test_a_signal_to_a_child_that_has_ended_goes_nowhere() -> None:
    child = Child(["true"], dict(os.environ))
    await child.run()
    child.signal(signal.SIGTERM)
    child.kill()
    child.reap()
    assert child.end == (0, "ended with code 0")
