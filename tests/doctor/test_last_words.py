from __future__ import annotations

from datetime import UTC, datetime

from modelport.core.facts import ListeningSocket, ReplicaFacts
from modelport.doctor.evidence import Exchange, Phase
from modelport.doctor.last_words import died, fatal, hangs, raised_by, said
from tests.doctor.dying import NOW, ended, evidence, hanging, healthy, lines

TRACEBACK = """Traceback (most recent call last):
  File "/app/main.py", line 1, in <module>
    import flask
ModuleNotFoundError: No module named 'flask'"""
AT = datetime(2026, 5, 4, tzinfo=UTC)


def answer(status: int | None, error: str = "") -> tuple[Exchange, ...]:
    return (Exchange(AT, "http://10.0.0.7:8080/health", status, error, 0.1),)


def test_an_end_counts_only_before_all_went_well() -> None:
    assert died(ended("", 1))
    assert not died(ended("", 1, passed=True))
    assert not died(ended("", 143, phase=Phase.STOP))
    assert not died(evidence())


def test_a_replica_without_a_socket_hangs() -> None:
    assert hangs(hanging(TRACEBACK))
    assert not hangs(hanging(TRACEBACK, facts=None))
    assert not hangs(hanging(TRACEBACK, facts=ReplicaFacts(NOW, sockets=(ListeningSocket("127.0.0.1", 80),))))


def test_a_replica_that_only_fails_its_health_check_hangs() -> None:
    asked = {"phase": Phase.HEALTH, "listening_s": 1.0, "log": lines(TRACEBACK), "quiet_s": 5.0}
    assert hangs(evidence(**asked, health=answer(503)))
    assert hangs(evidence(**asked, health=answer(None, "no answer within 10 s")))
    assert not hangs(evidence(**asked, health=answer(404)))
    assert not hangs(evidence(**asked))


def test_an_exception_that_comes_again_and_again_is_fatal_to_a_start() -> None:
    again = "\n".join([TRACEBACK, "restarting"] * 3)
    assert fatal(hanging(again, quiet_s=0.1))
    assert not fatal(hanging(TRACEBACK, quiet_s=0.1))


def test_words_of_a_replica_that_works_prove_nothing() -> None:
    assert not fatal(healthy(TRACEBACK))
    assert said(healthy("error: x"), "error") is None


def test_a_signal_is_not_an_exception() -> None:
    assert not fatal(ended(TRACEBACK, 139))
    assert fatal(ended(TRACEBACK, 134))


def test_of_a_chain_the_nearest_that_matches_is_taken() -> None:
    chain = (
        TRACEBACK
        + "\n\nDuring handling of the above exception, another exception occurred:\n\n"
        + TRACEBACK.replace(
            "ModuleNotFoundError: No module named 'flask'", "ModuleNotFoundError: No module named 'bottle'"
        )
    )
    found = raised_by(ended(chain, 1), r"No module named '(\w+)'")
    assert found is not None
    assert found[1][1] == "bottle"
