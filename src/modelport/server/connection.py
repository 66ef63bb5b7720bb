"""One HTTP/1.1 connection: requests to the handler one after the other, and their answers out in the same order.

A caller who does not take in its answers gets no further one computed, and is not read from: nothing piles up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import cast

from modelport.server import failures, refusals, response_head
from modelport.server.exchange import Handler, Request, Response
from modelport.server.request_reader import Limits, RequestReader, Stage

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_JOINED_BYTES = 64 * 1024  # up to here copying a body behind its head is cheaper than a second buffer
_LINGER_S = 5.0  # how long what a refused caller still sends is read and thrown away


class Connection(asyncio.Protocol):
    """Reads requests, and is to the handler the reply of the one that is being answered (`exchange.Reply`).

    A caller who ends sending is taken to have hung up, as the two look the same.
    """

    def __init__(
        self,
        handler: Handler,
        limits: Limits,
        members: set[Connection],
        *,
        loop: asyncio.AbstractEventLoop,
        lost: Callable[[], None],
    ) -> None:
        self.closed = False
        self._handler = handler
        self._limits = limits
        self._members = members
        self._loop = loop
        self._lost = lost
        self._reader = RequestReader(limits)
        self._transport: asyncio.Transport
        self._current: Request | None = None  # the request that is being answered
        self._keep_alive = True  # after that answer
        self._started = False  # that answer is one of unknown length, and its head is out
        self._chunked = True
        self._resumed: asyncio.Future[None] | None = None
        self._reading = True
        self._writable = True
        self._draining = False
        self._last = False  # no further request is handled
        # What the sweep looks at; a moment is known to it as the first sweep after.
        self._stirred = True  # bytes came or went since the last one
        self._quiet_since = 0.0
        self._begun = (Stage.BETWEEN, 0, 0.0)  # stage, of which request, since when
        self._unsent = (0, 0.0)  # bytes, since when
        self._refused_at: float | None = None

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Join the open connections."""
        # uvloop's transports are no subclass of asyncio.Transport, only alike.
        self._transport = cast("asyncio.Transport", transport)
        self._members.add(self)

    def data_received(self, data: bytes) -> None:
        """Read, and handle the next request if none is being answered."""
        self._stirred = True
        reader = self._reader
        reader.feed(data)
        if self._current is None:
            if reader.ready or reader.refusal is not None or reader.wants_continue:
                self._next()
        elif reader.ready and self._reading:
            # Sent ahead of the answer: no more is read before that is out.
            self._reading = False
            self._transport.pause_reading()

    def pause_writing(self) -> None:
        """Note that the caller does not keep up with the answer."""
        self._writable = False

    def resume_writing(self) -> None:
        """Go on with the answer, or with the next request."""
        self._writable = True
        self._wake()
        if self._current is None:
            self._loop.call_soon(self._next)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let whoever is answering see that nobody listens."""
        self.closed = self._last = True
        self._reader.close()
        self._current = None
        self._wake()
        self._members.discard(self)
        self._lost()

    # What the handler calls.

    def send(self, response: Response) -> None:
        """Answer in one piece."""
        request = self._current
        if request is None or self.closed:
            return
        body = response.body
        close = self._draining or not self._keep_alive
        head = response_head.sized(response.status, response.content_type, len(body), response.headers, close=close)
        if request.method == b"HEAD":
            self._transport.write(head)
        elif len(body) <= _JOINED_BYTES:
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            self._transport.write(body)
        self._answered(close)

    def start(self, content_type: bytes, headers: Mapping[bytes, bytes]) -> None:
        """Begin an answer with status 200 whose length is not known."""
        if self._current is None or self.closed:
            return
        self._started = True
        self._chunked = not self._reader.old_version  # to HTTP/1.0 the end of the connection is the end of the answer
        self._keep_alive = self._keep_alive and not self._draining
        close = not self._keep_alive
        self._transport.write(response_head.streamed(content_type, headers, chunked=self._chunked, close=close))

    async def write(self, chunk: bytes) -> None:
        """Send a piece; return when the caller has taken in enough of what was sent before."""
        request = self._current
        if request is None or not self._started or self.closed:
            return
        if chunk and request.method != b"HEAD":
            self._stirred = True
            self._transport.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if self._chunked else chunk)
        if not self._writable:
            self._resumed = self._loop.create_future()
            await self._resumed

    def end(self) -> None:
        """Finish an answer that was started."""
        request = self._current
        if request is None or not self._started or self.closed:
            return
        if self._chunked and request.method != b"HEAD":
            self._transport.write(b"0\r\n\r\n")
        self._answered(not self._keep_alive)

    def abort(self) -> None:
        """Cut the connection, and what is being answered on it, off."""
        self._last = True
        self._transport.abort()

    # What the open connections as a whole are told.

    def drain(self) -> None:
        """Let the request that is under way be the last; close at once where there is none."""
        self._draining = True
        if self._current is None and not self._reader.ready and self._reader.stage is Stage.BETWEEN:
            self._last = True
            self._transport.close()

    def sweep(self, now: float) -> None:
        """Close what has been quiet, or not taken in, for too long."""
        limits = self._limits
        if self._stirred:
            self._stirred = False
            self._quiet_since = now
        unsent = self._transport.get_write_buffer_size()
        if unsent != self._unsent[0]:
            self._unsent = unsent, now
        stage = self._reader.stage
        if (stage, self._reader.count) != self._begun[:2]:
            self._begun = stage, self._reader.count, now
        if unsent and now - self._unsent[1] > limits.read_timeout_s:
            self.abort()
        elif self._refused_at is not None:
            if now - self._refused_at > _LINGER_S:
                self.abort()
        elif self._current is not None or self._last:
            return
        # A head must be whole in time: it is short. A body must only not pause for that long.
        elif stage is Stage.HEAD and now - self._begun[2] > limits.read_timeout_s:
            self._refuse(refusals.too_slow("head", limits.read_timeout_s))
        elif stage is Stage.BODY and now - self._quiet_since > limits.read_timeout_s:
            self._refuse(refusals.too_slow("body", limits.read_timeout_s))
        elif stage is Stage.BETWEEN and now - self._quiet_since > limits.idle_timeout_s and not unsent:
            self._last = True
            self._transport.close()

    def _next(self) -> None:
        reader = self._reader
        while reader.ready and self._current is None and self._writable and not self._last:
            self._current, self._keep_alive = reader.ready.popleft()
            try:
                self._handler(self._current, self)
            except Exception as error:  # a defect of a handler must not take the connection's other requests with it
                self._failed(error)
        if self._last or reader.ready:
            return
        if not self._reading:
            self._reading = True
            self._transport.resume_reading()
        if self._current is None:
            if reader.refusal is not None:
                self._refuse(reader.refusal)
            elif reader.wants_continue:
                reader.wants_continue = False
                self._transport.write(_CONTINUE)

    def _answered(self, close: bool) -> None:
        self._current = None
        self._started = False
        self._stirred = True
        reader = self._reader
        if close:
            self._last = True
            self._transport.close()
        elif reader.ready or reader.refusal is not None or reader.wants_continue or not self._reading:
            # Not at once: a handler that answers at once would be called from within itself.
            self._loop.call_soon(self._next)

    def _failed(self, error: Exception) -> None:
        self._loop.call_exception_handler({"message": "A handler failed", "exception": error})
        if self._started:
            self.abort()
        else:
            self.send(failures.response(error))

    def _refuse(self, refusal: Response) -> None:
        """Answer what is no request and stop listening; the connection is closed when the caller has seen it.

        Closing while the caller still sends would reset the connection, and the answer would be lost to it.
        """
        self._last = True
        self._reader.refusal = refusal
        self._refused_at = self._loop.time()
        head = response_head.sized(refusal.status, refusal.content_type, len(refusal.body), refusal.headers, close=True)
        self._transport.write(head + refusal.body)
        self._transport.write_eof()

    def _wake(self) -> None:
        if self._resumed is not None and not self._resumed.done():
            self._resumed.set_result(None)
        self._resumed = None
