"""What a server counts, and `/metrics`: the sum over all of its worker processes in the text form of Prometheus.

Counting happens for every request, so it is adding to numbers in memory that the workers share; they become metric
families only when somebody asks. Every number only ever grows, gauges are differences, and each worker has a part of
the memory of its own: no lock is needed, and a worker that takes the place of a dead one goes on from its numbers.
"""

from __future__ import annotations

import mmap
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelport.server.exposition import Exposition

if TYPE_CHECKING:
    from prometheus_client import Metric

_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_ROWS = tuple(float(2**power) for power in range(13))
_CODES = (200, 400, 401, 403, 404, 405, 408, 409, 411, 412, 413, 414, 415, 429, 431, 499, 500, 501, 503, 504)
_OTHER = "other"

# Where each number stands in a worker's part.
_BEGUN, _CAME, _WENT, _FAILED, _LOADED, _EVICTED = range(6)
_CODE = 6
_QUEUE = _CODE + len(_CODES) + 1
_PREDICT = _QUEUE + len(_SECONDS) + 2  # a histogram: its buckets, one beyond them, and the sum
_BATCH = _PREDICT + len(_SECONDS) + 2
_SIZE = _BATCH + len(_ROWS) + 2

_CELL_OF_CODE = {code: _CODE + index for index, code in enumerate(_CODES)}
_CELL_OF_OTHER = _CODE + len(_CODES)


@dataclass(frozen=True)
class ServedModel:
    """What the metrics say about the model."""

    name: str = ""
    version: str = ""
    framework: str = ""


class Tally:
    """The numbers of all workers, in memory that they share when they are forked from the process that makes this."""

    def __init__(self, workers: int = 1) -> None:
        self.workers = workers
        self.cells: memoryview[float] = memoryview(mmap.mmap(-1, workers * _SIZE * 8)).cast("d")

    def of_worker(self, number: int) -> memoryview[float]:
        """Return the part of a worker, whatever was under way in a dead predecessor written off."""
        part = self.cells[number * _SIZE : (number + 1) * _SIZE]
        part[_BEGUN] = sum(part[_CODE : _CELL_OF_OTHER + 1])
        part[_CAME] = part[_WENT]
        part[_EVICTED] = part[_LOADED]
        return part

    def totals(self) -> list[float]:
        """Return every number summed over the workers."""
        return [sum(self.cells[cell::_SIZE]) for cell in range(_SIZE)]


class Metrics:
    """Counts for one worker."""

    def __init__(self, tally: Tally | None = None, worker: int = 0) -> None:
        self._cells = (tally or Tally()).of_worker(worker)

    def begun(self) -> None:
        """Count a request that is under way now."""
        self._cells[_BEGUN] += 1

    def answered(self, code: int) -> None:
        """Count the answer to a request; 499 where the caller hung up."""
        self._cells[_CELL_OF_CODE.get(code, _CELL_OF_OTHER)] += 1

    def came(self) -> None:
        """Count a request that waits for the model now."""
        self._cells[_CAME] += 1

    def went(self, requests: int) -> None:
        """Count requests that do not wait any more."""
        self._cells[_WENT] += requests

    def waited(self, seconds: float) -> None:
        """Count how long one request waited for the model."""
        cells = self._cells
        cells[_QUEUE + bisect_left(_SECONDS, seconds)] += 1
        cells[_PREDICT - 1] += seconds

    def called(self, rows: int, seconds: float) -> None:
        """Count a call of the model."""
        cells = self._cells
        cells[_PREDICT + bisect_left(_SECONDS, seconds)] += 1
        cells[_BATCH - 1] += seconds
        cells[_BATCH + bisect_left(_ROWS, rows)] += 1
        cells[_SIZE - 1] += rows

    def failed(self) -> None:
        """Count a call of the model that raised."""
        self._cells[_FAILED] += 1

    def loaded(self) -> None:
        """Count a model that was loaded because it was asked for."""
        self._cells[_LOADED] += 1

    def evicted(self) -> None:
        """Count a model that made room for another."""
        self._cells[_EVICTED] += 1


class ServerMetrics(Exposition):
    """What all workers have counted, as metrics."""

    def __init__(self, tally: Tally, model: ServedModel) -> None:
        super().__init__()
        self._tally = tally
        self._model = model

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics as they are now."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        totals = self._tally.totals()
        codes = CounterMetricFamily("modelport_server_requests", "Predict requests answered.", labels=["code"])
        for label, count in zip((*map(str, _CODES), _OTHER), totals[_CODE:_QUEUE], strict=True):
            if count or label == "200":
                codes.add_metric([label], count)
        yield codes
        yield _gauge("in_flight", "Predict requests under way.", totals[_BEGUN] - sum(totals[_CODE:_QUEUE]))
        yield _gauge("waiting", "Predict requests that wait for the model.", totals[_CAME] - totals[_WENT])
        yield _histogram("queue_seconds", "Time that requests waited for the model.", _SECONDS, totals[_QUEUE:_PREDICT])
        yield _histogram(
            "predict_seconds",
            "Time of calls of the model, what it does before and after predicting included.",
            _SECONDS,
            totals[_PREDICT:_BATCH],
        )
        yield _histogram("batch_rows", "Rows in one call of the model.", _ROWS, totals[_BATCH:_SIZE])
        yield CounterMetricFamily("modelport_server_rows", "Rows predicted.", value=totals[_SIZE - 1])
        yield CounterMetricFamily("modelport_server_failed_calls", "Calls of the model that raised.", totals[_FAILED])
        if totals[_LOADED]:
            yield CounterMetricFamily("modelport_server_models_loaded", "Models loaded on demand.", totals[_LOADED])
            yield CounterMetricFamily("modelport_server_models_evicted", "Models evicted.", totals[_EVICTED])
            yield _gauge("models_held", "Models in memory.", totals[_LOADED] - totals[_EVICTED])
        yield _gauge("workers", "Worker processes.", self._tally.workers)
        info = GaugeMetricFamily(
            "modelport_server_model_info", "The model that is served.", labels=["name", "version", "framework"]
        )
        info.add_metric([self._model.name, self._model.version, self._model.framework], 1)
        yield info


def _gauge(name: str, text: str, value: float) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    return GaugeMetricFamily(f"modelport_server_{name}", text, value=max(0.0, value))


def _histogram(name: str, text: str, bounds: tuple[float, ...], cells: list[float]) -> Metric:
    from prometheus_client.core import HistogramMetricFamily

    *counts, total = cells
    reached, buckets = 0.0, []
    for bound, count in zip((*map(str, bounds), "+Inf"), counts, strict=True):
        reached += count
        buckets.append((bound, reached))
    return HistogramMetricFamily(f"modelport_server_{name}", text, buckets=buckets, sum_value=total)
