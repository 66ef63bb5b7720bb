"""Flask on gunicorn's threads."""

from __future__ import annotations

import orjson
from flask import Flask, Response, request

from bench.server_job import answers, load

_predict = load()
app = Flask(__name__)


@app.post("/predict")
def predict() -> Response:
    instances = orjson.loads(request.get_data())["instances"]
    return Response(orjson.dumps({"predictions": answers(_predict, instances)}), mimetype="application/json")
