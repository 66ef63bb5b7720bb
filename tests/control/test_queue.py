import anyio
import pytest

from modelport.control.queue import WorkQueue

pytestmark = pytest.mark.anyio


async def test_a_key_is_never_handled_twice_at_once_and_never_lost() -> None:
    queue = WorkQueue()
    running, most, count = 0, 0, 0

    async def handle(key: str) -> None:
        nonlocal running, most, count
        running += 1
        most = max(most, running)
        count += 1
        await anyio.sleep(0.02)
        running -= 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(queue.run, handle)
        queue.add("a")
        await anyio.sleep(0.01)
        for _ in range(5):
            queue.add("a")  # while its worker runs: once more, not five times
        await anyio.sleep(0.1)
        tasks.cancel_scope.cancel()
    assert most == 1
    assert count == 2


async def test_other_keys_do_not_wait_for_a_slow_one() -> None:
    queue = WorkQueue()
    handled: list[str] = []

    async def handle(key: str) -> None:
        if key == "slow":
            await anyio.sleep_forever()
        handled.append(key)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(queue.run, handle)
        for key in ("slow", "b", "c"):
            queue.add(key)
        with anyio.fail_after(20):
            while len(handled) < 2:
                await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()


async def test_the_earliest_request_counts() -> None:
    queue = WorkQueue()
    times: list[float] = []

    async def handle(key: str) -> None:
        times.append(anyio.current_time())

    async with anyio.create_task_group() as tasks:
        start = anyio.current_time()
        tasks.start_soon(queue.run, handle)
        queue.add("a", after_s=30)
        queue.add("a", after_s=0.05)
        queue.add("a", after_s=20)
        await anyio.sleep(0.2)
        tasks.cancel_scope.cancel()
    assert len(times) == 1
    assert times[0] - start >= 0.05
