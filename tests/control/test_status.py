from dataclasses import replace

import pytest

from modelport.control.plan import Seen
from modelport.control.status import close, failed, observe, prepared
from modelport.core.conditions import ConditionType, Truth
from modelport.core.errors import Cancelled, Code
from modelport.core.names import OperationName
from modelport.core.replicas import Exit
from modelport.core.resources import Operation, OperationType, VersionState, VersionStatus
from tests.control.worlds import NOW, ago, healthy, is_true, replica, silent, version

READY = VersionState.READY


def operation(type: OperationType, **fields) -> Operation:
    return Operation(OperationName("p", "o"), type, "t", NOW, generation=1, **fields)


def seen(*replicas, health=None) -> Seen:
    return Seen(NOW, {r.name: r for r in replicas}, health or {})


def test_a_version_is_ready_when_all_nodes_are_healthy_and_routed() -> None:
    v = version(nodes=2)
    first, second = replica(v, 0), replica(v, 1)
    health = {first.name: healthy(), second.name: healthy()}
    partly = observe(v, seen(first, second, health=health), routed=frozenset({first.name}))
    assert partly.state is VersionState.CREATING
    assert partly.ready_replicas == 1
    wholly = observe(v, seen(first, second, health=health), routed=frozenset({first.name, second.name}))
    assert wholly.state is READY
    assert wholly.ready_time == NOW


def test_a_ready_version_stays_ready_when_its_replicas_go() -> None:
    v = version(state=READY)
    status = observe(v, seen(replica(v, end=Exit(1))), routed=frozenset())
    assert status.state is READY
    assert status.ready_replicas == 0
    assert status.last_exit == Exit(1)
    assert not is_true(status.conditions, ConditionType.STARTED)


def test_the_conditions_say_what_the_last_probe_saw() -> None:
    v = version()
    r = replica(v)
    status = observe(v, seen(r, health={r.name: silent(1)}), routed=frozenset())
    listening = next(c for c in status.conditions if c.type is ConditionType.LISTENING)
    assert listening.status is Truth.FALSE
    assert listening.message == "GET http://127.0.0.1:9000/health → connection refused"


def test_the_same_sight_gives_the_same_status_later() -> None:
    v = version()
    r = replica(v)
    first = observe(v, seen(r, health={r.name: silent(1)}), routed=frozenset())
    folded = silent(1)
    folded = replace(folded, transcript=(replace(folded.transcript[0], times=99),))
    again = observe(replace(v, status=first), seen(r, health={r.name: folded}), routed=frozenset())
    assert again == first


def test_the_deadline_starts_with_prepared() -> None:
    status = prepared(VersionStatus(), image="i", artifact="", copied="none", now=NOW)
    assert is_true(status.conditions, ConditionType.IMAGE_PINNED)
    assert is_true(status.conditions, ConditionType.ARTIFACTS_COPIED)


def test_a_create_is_closed_by_ready_and_by_failed() -> None:
    create = operation(OperationType.CREATE_VERSION)
    assert not close(create, version(), now=NOW, deadline_s=300).done
    ready = close(create, version(state=READY), now=NOW, deadline_s=300)
    assert ready.done
    assert ready.error is None
    v = version()
    broken = replace(v, status=failed(v.status, Cancelled("cancelled").status()))
    ended = close(create, broken, now=NOW, deadline_s=300)
    assert ended.done
    assert ended.error is not None
    assert ended.error.code is Code.CANCELLED


@pytest.mark.parametrize(
    ("observed", "age_s", "done", "error"), [(1, 0, True, False), (0, 299, False, False), (0, 301, True, True)]
)
def test_an_update_is_closed_by_its_generation_or_by_the_deadline(observed, age_s, done, error) -> None:
    v = version(state=READY)
    v = replace(v, status=replace(v.status, observed_generation=observed))
    update = replace(operation(OperationType.UPDATE_VERSION), create_time=ago(age_s))
    ended = close(update, v, now=NOW, deadline_s=300)
    assert (ended.done, ended.error is not None) == (done, error)


def test_a_deletion_is_not_closed_while_the_version_is_there() -> None:
    assert not close(operation(OperationType.DELETE_VERSION), version(state=READY), now=NOW, deadline_s=1).done
