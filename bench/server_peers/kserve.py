"""KServe's SDK, protocol v1."""

# ruff: noqa: D101, D102
from __future__ import annotations

import sys

import kserve

from bench.server_job import answers, load


class Job(kserve.Model):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._predict = load()
        self.ready = True

    async def predict(self, payload, headers=None, response_headers=None):
        return {"predictions": answers(self._predict, payload["instances"])}


if __name__ == "__main__":
    kserve.ModelServer(http_port=int(sys.argv[1]), workers=1, enable_grpc=False, access_log_format=None).start(
        [Job("job")]
    )
