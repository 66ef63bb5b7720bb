"""What the engine's client raises, and what becomes of it."""

import errno

import aiodocker
import aiohttp
import pytest

from modelport.core.errors import EngineUnreachable, Error, ImageNotFound, Internal, ReplicaCannotStart
from modelport.drivers.docker_errors import translating

STATUSES: dict[int, type[Error]] = {404: ImageNotFound, 500: ReplicaCannotStart}


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (aiodocker.DockerError(900, "Cannot connect"), EngineUnreachable),
        (aiodocker.DockerError(404, "No such image"), ImageNotFound),
        (aiodocker.DockerError(500, "runc says no"), ReplicaCannotStart),
        (aiodocker.DockerError(503, "busy"), EngineUnreachable),
        (aiodocker.DockerError(400, "bad parameter"), Internal),
        (TimeoutError(), EngineUnreachable),
        (aiohttp.ServerTimeoutError(), EngineUnreachable),
        (aiohttp.ClientPayloadError("cut"), EngineUnreachable),
        (aiohttp.ServerDisconnectedError(), EngineUnreachable),
        (ConnectionResetError(errno.ECONNRESET, "reset"), EngineUnreachable),
    ],
)
def test_foreign_errors_become_ours(raised: Exception, expected: type[Error]) -> None:
    with pytest.raises(expected) as caught, translating("unix:///x.sock", STATUSES, doing="start replica `r`"):
        raise raised
    assert caught.type is expected
    assert caught.value.__cause__ is raised


def test_the_engines_words_are_kept_within_bounds() -> None:
    text = "exec:\n  no such file " + "x" * 5000
    with pytest.raises(ReplicaCannotStart) as caught, translating("unix:///x.sock", STATUSES, doing="start it"):
        raise aiodocker.DockerError(500, text)
    assert caught.value.message.startswith("The container engine could not start it: exec: no such file xxx")
    assert len(caught.value.message) < 1100
    assert caught.value.hint


def test_a_forbidden_socket_has_its_own_remedy() -> None:
    raised = aiodocker.DockerError(900, "Cannot connect")
    raised.__context__ = PermissionError(errno.EACCES, "Permission denied")
    with pytest.raises(EngineUnreachable) as caught, translating("unix:///x.sock"):
        raise raised
    assert "group `docker`" in caught.value.hint


def test_our_own_errors_pass() -> None:
    with pytest.raises(ImageNotFound), translating("unix:///x.sock"):
        raise ImageNotFound("mine")
