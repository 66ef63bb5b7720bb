"""The way to one model: so many requests at once, so many that wait, and each within its time.

Everything that asks the model goes this way, whether its rows were converted or its bytes are passed on.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from modelport.core.errors import ResourceExhausted, StepTimeout
from modelport.server.listener.declaration import Model
from modelport.server.listener.formats.base import Message
from modelport.server.listener.wire.answer_stream import AnswerStream
from modelport.server.listener.wire.upstream import Upstream
from modelport.server.listener.wire.upstream_connection import Answered, awaited


class ModelAccess:
    """Sends requests to one model. One timer watches over all of them: it is set for the oldest."""

    def __init__(self, model: Model, upstream: Upstream) -> None:
        self.model = model
        self._upstream = upstream
        self._loop = upstream.loop
        self._path = model.path.encode()
        self._places = model.concurrency  # that are free
        self._waiting: OrderedDict[_Turn, None] = OrderedDict()
        self._turns: dict[_Turn, None] = {}  # all that wait or are being answered, in the order of their deadlines
        self._timer: asyncio.TimerHandle | None = None

    @property
    def under_way(self) -> int:
        """Return how many requests wait for the model or its answer."""
        return len(self._turns)

    def ask(self, message: Message, done: Answered, *, query: bytes = b"", streams: bool = False) -> Callable[[], None]:
        """Send a request now or when its turn comes; return what gives it up (`done` is not called then).

        A stream keeps its place until it has ended; its time is up to its reader.

        Args:
            message: the request.
            done: is given the answer, ModelServerDown, ModelServerGarbled or StepTimeout; never before this returns.
            query: what the caller wrote behind the path.
            streams: `done` takes an AnswerStream too.

        Raises:
            ResourceExhausted: too many wait already.
        """
        turn = _Turn(self, message, done, self._asked_for(query) if query else self._path, streams)
        if self._places:
            self._places -= 1
            self._begin(turn)
        elif len(self._waiting) < self.model.max_waiting:
            self._waiting[turn] = None
        else:
            raise self._too_many()
        turn.deadline = self._loop.time() + self.model.timeout_s
        self._turns[turn] = None
        if self._timer is None:
            self._timer = self._loop.call_at(turn.deadline, self._look)
        return turn.give_up

    async def request(self, message: Message) -> Message:
        """Send a request and return its answer; where this is cancelled the request is given up.

        Raises:
            ResourceExhausted: too many wait already.
            StepTimeout: it has not been answered in time.
            ModelServerDown: the model server cannot be reached, or closed the connection before it had answered.
            ModelServerGarbled: what came is not HTTP.
        """
        return await awaited(lambda done: self.ask(message, done), self._loop)

    def _begin(self, turn: _Turn) -> None:
        turn.stop = self._upstream.send(b"POST", turn.path, turn.message, turn.answered, streams=turn.streams)

    def _release(self) -> None:
        if self._waiting:
            turn, _ = self._waiting.popitem(last=False)
            self._begin(turn)
        else:
            self._places += 1

    def _leave(self, turn: _Turn) -> None:
        """Let a turn end that was not answered."""
        del self._turns[turn]
        if turn.stop is None:
            del self._waiting[turn]
        else:
            turn.stop()
            self._release()

    def _look(self) -> None:
        now = self._loop.time()
        for turn in list(self._turns):
            if turn.deadline > now:
                self._timer = self._loop.call_at(turn.deadline, self._look)
                return
            if turn in self._turns:  # `done` of another may have given it up
                self._leave(turn)
                turn.done(timed_out(self.model))
        self._timer = None

    def _asked_for(self, query: bytes) -> bytes:
        return self._path + (b"&" if b"?" in self._path else b"?") + query

    def _too_many(self) -> ResourceExhausted:
        model = self.model
        return ResourceExhausted(
            f"The model `{model.name}` on `{model.server}` answers {model.concurrency} requests,"
            f" and {len(self._waiting)} wait",
            hint="Try again later, or add replicas",
            step=model.name,
        )


class _Turn:
    """One request: it waits, is being answered (`stop` is there), and is over when it is no longer among the turns."""

    __slots__ = ("access", "deadline", "done", "message", "path", "stop", "streams")

    def __init__(self, access: ModelAccess, message: Message, done: Answered, path: bytes, streams: bool) -> None:
        self.access = access
        self.message = message
        self.done = done
        self.path = path
        self.streams = streams
        self.deadline = 0.0
        self.stop: Callable[[], None] | None = None

    def answered(self, outcome: Message | AnswerStream | Exception) -> None:
        """Take what came of it."""
        access = self.access
        del access._turns[self]
        self.stop = None  # it refers to this
        if isinstance(outcome, AnswerStream):
            outcome.on_end = access._release
        else:
            access._release()
        self.done(outcome)

    def give_up(self) -> None:
        """Wait no more."""
        if self in self.access._turns:
            self.access._leave(self)


def timed_out(model: Model) -> StepTimeout:
    """Return the error of a model that did not answer in time."""
    return StepTimeout(
        f"The model `{model.name}` on `{model.server}` has not answered within {model.timeout_s:g} s",
        hint="Give it longer with `timeout_s`, or find out why it is slow",
        step=model.name,
    )
