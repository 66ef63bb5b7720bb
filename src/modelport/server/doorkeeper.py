"""The doorkeeper: answers 503 while no worker is ready, so that health is told truly from the first moment.

A small process of its own, because the supervisor may be busy loading a model. It shares the listening socket with the
workers and accepts on it only while the supervisor says so: never a 503 after the first 200.
"""

from __future__ import annotations

import json
import selectors
import socket
import time
from dataclasses import dataclass, field

OPEN, SHUT = b"O", b"S"

_MOST_CALLERS = 256
_PATIENCE_S = 5.0  # for a caller to send a head, and to take in the answer
_LAST_WORDS_S = 0.1  # for a caller who is let in to ask, once a worker is about to take over
_MOST_HEAD_BYTES = 16 * 1024
_LOADING = b'{"status":"loading"}'
_UNAVAILABLE = json.dumps(
    {
        "error": {
            "code": 503,
            "message": "The model is being loaded",
            "status": "UNAVAILABLE",
            "details": [
                {
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": "MODEL_LOADING",
                    "domain": "modelport.server",
                    "metadata": {"hint": "Try again when the health route answers 200"},
                }
            ],
        }
    },
    separators=(",", ":"),
).encode()


def answer(head: bytes, health_route: bytes) -> bytes:
    """Return the whole answer to a request with this head."""
    line = head.split(b"\r\n", 1)[0].split(b" ")
    method, target = (line[0], line[1]) if len(line) > 1 else (b"", b"")
    body = _LOADING if target.partition(b"?")[0] == health_route else _UNAVAILABLE
    return (
        b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
        b"retry-after: 1\r\nconnection: close\r\n\r\n%b" % (len(body), b"" if method == b"HEAD" else body)
    )


@dataclass(slots=True)
class _Caller:
    until: float
    head: bytearray = field(default_factory=bytearray)
    answered: bool = False


class Doorkeeper:
    """Accepts while the door is open; `orders` is where the supervisor says so, and is told that it was done."""

    def __init__(self, listener: socket.socket, orders: socket.socket, health_route: str) -> None:
        self._listener = listener
        self._orders = orders
        self._health_route = health_route.encode()
        self._selector = selectors.DefaultSelector()
        self._callers: dict[socket.socket, _Caller] = {}
        self._open = False
        self._accepting = False

    def run(self) -> None:
        """Serve until the supervisor is gone."""
        self._selector.register(self._orders, selectors.EVENT_READ)
        while True:
            timeout = 1.0 if self._callers else None
            for key, _ in self._selector.select(timeout):
                if key.fileobj is self._orders:
                    order = self._orders.recv(1)
                    if not order:
                        return
                    self._obey(order)
                elif key.fileobj is self._listener:
                    self._accept()
                elif isinstance(key.fileobj, socket.socket) and key.fileobj in self._callers:
                    self._hear(key.fileobj)
            self._dismiss_the_slow()
            self._accept_as_far_as_allowed()

    def _obey(self, order: bytes) -> None:
        self._open = order == OPEN
        self._accept_as_far_as_allowed()
        if not self._open:
            self._answer_the_last()
        self._orders.send(order)

    def _answer_the_last(self) -> None:
        """Answer those who were let in, before a worker may say that it is ready."""
        until = time.monotonic() + _LAST_WORDS_S
        while self._unanswered() and (left := until - time.monotonic()) > 0:
            for key, _ in self._selector.select(left):
                if isinstance(key.fileobj, socket.socket) and key.fileobj in self._callers:
                    self._hear(key.fileobj)
        for connection in self._unanswered():
            # Whatever it will ask is for a worker to answer: it will find one when it connects again.
            self._drop(connection)

    def _unanswered(self) -> list[socket.socket]:
        return [one for one, caller in self._callers.items() if not caller.answered]

    def _accept_as_far_as_allowed(self) -> None:
        wanted = self._open and len(self._callers) < _MOST_CALLERS
        if wanted and not self._accepting:
            self._selector.register(self._listener, selectors.EVENT_READ)
        elif self._accepting and not wanted:
            self._selector.unregister(self._listener)
        self._accepting = wanted

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:  # gone again, or out of descriptors
            return
        connection.setblocking(False)
        self._callers[connection] = _Caller(time.monotonic() + _PATIENCE_S)
        self._selector.register(connection, selectors.EVENT_READ)

    def _hear(self, connection: socket.socket) -> None:
        caller = self._callers[connection]
        try:
            data = connection.recv(65536)
            if not data:
                self._drop(connection)
            elif not caller.answered:
                caller.head += data
                if b"\r\n\r\n" in caller.head or len(caller.head) > _MOST_HEAD_BYTES:
                    # Smaller than any send buffer: it is taken whole. Then what follows is read and thrown away until
                    # the caller closes, else a reset could overtake the answer.
                    connection.send(answer(bytes(caller.head), self._health_route))
                    connection.shutdown(socket.SHUT_WR)
                    caller.answered, caller.head = True, bytearray()
        except BlockingIOError:
            return
        except OSError:
            self._drop(connection)

    def _dismiss_the_slow(self) -> None:
        now = time.monotonic()
        for connection in [one for one, caller in self._callers.items() if caller.until < now]:
            self._drop(connection)

    def _drop(self, connection: socket.socket) -> None:
        del self._callers[connection]
        self._selector.unregister(connection)
        connection.close()
