"""A bare RSGI function: what Granian itself costs, and the model."""

from __future__ import annotations

import orjson

from bench.server_job import answers, load

_predict = load()


async def app(scope, protocol):
    if scope.proto != "http":
        return
    instances = orjson.loads(await protocol())["instances"]
    body = orjson.dumps({"predictions": answers(_predict, instances)})
    protocol.response_bytes(200, [("content-type", "application/json")], body)
