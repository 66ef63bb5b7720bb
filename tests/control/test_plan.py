from dataclasses import replace

import pytest

from modelport.control.plan import Plan, Rules, Seen, Start, plan
from modelport.core.replicas import Exit, ReplicaState
from modelport.core.resources import Goal, VersionState
from tests.control.worlds import NOW, ago, healthy, replica, replica_name_of, silent, version

RULES = Rules()
READY = VersionState.READY
CREATING = VersionState.CREATING


def seen(*replicas, health=None, in_flight=None, leaving=None) -> Seen:
    return Seen(NOW, {r.name: r for r in replicas}, health or {}, in_flight or {}, leaving or {})


def test_missing_replicas_are_started() -> None:
    v = version(nodes=2, state=READY)
    assert plan(v, seen(replica(v, 0)), RULES).starts == (Start(1, 1),)


def test_a_replica_that_was_made_and_not_started_is_completed() -> None:
    v = version(state=READY)
    made = replace(replica(v, attempt=3), state=ReplicaState.STARTING)
    assert plan(v, seen(made), RULES).starts == (Start(0, 3),)


def test_a_running_replica_is_left_alone() -> None:
    v = version(state=READY)
    r = replica(v)
    assert plan(v, seen(r, health={r.name: healthy()}), RULES) == Plan()


def test_a_replica_that_died_once_during_create_is_started_again_at_once() -> None:
    v = version()
    assert plan(v, seen(replica(v, end=Exit(1, finished_at=NOW))), RULES).starts == (Start(0, 2),)


def test_a_second_death_during_create_is_conclusive() -> None:
    v = version()
    verdict = plan(v, seen(replica(v, attempt=2, end=Exit(3, finished_at=NOW))), RULES).verdict
    assert verdict is not None
    assert verdict.phase == "start"
    assert verdict.reason == "the container was started 2 times and exited with code 3"


def test_a_ready_version_is_never_given_up() -> None:
    v = version(state=READY)
    dead = replica(v, attempt=9, end=Exit(3, finished_at=ago(100)), started=101)
    result = plan(v, seen(dead), RULES)
    assert result.verdict is None
    assert result.starts == (Start(0, 10),)


@pytest.mark.parametrize(
    ("attempt", "ran_s", "died_ago_s", "pause_s"),
    [
        (1, 1, 0, 0),  # the first death: at once
        (2, 1, 0, 1),
        (3, 1, 0, 2),
        (3, 1, 1.5, 0.5),
        (9, 1, 0, 60),  # at most a minute
        (9, 601, 0, 0),  # it had run steadily: at once
    ],
)
def test_repeated_deaths_are_started_ever_later(attempt: int, ran_s: float, died_ago_s: float, pause_s: float) -> None:
    v = version(state=READY)
    dead = replica(v, attempt=attempt, end=Exit(1, finished_at=ago(died_ago_s)), started=ran_s + died_ago_s)
    result = plan(v, seen(dead), RULES)
    if pause_s == 0:
        assert result.starts == (Start(0, attempt + 1),)
    else:
        assert not result.starts
        assert result.look_again_s == pytest.approx(pause_s)


def test_a_silent_replica_is_restarted_after_the_liveness_budget() -> None:
    v = version()
    r = replica(v)
    assert plan(v, seen(r, health={r.name: silent(39.9)}), RULES).starts == ()
    assert plan(v, seen(r, health={r.name: silent(40)}), RULES).starts == (Start(0, 2),)


def test_probes_of_an_earlier_attempt_do_not_restart_the_next() -> None:
    v = version()
    r = replica(v, attempt=2)
    assert plan(v, seen(r, health={r.name: silent(400, attempt=1)}), RULES).starts == ()


def test_never_listening_twice_is_conclusive() -> None:
    v = version()
    r = replica(v, attempt=2)
    verdict = plan(v, seen(r, health={r.name: silent(40, attempt=2)}), RULES).verdict
    assert verdict is not None
    assert verdict.phase == "listen"
    assert "accepted no connection for 40 s (connection refused)" in verdict.reason


def test_the_deadline_runs_from_the_copied_artifacts() -> None:
    in_time = version(copied=299)
    r = replica(in_time)
    assert plan(in_time, seen(r, health={r.name: silent(1)}), RULES).look_again_s == pytest.approx(1)
    late = version(copied=300)
    verdict = plan(late, seen(r, health={r.name: silent(1)}), RULES).verdict
    assert verdict is not None
    assert "not healthy within 300 s; last probe: GET http://127.0.0.1:9000/health" in verdict.reason


def test_a_replica_nobody_wants_stops_when_its_requests_have_ended() -> None:
    v = version(nodes=1, state=READY)
    keep, surplus = replica(v, 0), replica(v, 1)
    busy = plan(v, seen(keep, surplus, in_flight={surplus.name: 1}, leaving={surplus.name: NOW}), RULES)
    assert busy.stops == ()
    assert busy.look_again_s is not None
    assert plan(v, seen(keep, surplus), RULES).stops == (surplus.name,)


def test_a_replica_that_drains_too_long_is_stopped() -> None:
    v = version(nodes=0 + 1, state=READY)
    keep, surplus = replica(v, 0), replica(v, 1)
    late = seen(keep, surplus, in_flight={surplus.name: 1}, leaving={surplus.name: ago(60)})
    assert plan(v, late, RULES).stops == (surplus.name,)


@pytest.mark.parametrize(
    "unwanted",
    [
        replace(version(state=READY), goal=Goal.DELETE),
        version(state=VersionState.FAILED),
        replace(version(), cancelled=True),
    ],
)
def test_replicas_of_an_unwanted_version_all_stop_and_none_start(unwanted) -> None:
    result = plan(unwanted, seen(replica(unwanted)), RULES)
    assert result.stops == (replica_name_of(unwanted, 0),)
    assert not result.starts
    assert result.verdict is None


def test_a_cancel_after_ready_changes_nothing() -> None:
    v = replace(version(state=READY), cancelled=True)
    r = replica(v)
    assert plan(v, seen(r), RULES).stops == ()


def test_an_update_is_looked_at_until_it_ends() -> None:
    v = replace(version(nodes=1, state=READY), generation=2)
    r = replica(v)
    assert plan(v, seen(r, health={r.name: healthy()}), RULES).look_again_s is not None
