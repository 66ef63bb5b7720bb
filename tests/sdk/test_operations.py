from typing import Any

import pytest

from modelport.core.errors import DeadlineExceeded, VersionCannotBecomeReady
from modelport.sdk.client import Client
from modelport.sdk.operations import Progress, failure, wait
from modelport.sdk.transport import Transport
from tests.sdk.standin import Answer, StandIn, standing_in

OPERATION = "/v1/projects/demo/operations/op1"
INSPECT = "/modelport/v1/projects/demo/models/iris/versions/v1:inspect"
VERSION = {"name": "projects/demo/models/iris/versions/v1", "createTime": "2026-11-21T10:00:00Z"}


def operation(**more: Any) -> Answer:
    return Answer(body={"name": "projects/demo/operations/op1", "metadata": {"version": VERSION}, **more})


def seen(*conditions: str) -> Answer:
    listed = [{"type": one, "status": "True", "since": "2026-11-21T10:00:01Z"} for one in conditions]
    return Answer(body={"version": VERSION, "conditions": listed, "replicas": []})


def client_of(stand_in: StandIn) -> Client:
    return Client(transport=Transport(stand_in.endpoint, sleep=lambda _: None))


def test_each_change_is_told_once_until_done() -> None:
    told: list[Progress] = []
    script = {
        f"GET {OPERATION}": [operation(), operation(), operation(), operation(done=True)],
        f"GET {INSPECT}": [seen(), seen("Started"), seen("Started"), seen("Started", "Listening")],
    }
    with standing_in(script) as stand_in:
        done = wait(client_of(stand_in), "op1", watch=told.append, sleep=lambda _: None)

    assert done["done"]
    assert [[one["type"] for one in progress.conditions] for progress in told] == [
        [],
        ["Started"],
        ["Started", "Listening"],
    ]
    assert failure(done) is None


def test_a_failed_operation_is_returned_with_its_error() -> None:
    detail = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "VERSION_CANNOT_BECOME_READY"}
    error = {"code": 9, "message": "it exited", "details": [detail]}
    with standing_in({f"GET {OPERATION}": [operation(done=True, error=error)], f"GET {INSPECT}": [seen()]}) as stand_in:
        done = wait(client_of(stand_in), "op1", sleep=lambda _: None)

    assert isinstance(failure(done), VersionCannotBecomeReady)


def test_a_deadline_ends_the_wait_and_says_how_to_go_on() -> None:
    now = iter(range(0, 1000, 3))
    with (
        standing_in({f"GET {OPERATION}": [operation()], f"GET {INSPECT}": [seen()]}) as stand_in,
        pytest.raises(DeadlineExceeded) as caught,
    ):
        wait(client_of(stand_in), "op1", deadline_s=5, clock=lambda: next(now), sleep=lambda _: None)

    assert caught.value.hint == "Go on waiting with `modelport operations wait op1`"


def test_a_restart_of_the_control_plane_is_waited_out() -> None:
    away = Answer(503, b"")
    script = {f"GET {OPERATION}": [*[away] * 9, operation(done=True)], f"GET {INSPECT}": [seen()]}
    with standing_in(script) as stand_in:
        assert wait(client_of(stand_in), "op1", sleep=lambda _: None)["done"]


def test_a_version_that_is_gone_has_no_conditions() -> None:
    told: list[Progress] = []
    with standing_in({f"GET {OPERATION}": [operation(done=True)]}) as stand_in:
        wait(client_of(stand_in), "op1", watch=told.append, sleep=lambda _: None)

    assert told[0].conditions == ()
