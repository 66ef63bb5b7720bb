"""The connections to a model server that is watched: nothing is sent to one that is known to be down."""

from __future__ import annotations

import time
from collections.abc import Callable

from modelport.server.listener.children.model_server import ModelServer
from modelport.server.listener.formats.base import Message
from modelport.server.listener.wire.answer_stream import AnswerStream
from modelport.server.listener.wire.upstream import Upstream
from modelport.server.listener.wire.upstream_connection import Answered


class WatchedUpstream(Upstream):
    """A pool that refuses requests at once while its server is down, and tells the server that it has answered.

    Attributes:
        watched: the server; None: it is taken to be there.
    """

    watched: ModelServer | None = None

    def send(
        self, method: bytes, path: bytes, message: Message, done: Answered, *, streams: bool = False
    ) -> Callable[[], None]:
        """Send a request, or have `done` told a moment later that the server is down."""
        server = self.watched
        if server is None:
            return super().send(method, path, message, done, streams=streams)
        if not server.standing.takes_requests:
            return self.loop.call_soon(done, server.standing.refusal(self.name)).cancel

        before = time.perf_counter()

        def heard(outcome: Message | AnswerStream | Exception) -> None:
            failed = isinstance(outcome, Exception)
            if not failed:
                server.answered = self.loop.time()
            server.times.add(time.perf_counter() - before, failed=failed)
            done(outcome)

        return super().send(method, path, message, heard, streams=streams)
