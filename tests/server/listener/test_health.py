import json

import pytest

from modelport.server.listener.children.health import Look, Phase, Standing, after, down, report, silent_s, started

OK, REFUSED, LATE = Look(answered=True), Look("nothing listens"), Look("not answered in time", late=True)


def looked(*looks: Look, start: Standing | None = None) -> Standing:
    standing = start or started(0.0)
    for moment, look in enumerate(looks, 1):
        standing = after(standing, look, float(moment))
    return standing


@pytest.mark.parametrize(
    ("looks", "phase"),
    [
        ((), Phase.STARTING),
        ((REFUSED,), Phase.STARTING),
        ((LATE, LATE, LATE, LATE), Phase.STARTING),
        ((REFUSED, OK), Phase.READY),
        ((OK, REFUSED), Phase.UNREADY),
        ((OK, LATE), Phase.READY),
        ((OK, LATE, LATE), Phase.READY),
        ((OK, LATE, LATE, LATE), Phase.UNREADY),
        ((OK, LATE, LATE, OK, LATE), Phase.READY),
        ((OK, LATE, REFUSED), Phase.UNREADY),
        ((OK, REFUSED, LATE), Phase.UNREADY),
        ((OK, REFUSED, OK), Phase.READY),
    ],
)
def test_a_server_stands_as_the_looks_at_it_have_shown(looks: tuple[Look, ...], phase: Phase) -> None:
    standing = looked(*looks)
    assert standing.phase is phase
    assert bool(standing.why) is (phase is not Phase.READY)


def test_requests_are_sent_to_a_server_that_was_ready_and_runs() -> None:
    assert not started(0.0).takes_requests
    assert not down("it ended").takes_requests
    assert looked(OK).takes_requests
    assert looked(OK, REFUSED).takes_requests


def test_a_server_is_silent_from_its_last_answer_on() -> None:
    answered = Look("500", answered=True)
    assert silent_s(looked(OK, LATE), 0.0, 100.0) == 0
    assert silent_s(looked(LATE, LATE, LATE, LATE), 0.0, 100.0) == 0
    assert silent_s(looked(OK, LATE, LATE, LATE), 0.0, 100.0) == 99
    assert silent_s(looked(OK, LATE, LATE, LATE), 60.0, 100.0) == 40
    assert silent_s(looked(OK, LATE, LATE, LATE, REFUSED), 0.0, 100.0) == 99
    assert silent_s(looked(OK, LATE, LATE, LATE, answered), 0.0, 100.0) == 95


def test_it_is_known_since_when_a_server_is_ready() -> None:
    assert looked(REFUSED, OK, OK).ready_since == 2.0
    assert looked(OK, REFUSED, OK).ready_since == 1.0


def test_health_names_each_server_that_is_not_ready_and_why() -> None:
    good, bad = looked(OK), looked(OK, REFUSED)
    assert report([("a", good)]).status == 200
    response = report([("a", good), ("b", bad)])
    assert response.status == 503
    assert json.loads(response.body)["servers"] == {"b": "unready: nothing listens"}
    assert report([("a", good)], "its steps are being loaded").status == 503


def test_the_refusal_of_a_request_says_why() -> None:
    error = down("it was killed by SIGKILL").refusal("triton")
    assert error.message == "The model server `triton` is down: it was killed by SIGKILL"
    assert error.reason == "MODEL_SERVER_DOWN"
