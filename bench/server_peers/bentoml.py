"""BentoML, its adaptive batching by BATCH."""

# ruff: noqa: D101, D102
from __future__ import annotations

import os

import bentoml
import numpy as np

from bench.server_job import load

_SIZE = int(os.environ["BATCH"])


@bentoml.service(workers=1, traffic={"timeout": 60, "max_concurrency": 1024}, metrics={"enabled": False})
class Job:
    def __init__(self) -> None:
        self._predict = load()

    @bentoml.api(route="/predict", batchable=_SIZE > 1, max_batch_size=max(_SIZE, 2), max_latency_ms=1000)
    def predict(self, instances: np.ndarray) -> np.ndarray:
        return self._predict(instances)
