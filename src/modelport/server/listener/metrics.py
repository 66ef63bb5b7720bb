"""What a listener counts, and `/metrics`: requests by answer, how long each step takes, and how its servers stand."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from modelport.server.exposition import Exposition
from modelport.server.listener.children.health import Phase
from modelport.server.listener.children.model_server import ModelServer
from modelport.server.listener.steps.work import Context, Work
from modelport.server.listener.times import Times
from modelport.server.model import Batch

if TYPE_CHECKING:
    from prometheus_client import Metric

_PREFIX = "modelport_listener"


class Measured:
    """A piece of work, each run of it counted with its time."""

    def __init__(self, work: Work, times: Times) -> None:
        self._work = work
        self._times = times

    async def run(self, inputs: Mapping[str, Batch], context: Context) -> Batch:
        """Return what the work gives."""
        before, failed = time.perf_counter(), True
        try:
            batch = await self._work.run(inputs, context)
            failed = False
        finally:
            self._times.add(time.perf_counter() - before, failed=failed)
        return batch


class ListenerMetrics(Exposition):
    """The numbers of a listener."""

    def __init__(self, name: str = "", version: str = "") -> None:
        super().__init__()
        self.servers: Sequence[ModelServer] = ()
        self._labels = [name, version]
        self._begun = 0
        self._codes: Counter[int] = Counter()
        self._steps: dict[tuple[str, ...], Times] = {}

    def begun(self) -> None:
        """Count a request that is under way now."""
        self._begun += 1

    def answered(self, code: int) -> None:
        """Count the answer to a request; 499 where the caller hung up."""
        self._codes[code] += 1

    def measured(self, work: Work, target: str, step: str) -> Work:
        """Return work that is counted as this step of this target."""
        return Measured(work, self._steps.setdefault((target, step), Times()))

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics as they are now."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        codes = CounterMetricFamily(f"{_PREFIX}_requests", "Requests answered.", labels=["code"])
        for code, count in sorted({200: 0, **self._codes}.items()):
            codes.add_metric([str(code)], count)
        yield codes
        under_way = max(0, self._begun - self._codes.total())
        yield GaugeMetricFamily(f"{_PREFIX}_in_flight", "Requests under way.", value=under_way)
        yield from _timed("step", "Runs of a step, waiting included", ["target", "step"], self._steps)
        servers: dict[tuple[str, ...], Times] = {(one.server.name,): one.times for one in self.servers}
        yield from _timed("server", "Requests to a model server", ["server"], servers)
        ready = GaugeMetricFamily(f"{_PREFIX}_server_ready", "Whether a model server is ready.", labels=["server"])
        restarts = CounterMetricFamily(f"{_PREFIX}_server_restarts", "Its starts but the first.", labels=["server"])
        for one in self.servers:
            ready.add_metric([one.server.name], one.standing.phase is Phase.READY)
            restarts.add_metric([one.server.name], one.restarts)
        yield ready
        yield restarts
        info = GaugeMetricFamily(f"{_PREFIX}_info", "What is served.", labels=["name", "version"])
        info.add_metric(self._labels, 1)
        yield info


def _timed(of: str, what: str, labels: list[str], times: Mapping[tuple[str, ...], Times]) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

    seconds = HistogramMetricFamily(f"{_PREFIX}_{of}_seconds", f"{what}.", labels=labels)
    failed = CounterMetricFamily(f"{_PREFIX}_{of}_failures", f"{what} that failed.", labels=labels)
    for names, one in times.items():
        seconds.add_metric(names, one.buckets(), one.total)
        failed.add_metric(names, one.failed)
    yield seconds
    yield failed
