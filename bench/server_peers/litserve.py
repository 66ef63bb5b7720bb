"""LitServe, its batching by BATCH."""

# ruff: noqa: D101, D102
from __future__ import annotations

import os
import sys

import litserve
import numpy as np

from bench.server_job import load


class Job(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self._predict = load()

    def decode_request(self, request: dict) -> np.ndarray:
        return np.asarray(request["instances"], dtype=np.float64)

    def batch(self, inputs: list[np.ndarray]) -> np.ndarray:
        self._sizes = np.cumsum([len(rows) for rows in inputs])[:-1]
        return np.concatenate(inputs)

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        return self._predict(inputs)

    def unbatch(self, output: np.ndarray) -> list[np.ndarray]:
        return np.split(output, self._sizes)

    def encode_response(self, output: np.ndarray) -> dict:
        return {"predictions": output.tolist()}


if __name__ == "__main__":
    size = int(os.environ["BATCH"])
    job = Job(max_batch_size=size, batch_timeout=0.001) if size > 1 else Job()
    server = litserve.LitServer(job, accelerator="cpu", devices=1, workers_per_device=1, timeout=60)
    server.run(
        host="127.0.0.1", port=int(sys.argv[1]), num_api_servers=1, log_level="warning", generate_client_file=False
    )
