from datetime import timedelta

from modelport.control.health import Health, ProbeRules, advance, must_restart, next_probe_s
from modelport.doctor.evidence import Exchange
from tests.control.worlds import NOW

RULES = ProbeRules()


def after(*answers: int | str, start: Health | None = None, every_s: float = 10) -> Health:
    """The health after these answers: an int is a status, a text an error; `refused` was not accepted."""
    health = start or Health(1, NOW)
    for index, answer in enumerate(answers):
        time = NOW + timedelta(seconds=index * every_s)
        status = answer if isinstance(answer, int) else None
        probe = Exchange(time, "u", status, "" if status else str(answer), 0.0)
        health = advance(health, probe, accepted=answer != "refused", rules=RULES)
    return health


def test_the_first_200_makes_a_replica_healthy() -> None:
    assert after("refused", 503, 200).healthy


def test_only_exactly_200_is_healthy() -> None:
    for status in (201, 204, 301, 302, 404, 500, 503):
        assert not after(status).healthy


def test_three_failures_leave_a_replica_healthy_and_four_do_not() -> None:
    assert after(200, 500, 500, 500).healthy
    assert not after(200, 500, 500, 500, 500).healthy


def test_a_success_resets_the_count() -> None:
    assert after(200, 500, 500, 500, 200, 500, 500, 500).healthy


def test_an_unhealthy_replica_comes_back_with_one_200() -> None:
    assert after(200, 500, 500, 500, 500, 200).healthy


def test_health_failures_never_restart() -> None:
    health = after(200, *[500] * 20)
    assert not must_restart(health, NOW + timedelta(hours=1), RULES)


def test_a_port_that_stays_closed_restarts_after_forty_seconds() -> None:
    health = after("refused", every_s=0.03)
    assert not must_restart(health, NOW + timedelta(seconds=39), RULES)
    assert must_restart(health, NOW + timedelta(seconds=40), RULES)


def test_an_accepted_connection_ends_the_silence() -> None:
    health = after("refused", 503)
    assert health.listening
    assert not must_restart(health, NOW + timedelta(hours=1), RULES)


def test_a_port_that_closes_again_is_counted_from_then() -> None:
    health = after(200, 200, "refused")
    assert not health.listening
    assert not must_restart(health, NOW + timedelta(seconds=20 + 39), RULES)
    assert must_restart(health, NOW + timedelta(seconds=20 + 40), RULES)


def test_probing_is_fast_until_the_first_200_only() -> None:
    assert next_probe_s(after(503), RULES) == RULES.start_period_s
    assert next_probe_s(after(200), RULES) == RULES.period_s
    assert next_probe_s(after(200, 500, 500, 500, 500), RULES) == RULES.period_s


def test_equal_answers_are_folded_and_the_transcript_is_bounded() -> None:
    health = after(*["refused"] * 1000, 503, 503, 200)
    assert [(p.status, p.times) for p in health.transcript] == [(None, 1000), (503, 2), (200, 1)]
    assert len(after(*[500, 501] * 100).transcript) <= 12
