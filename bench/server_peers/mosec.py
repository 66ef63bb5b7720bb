"""mosec, its batching by BATCH; JSON by orjson, as its documentation recommends for speed."""

# ruff: noqa: D101, D102
from __future__ import annotations

import os

import numpy as np
import orjson
from mosec import Server, Worker

from bench.server_job import load

_SIZE = int(os.environ["BATCH"])


class Job(Worker):
    def __init__(self) -> None:
        self._predict = load()

    def deserialize(self, data: bytes) -> np.ndarray:
        return np.asarray(orjson.loads(data)["instances"], dtype=np.float64)

    def serialize(self, data: np.ndarray) -> bytes:
        return orjson.dumps({"predictions": data.tolist()})

    def forward(self, data):
        if _SIZE == 1:
            return self._predict(data)
        sizes = np.cumsum([len(rows) for rows in data])[:-1]
        return np.split(self._predict(np.concatenate(data)), sizes)


if __name__ == "__main__":
    server = Server()
    if _SIZE == 1:
        server.append_worker(Job, num=1, timeout=60)
    else:
        server.append_worker(Job, num=1, max_batch_size=_SIZE, max_wait_time=1, timeout=60)
    server.run()
