"""The `/metrics` route: whatever a collector yields, in the text form of Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from modelport.server.exchange import Reply, Request, Response

if TYPE_CHECKING:
    from prometheus_client import Metric


class Exposition:
    """The handler of the route, and a collector of prometheus-client: the base of one that has something to tell."""

    def __init__(self) -> None:
        self._write: Callable[[], bytes] | None = None

    def __call__(self, request: Request, reply: Reply) -> None:
        """Answer a scrape."""
        if self._write is None:
            self._write = self._writer()
        reply.send(Response(200, self._write(), b"text/plain; version=0.0.4; charset=utf-8"))

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics as they are now."""
        raise NotImplementedError

    def describe(self) -> list[Metric]:
        """Name no metric beforehand."""
        return []

    def _writer(self) -> Callable[[], bytes]:
        # Only when first asked: the library brings an HTTP server and more along, and takes longer to import than
        # all else here together.
        from prometheus_client import CollectorRegistry, generate_latest

        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return lambda: generate_latest(registry)
