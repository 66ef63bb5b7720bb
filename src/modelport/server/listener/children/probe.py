"""Looks at a model server's health: one question at a time, which may outlast several looks.

A question that is not answered in time is kept rather than asked again: a server that is busy, and takes one caller
after the other, would find ever more callers waiting that are long gone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import anyio

from modelport.server.listener.children.health import Look
from modelport.server.listener.formats.base import Message
from modelport.server.listener.wire.answer_stream import AnswerStream
from modelport.server.listener.wire.upstream_connection import Answered

_LONGEST_S = 30.0  # until a question is asked anew: the connection may be to a machine that is gone
_SAID = 200  # characters of an answer that are told


class Asks(Protocol):
    """Whatever sends a request to the server; `Upstream` does."""

    def send(self, method: bytes, path: bytes, message: Message, done: Answered) -> Callable[[], None]:
        """Send a request; return what gives it up."""
        ...

    def close(self) -> None:
        """Keep no connection that nobody uses."""
        ...


class Probe:
    """Asks one server for its health."""

    def __init__(self, asks: Asks, path: str, clock: Callable[[], float]) -> None:
        self._asks = asks
        self._path = path
        self._clock = clock
        self._question: _Question | None = None

    async def look(self, seconds: float) -> Look:
        """Return what the answer shows that there is, or that there is none within so many seconds."""
        now = self._clock()
        if self._question is None or now - self._question.asked > _LONGEST_S:
            self.give_up()
            self._question = _Question(now)
            self._question.stop = self._asks.send(b"GET", self._path.encode(), Message(b""), self._question.answer)
        question = self._question
        with anyio.move_on_after(seconds):
            await question.answered.wait()
        if question.outcome is None:
            return Look(f"`{self._path}` was not answered within {self._clock() - question.asked:.1f} s", late=True)
        self._question = None
        return self._shown(question.outcome)

    def give_up(self) -> None:
        """Wait for no answer any more."""
        if self._question is not None:
            self._question.stop()
            self._question = None

    def close(self) -> None:
        """Wait for no answer any more, and keep no connection to the server."""
        self.give_up()
        self._asks.close()

    def _shown(self, outcome: Message | AnswerStream | Exception) -> Look:
        if isinstance(outcome, Exception):
            return Look(str(outcome))
        if not isinstance(outcome, Message) or outcome.status == 200:
            return Look(answered=True)
        said = outcome.body[:_SAID].decode("utf-8", "backslashreplace").strip()
        why = f"`{self._path}` was answered with {outcome.status}" + (f": {said}" if said else "")
        return Look(why, answered=True)


class _Question:
    def __init__(self, now: float) -> None:
        self.asked = now
        self.answered = anyio.Event()
        self.outcome: Message | AnswerStream | Exception | None = None
        self.stop: Callable[[], None] = lambda: None

    def answer(self, outcome: Message | AnswerStream | Exception) -> None:
        self.outcome = outcome
        self.answered.set()
