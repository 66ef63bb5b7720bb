"""One HTTP/1.1 connection to a model server: a request out, its answer in, then the next."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

from modelport.core.errors import Error, ModelServerDown, ModelServerGarbled
from modelport.server.listener.formats.base import Message
from modelport.server.listener.wire.answer_reader import AnswerReader, Malformed
from modelport.server.listener.wire.answer_stream import AnswerStream

MAX_ANSWER_BYTES = 1024**3  # of an answer that is needed whole; one that is passed on while it comes has no limit
_JOINED_BYTES = 64 * 1024  # up to here copying a body behind its head is cheaper than a second buffer
_GATHERED_BYTES = 1024**2  # up to here an answer of known length is passed on in one piece


class Answered(Protocol):
    """Whoever waits for the answer to a request; called on the event loop, exactly once."""

    def __call__(self, outcome: Message | AnswerStream | Exception) -> None:
        """Take the answer, whatever its status, or ModelServerDown or ModelServerGarbled."""
        ...


async def awaited(send: Callable[[Answered], Callable[[], None]], loop: asyncio.AbstractEventLoop) -> Message:
    """Return the answer to what `send` sends, or raise why there is none; given up where this is cancelled."""
    future: asyncio.Future[Message] = loop.create_future()

    def done(outcome: Message | AnswerStream | Exception) -> None:
        if future.done():
            return
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        elif isinstance(outcome, Message):
            future.set_result(outcome)

    give_up = send(done)
    try:
        return await future
    finally:
        give_up()


class Ask:
    """A request on its way, and who waits for its answer; `streams` where that may be an AnswerStream."""

    __slots__ = ("connection", "done", "given_up", "message", "method", "path", "reused", "streams")

    def __init__(self, method: bytes, path: bytes, message: Message, done: Answered, *, streams: bool) -> None:
        self.method = method
        self.path = path
        self.message = message
        self.done = done
        self.streams = streams
        self.reused = False  # it went out on a connection that had been idle
        self.given_up = False  # or answered: in both cases nobody waits
        self.connection: UpstreamConnection | None = None

    def finish(self, outcome: Message | AnswerStream | Exception) -> None:
        """Hand over the outcome, unless nobody waits any more."""
        if not self.given_up:
            self.given_up = True
            self.connection = None
            done = self.done
            del self.done  # whoever waits refers to this: neither would be freed at once
            done(outcome)

    def give_up(self) -> None:
        """Wait no more; a connection that is busy with it is cut, as its answer may come at any time."""
        if not self.given_up:
            self.given_up = True
            if self.connection is not None:
                self.connection.cut()


class Pool(Protocol):
    """Whoever has connections made, and gives them requests."""

    def opened(self, connection: UpstreamConnection) -> None:
        """Take a connection that is there now."""
        ...

    def freed(self, connection: UpstreamConnection) -> None:
        """Take a connection whose answer is whole, and which can have another request."""
        ...

    def lost(self, connection: UpstreamConnection, again: Ask | None) -> None:
        """Forget a connection; `again` met it closed, and is to be sent on a new one."""
        ...


class UpstreamConnection(asyncio.Protocol):
    """Sends requests one after the other and reads their answers.

    Attributes:
        was_open: it has been connected, so that its pool will hear of its end.
        usable: a request can be sent, as far as is known.
    """

    def __init__(self, server: str, host: bytes, pool: Pool, *, loop: asyncio.AbstractEventLoop) -> None:
        self.was_open = False
        self._server = server
        self._host = host
        self._pool = pool
        self._loop = loop
        self._transport: asyncio.Transport
        self._reader = AnswerReader()
        self._ask: Ask | None = None  # what is being answered
        self._stream: AnswerStream | None = None  # the answer, where it is passed on as it comes
        self.usable = True

    def send(self, ask: Ask) -> None:
        """Send a request; nothing else is under way."""
        self._ask = ask
        ask.connection = self
        self._reader.begin()
        message = ask.message
        body = message.body
        lines = [b"%b %b HTTP/1.1\r\nhost: %b\r\n" % (ask.method, ask.path, self._host)]
        if body or ask.method != b"GET":
            lines.append(b"content-length: %d\r\n" % len(body))
            if message.content_type:
                lines.append(b"content-type: %b\r\n" % message.content_type)
        for pair in message.headers.items():
            lines.append(b"%b: %b\r\n" % pair)
        lines.append(b"\r\n")
        if len(body) <= _JOINED_BYTES:
            lines.append(body)
            self._transport.write(b"".join(lines))
        else:
            self._transport.write(b"".join(lines))
            self._transport.write(body)

    def cut(self) -> None:
        """Close it at once, whatever is still to be sent."""
        self.usable = False
        self._transport.abort()

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the first request."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transports are only alike
        self.was_open = True
        self._pool.opened(self)

    def data_received(self, data: bytes) -> None:
        """Read a piece of the answer."""
        if self._ask is None:
            self.cut()  # who speaks unasked would be taken to answer the next request
            return
        reader = self._reader
        try:
            reader.feed(data)
        except Malformed as error:
            self._fail(self._garbled(str(error)))
            return
        if not reader.status:
            return
        if self._stream is not None:
            self._stream.put(reader.take())
            if reader.whole:
                self._complete()
        elif reader.whole:
            self._complete()
        elif self._passed_on_as_it_comes(self._ask):
            self._stream = AnswerStream(self._message(b""), self._transport, loop=self._loop)
            self._stream.put(reader.take())
            self._ask.finish(self._stream)
        elif max(reader.length or 0, reader.size) > MAX_ANSWER_BYTES:
            self._fail(self._garbled(f"it is longer than {MAX_ANSWER_BYTES} bytes"))

    def eof_received(self) -> None:
        """Take no further request; the transport closes itself."""
        self.usable = False

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who waits, or have the request sent again where it met a connection that was closed before."""
        self.usable = False
        ask, reader = self._ask, self._reader
        if ask is None:
            self._pool.lost(self, None)
            return
        if exc is None:
            reader.end()
        if reader.whole:
            self._complete()
            self._pool.lost(self, None)
            return
        again = ask if ask.reused and not reader.heard and not ask.given_up else None
        if again is None:
            where = "within its answer" if reader.heard else "before it had answered"
            text = f"The model server `{self._server}` closed the connection {where}"
            self._fail(ModelServerDown(text, hint="See the model server's log"))
        self._ask = None
        self._pool.lost(self, again)

    def _passed_on_as_it_comes(self, ask: Ask) -> bool:
        # Only a good answer: of a bad one the status must be told before it starts, and it is short.
        reader = self._reader
        return ask.streams and reader.status == 200 and (reader.length is None or reader.length > _GATHERED_BYTES)

    def _message(self, body: bytes) -> Message:
        reader = self._reader
        return Message(body, reader.content_type, reader.headers, reader.status)

    def _complete(self) -> None:
        ask, self._ask = self._ask, None
        stream, self._stream = self._stream, None
        message = self._message(self._reader.take()) if stream is None else None
        # Where the answer came before the request was taken in, there is something left to send.
        if self.usable and self._reader.keep_alive and not self._transport.get_write_buffer_size():
            self._pool.freed(self)
        else:
            self.cut()
        if stream is not None:
            stream.end()
        elif ask is not None and message is not None:
            ask.finish(message)

    def _fail(self, error: Error) -> None:
        ask, self._ask = self._ask, None
        stream, self._stream = self._stream, None
        self.cut()
        if stream is not None:
            stream.end(error)
        elif ask is not None:
            ask.finish(error)

    def _garbled(self, why: str) -> ModelServerGarbled:
        text = f"The model server `{self._server}` answered something that is no HTTP answer: {why}"
        return ModelServerGarbled(text, hint="Name the port of its HTTP service")
