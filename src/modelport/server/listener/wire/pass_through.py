"""Passes requests on to a model that speaks its callers' format, and the answers back: bytes that nobody looks into.

A request whose answer comes in one piece costs no coroutine: it is callbacks from its first byte to its last.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import anyio

from modelport.core.errors import Error
from modelport.server.exchange import Reply, Request, Response
from modelport.server.listener.formats.base import Format, Message
from modelport.server.listener.wire.answer_stream import AnswerStream
from modelport.server.listener.wire.hang_ups import HangUps
from modelport.server.listener.wire.model_access import ModelAccess
from modelport.server.listener.wire.server_timing import NAME, timed, written

# What concerns the connection to the caller alone (RFC 9110, 7.6.1), or is written anew.
_NOT_PASSED_ON = frozenset(
    (
        b"connection",
        b"content-length",
        b"content-type",
        b"expect",
        b"host",
        b"keep-alive",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
_UNKNOWN_TYPE = b"application/octet-stream"


class PassThrough:
    """Passes requests on."""

    def __init__(self, hang_ups: HangUps, start_soon: Callable[..., object]) -> None:
        self._hang_ups = hang_ups
        self._start_soon = start_soon

    def __call__(self, request: Request, reply: Reply, access: ModelAccess, format: Format) -> None:
        """Pass a request on to a model.

        Raises:
            ResourceExhausted: too many wait for it already.
        """
        passing = _Passing(self._hang_ups, self._start_soon, request, reply, access, format)
        passing.give_up = access.ask(passed_on(request), passing.answered, query=request.query, streams=True)
        self._hang_ups.watch(passing)


class _Passing:
    """One request that is passed on."""

    __slots__ = ("_format", "_received", "_start_soon", "access", "give_up", "hang_ups", "reply")

    def __init__(
        self,
        hang_ups: HangUps,
        start_soon: Callable[..., object],
        request: Request,
        reply: Reply,
        access: ModelAccess,
        format: Format,
    ) -> None:
        self.hang_ups = hang_ups
        self._start_soon = start_soon
        self._received = request.received or time.perf_counter()
        self._format = format
        self.reply = reply
        self.access = access
        self.give_up: Callable[[], None]

    def answered(self, outcome: Message | AnswerStream | Exception) -> None:
        """Answer the caller."""
        self.hang_ups.forget(self)
        del self.give_up  # it refers to this
        if isinstance(outcome, Message):
            content_type = outcome.content_type or _UNKNOWN_TYPE
            self.reply.send(Response(outcome.status, outcome.body, content_type, self.headers(outcome)))
        elif isinstance(outcome, AnswerStream):
            self._start_soon(_Streaming(self, outcome).run)
        else:
            self.reply.send(timed(self._format.write_failure(outcome), self._spans()))

    def hung_up(self) -> None:
        """Give the request up."""
        self.give_up()
        self.reply.abort()

    def headers(self, message: Message) -> dict[bytes, bytes]:
        """Return those of the answer, with what it took at the front of the model server's own times."""
        own = written(self._spans())
        if not message.headers:
            return {NAME: own}
        theirs = message.headers.get(NAME)
        return {**message.headers, NAME: own + b", " + theirs if theirs else own}

    def _spans(self) -> list[tuple[str, float]]:
        return [(self.access.model.name, time.perf_counter() - self._received)]


class _Streaming:
    """An answer that is passed on while it comes."""

    def __init__(self, passing: _Passing, stream: AnswerStream) -> None:
        self.reply = passing.reply
        self._passing = passing
        self._stream = stream

    def hung_up(self) -> None:
        """Give the rest up; whoever waits for it is told."""
        self._stream.give_up()

    async def run(self) -> None:
        """Write what comes as it comes; the model server is read from as fast as the caller reads."""
        reply, stream, head = self.reply, self._stream, self._stream.head
        self._passing.hang_ups.watch(self)
        whole = False
        try:
            reply.start(head.content_type or _UNKNOWN_TYPE, self._passing.headers(head))
            while not whole and not reply.closed:
                with anyio.fail_after(self._passing.access.model.timeout_s):  # for each piece, not for all of it
                    piece = await stream.next()
                await reply.write(piece)
                whole = not piece
        except (Error, OSError):  # the status is out: that the answer is cut off says that it is not whole
            pass
        finally:
            self._passing.hang_ups.forget(self)
            stream.give_up()
            if whole:
                reply.end()
            else:
                reply.abort()


def passed_on(request: Request) -> Message:
    """Return what a model server is sent of a request: its body, and its headers but those between neighbours."""
    content_type = b""
    named = b""  # headers that this caller calls its connection's own
    headers: dict[bytes, bytes] = {}
    for name, value in request.headers:
        name = name.lower()
        if name not in _NOT_PASSED_ON:
            headers[name] = headers[name] + b", " + value if name in headers else value
        elif name == b"content-type":
            content_type = value
        elif name == b"connection":
            named += value + b","
    if named:
        for name in named.lower().split(b","):
            headers.pop(name.strip(), None)
    return Message(request.body, content_type, headers)
