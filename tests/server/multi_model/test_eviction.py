from hypothesis import given
from hypothesis import strategies as st

from modelport.server.multi_model.eviction import Held, to_evict

HELD = st.lists(
    st.builds(
        Held,
        name=st.uuids().map(str),
        size=st.integers(0, 50),
        last_used=st.floats(0, 100, allow_nan=False),
        in_use=st.booleans(),
    ),
    max_size=12,
)


def test_the_least_recently_used_goes_first_and_no_more_than_must() -> None:
    held = [Held("old", 10, 1, False), Held("new", 10, 9, False), Held("middle", 10, 5, False)]
    assert to_evict(held, wanted=5, budget=35) == ()
    assert to_evict(held, wanted=10, budget=35) == ("old",)
    assert to_evict(held, wanted=20, budget=35) == ("old", "middle")


def test_one_in_use_is_waited_for() -> None:
    held = [Held("busy", 10, 1, True), Held("idle", 10, 9, False)]
    assert to_evict(held, wanted=10, budget=20) == ("idle",)
    assert to_evict(held, wanted=20, budget=20) is None


def test_a_model_larger_than_the_budget_is_let_in_alone() -> None:
    assert to_evict([Held("idle", 10, 9, False)], wanted=100, budget=20) == ("idle",)
    assert to_evict([], wanted=100, budget=20) == ()


@given(HELD, st.integers(0, 100), st.integers(0, 200))
def test_what_is_left_fits_and_nothing_in_use_is_evicted(held: list[Held], wanted: int, budget: int) -> None:
    names = to_evict(held, wanted, budget)
    busy = [one for one in held if one.in_use]
    if names is None:
        assert busy
        assert sum(one.size for one in busy) + wanted > budget
        return
    left = [one for one in held if one.name not in names]
    assert all(one in left for one in busy)
    assert sum(one.size for one in left) + wanted <= budget or not left
    evicted = [one for one in held if one.name in names]
    idle = [one for one in left if not one.in_use]
    assert all(gone.last_used <= kept.last_used for gone in evicted for kept in idle)
