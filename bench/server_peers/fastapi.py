"""FastAPI on uvicorn: the body read with orjson, as validating each number by pydantic would cost more."""

from __future__ import annotations

import orjson
from fastapi import FastAPI, Request, Response

from bench.server_job import answers, load

_predict = load()
app = FastAPI()


@app.post("/predict")
async def predict(request: Request) -> Response:
    instances = orjson.loads(await request.body())["instances"]
    return Response(orjson.dumps({"predictions": answers(_predict, instances)}), media_type="application/json")
