from __future__ import annotations

from collections.abc import Callable

import pytest

from modelport.core.errors import ModelServerDown
from modelport.server.listener.children.probe import Probe
from modelport.server.listener.formats.base import Message
from modelport.server.listener.wire.upstream_connection import Answered

pytestmark = pytest.mark.anyio


class Server:
    """Keeps the questions that it is asked."""

    def __init__(self) -> None:
        self.now = 0.0
        self.questions: list[Answered] = []
        self.given_up = 0

    def send(self, method: bytes, path: bytes, message: Message, done: Answered) -> Callable[[], None]:
        assert (method, path) == (b"GET", b"/health")
        self.questions.append(done)
        return self.give_up

    def give_up(self) -> None:
        self.given_up += 1


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def probe(server: Server) -> Probe:
    return Probe(server, "/health", lambda: server.now)


async def test_a_question_that_is_not_answered_is_kept_and_not_asked_again(server: Server, probe: Probe) -> None:
    assert (await probe.look(0.01)).late
    server.now = 5.0
    look = await probe.look(0.01)
    assert (look.late, look.answered, look.why) == (True, False, "`/health` was not answered within 5.0 s")
    assert (len(server.questions), server.given_up) == (1, 0)
    server.questions[0](Message(b"{}"))
    look = await probe.look(1)
    assert (look.why, look.answered) == ("", True)
    server.now = 6.0
    await probe.look(0.01)
    assert len(server.questions) == 2


async def test_a_question_that_is_very_old_is_asked_on_another_connection(server: Server, probe: Probe) -> None:
    await probe.look(0.01)
    server.now = 31.0
    await probe.look(0.01)
    assert (len(server.questions), server.given_up) == (2, 1)
    probe.give_up()
    assert server.given_up == 2


async def test_every_other_answer_says_what_it_was(server: Server, probe: Probe) -> None:
    await probe.look(0.01)
    server.questions[0](Message(b" loading \n", status=503))
    look = await probe.look(1)
    assert (look.why, look.answered, look.late) == ("`/health` was answered with 503: loading", True, False)
    await probe.look(0.01)
    server.questions[1](ModelServerDown("Nothing listens"))
    look = await probe.look(1)
    assert (look.why, look.answered) == ("Nothing listens", False)
