"""Real model servers on loopback: Flask in a thread, with its log, and FastAPI in the same event loop."""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import anyio
import uvicorn
from fastapi import FastAPI
from flask import Flask
from werkzeug.serving import make_server

from modelport.core.replicas import Address
from modelport.doctor.evidence import SpecFacts

SPEC = SpecFacts(predict_route="/predict", health_route="/health")


def now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Serving:
    address: Address
    log: io.StringIO = field(default_factory=io.StringIO)
    read: int = 0

    @property
    def new_log(self) -> Callable[[], Awaitable[str]]:
        async def read() -> str:
            new = self.log.getvalue()[self.read :]
            self.read += len(new)
            return new

        return read


@contextmanager
def serving(predict: Callable[[], Any], *, threaded: bool = True, route: str = "/predict") -> Iterator[Serving]:
    """Serve POST on `route`, and /health; exceptions go to the log as Flask writes them."""
    log = io.StringIO()
    app = Flask("model")
    app.logger.handlers = [logging.StreamHandler(log)]
    app.logger.propagate = False
    app.add_url_rule("/health", view_func=lambda: "ok", endpoint="health")
    app.add_url_rule(route, view_func=predict, methods=["POST"], endpoint="predict")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, app, threaded=threaded)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield Serving(Address("127.0.0.1", server.port), log)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@asynccontextmanager
async def uvicorn_serving(app: FastAPI) -> AsyncIterator[Address]:
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", ws="none"))
    async with anyio.create_task_group() as group:
        group.start_soon(server.serve)
        while not server.started:
            await anyio.sleep(0.01)
        yield Address("127.0.0.1", server.servers[0].sockets[0].getsockname()[1])
        server.should_exit = True
