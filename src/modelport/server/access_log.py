"""The access log: a line of JSON for each request, on demand.

It wraps the handler, so that a server without it pays nothing for it.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

import orjson

from modelport.server.exchange import Handler, PassedOn, Reply, Request, Response

_FLUSH_S = 0.1
_MOST_LINES = 256


class AccessLog:
    """A handler that has another one answer, and writes down what was asked and how it was answered."""

    def __init__(
        self,
        handler: Handler,
        write: Callable[[bytes], object],
        *,
        loop: asyncio.AbstractEventLoop,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Take the handler and where lines go.

        Args:
            handler: answers.
            write: takes whole lines, some at a time.
            loop: lines are gathered for a moment, as each writing is a call of the operating system.
            now: tells the time of day in seconds.
        """
        self._handler = handler
        self._write = write
        self._loop = loop
        self._now = now
        self._lines: list[bytes] = []

    def __call__(self, request: Request, reply: Reply) -> None:
        """Handle one request."""
        self._handler(request, _Logged(request, reply, self._log))

    def flush(self) -> None:
        """Write the lines that were gathered; to be called once more at the end."""
        if self._lines:
            lines, self._lines = b"".join(self._lines), []
            self._write(lines)

    def _log(self, request: Request, status: int, sent: int) -> None:
        if not self._lines:
            self._loop.call_later(_FLUSH_S, self.flush)
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(self._now(), UTC).isoformat(timespec="milliseconds"),
            "method": request.method.decode("latin-1"),
            "path": request.path.decode("latin-1"),
            "status": status,
            "received_bytes": len(request.body),
            "sent_bytes": sent,
            "ms": round((time.perf_counter() - request.received) * 1e3, 3),
        }
        if request.rows:
            line["rows"] = request.rows
        self._lines.append(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
        if len(self._lines) >= _MOST_LINES:
            self.flush()


class _Logged(PassedOn):
    """A reply that tells, once, what was sent: 499 for a caller who had hung up, 200 and less for one cut off."""

    __slots__ = ("_log", "_request", "_sent")

    def __init__(self, request: Request, reply: Reply, log: Callable[[Request, int, int], None]) -> None:
        super().__init__(reply)
        self._request = request
        self._log = log
        self._sent = 0

    def send(self, response: Response) -> None:
        self._log(self._request, 499 if self._reply.closed else response.status, len(response.body))
        self._reply.send(response)

    async def write(self, chunk: bytes) -> None:
        self._sent += len(chunk)
        await self._reply.write(chunk)

    def end(self) -> None:
        self._log(self._request, 200, self._sent)
        self._reply.end()

    def abort(self) -> None:
        self._log(self._request, 499, self._sent)
        self._reply.abort()


def to_stdout(lines: bytes) -> None:
    """Write lines of the log where programs write what they have to tell."""
    sys.stdout.buffer.write(lines)
    sys.stdout.buffer.flush()
