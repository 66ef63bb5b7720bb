"""A bare ASGI function: what uvicorn itself costs, and the model."""

from __future__ import annotations

import orjson

from bench.server_job import answers, load

_predict = load()


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    chunks, more = [], True
    while more:
        message = await receive()
        chunks.append(message.get("body", b""))
        more = message.get("more_body", False)
    body = orjson.dumps({"predictions": answers(_predict, orjson.loads(b"".join(chunks))["instances"])})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
