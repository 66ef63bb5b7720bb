import pytest

from modelport.server.listener.service import Ending

pytestmark = pytest.mark.anyio


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_the_same_signal_by_two_ways_is_one_order_and_a_later_one_another() -> None:
    clock = Clock()
    ending = Ending(clock)
    ending.signalled()
    clock.now += 0.01
    ending.signalled()
    assert (ending.told.is_set(), ending.hurried.is_set()) == (True, False)
    clock.now += 1
    ending.signalled()
    assert ending.hurried.is_set()


async def test_the_end_of_a_server_counts_only_where_the_listener_is_not_ending() -> None:
    ending = Ending(Clock())
    ending.over(3)
    ending.over(4)
    assert (ending.code, ending.told.is_set()) == (3, True)
    ending = Ending(Clock())
    ending.signalled()
    ending.over(3)
    assert ending.code == 0
