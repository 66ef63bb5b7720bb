"""Counts requests and their answers around a handler."""

from __future__ import annotations

from typing import Protocol

from modelport.core.errors import Error
from modelport.server import failures
from modelport.server.exchange import Handler, PassedOn, Reply, Request, Response

_HUNG_UP = 499


class Counts(Protocol):
    """What keeps the numbers."""

    def begun(self) -> None:
        """Count a request that is under way now."""
        ...

    def answered(self, code: int) -> None:
        """Count the answer to a request; 499 where the caller hung up."""
        ...


def counted(handler: Handler, metrics: Counts) -> Handler:
    """Return a handler that answers as the other does, every answer counted by its code."""

    def count(request: Request, reply: Reply) -> None:
        metrics.begun()
        counting = _Counting(reply, metrics)
        try:
            handler(request, counting)
        except Error as error:
            counting.send(failures.response(error))
        except Exception:
            metrics.answered(500)
            raise

    return count


class _Counting(PassedOn):
    """A reply that counts what it is given; one whose caller has hung up counts as 499."""

    __slots__ = ("_metrics",)

    def __init__(self, reply: Reply, metrics: Counts) -> None:
        super().__init__(reply)
        self._metrics = metrics

    def send(self, response: Response) -> None:
        self._metrics.answered(_HUNG_UP if self._reply.closed else response.status)
        self._reply.send(response)

    def end(self) -> None:
        self._metrics.answered(_HUNG_UP if self._reply.closed else 200)
        self._reply.end()

    def abort(self) -> None:
        self._metrics.answered(_HUNG_UP)
        self._reply.abort()
