from collections import deque
from types import SimpleNamespace

import numpy as np
import pytest

from modelport.server.batch_plan import Crowd, gathered, hold_s, likeness


def waiting(*jobs: tuple[int, str]) -> deque:
    return deque(SimpleNamespace(rows=rows, likeness=kind) for rows, kind in jobs)


def shape(jobs) -> list[tuple[int, str]]:
    return [(job.rows, job.likeness) for job in jobs]


def test_alike_requests_go_together_up_to_the_limit():
    queue = waiting((2, "a"), (2, "a"), (2, "a"))
    assert shape(gathered(queue, 4)) == [(2, "a"), (2, "a")]
    assert shape(queue) == [(2, "a")]


def test_alike_requests_pass_unlike_ones_that_keep_their_order():
    queue = waiting((1, "a"), (1, "b"), (1, "a"), (1, "c"), (1, "a"))
    assert shape(gathered(queue, 8)) == [(1, "a")] * 3
    assert shape(queue) == [(1, "b"), (1, "c")]


def test_a_request_too_large_for_the_rest_of_the_batch_is_passed():
    queue = waiting((3, "a"), (2, "a"), (1, "a"))
    assert shape(gathered(queue, 4)) == [(3, "a"), (1, "a")]
    assert shape(queue) == [(2, "a")]


def test_no_more_than_a_bounded_number_of_requests_is_looked_at():
    queue = waiting((1, "a"), *[(1, "b")] * 100, (1, "a"))
    assert shape(gathered(queue, 8)) == [(1, "a")]
    assert len(queue) == 101


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.zeros((1, 2)), np.zeros((5, 2))),
        ([{"a": 1, "b": "x"}], [{"a": 2, "b": "y"}, {"a": 3, "b": ""}]),
        (["text"], ["other", "texts"]),
        ([[1, [2.5, 3.5]]], [[7, [0.5, 1.5]]]),
        ({"a": np.zeros((1, 3)), "b": ["x"]}, {"b": ["y", "z"], "a": np.zeros((2, 3))}),
    ],
)
def test_rows_of_one_structure_are_alike(one, other):
    assert likeness(one, {}) == likeness(other, {})
    assert hash(likeness(one, {})) == hash(likeness(other, {}))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.zeros((1, 2)), np.zeros((1, 3))),
        (np.zeros((1, 2)), np.zeros((1, 2), np.int64)),
        (np.zeros((1, 2)), [[0.0, 0.0]]),
        ([{"a": 1}], [{"a": 1.5}]),
        ([{"a": 1}], [{"a": None}]),
        ([{"a": 1}], [{"b": 1}]),
        ([{"a": 1, "b": 2}], [{"b": 2, "a": 1}]),
        ([{"a": 1}], [{"a": 1}, {"a": 1.5}]),
        ([[1, "x"]], [[1.5, "x"]]),
        ([{"a": [1, 2]}], [{"a": [1, 2, 3]}]),
        ([{"a": [1, 2]}], [{"a": [1, 2.5]}]),
        ({"a": np.zeros((1, 3))}, {"a": np.zeros((1, 4))}),
        ({"a": [1]}, {"b": [1]}),
    ],
)
def test_rows_whose_joining_could_change_them_are_not_alike(one, other):
    assert likeness(one, {}) != likeness(other, {})


def test_parameters_tell_calls_apart():
    rows = np.zeros((1, 2))
    assert likeness(rows, {"a": 1, "b": 2}) == likeness(rows, {"b": 2, "a": 1})
    assert likeness(rows, {"a": 1}) != likeness(rows, {"a": True})
    assert likeness(rows, {"a": 1}) != likeness(rows, {})


def hold(**changes: float) -> float:
    return hold_s(
        **({"expected": 4.0, "requests": 1, "first_queued": 10.0, "now": 10.001, "max_delay_s": 0.005} | changes)
    )


def test_a_call_waits_for_the_rest_of_the_delay_where_company_is_missing():
    assert hold() == pytest.approx(0.004)


@pytest.mark.parametrize("changes", [{"max_delay_s": 0.0}, {"requests": 4}, {"expected": 1.0}, {"now": 10.006}])
def test_a_call_does_not_wait_without_need(changes):
    assert hold(**changes) == 0


def test_a_crowd_is_expected_after_calls_with_company_and_forgotten_soon():
    crowd = Crowd()
    assert crowd.expected(0.0) == 1
    for _ in range(20):
        crowd.saw(8, 1.0)
    assert crowd.expected(1.01) == pytest.approx(8, abs=0.1)
    assert crowd.expected(1.2) == 1
    crowd.saw(1, 1.02)
    assert crowd.expected(1.03) == 1
