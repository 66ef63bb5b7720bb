"""A small real HTTP server that answers from a script and remembers what it was asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass(frozen=True)
class Answer:
    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)

    def content(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclass
class Asked:
    method: str
    path: str
    query: str
    body: bytes
    headers: dict[str, str]


class StandIn:
    """Answers `METHOD PATH` with the scripted answers in order; the last one is repeated."""

    def __init__(self, script: dict[str, list[Answer]]) -> None:
        self.script = script
        self.asked: list[Asked] = []
        self.endpoint = ""

    def calls(self) -> list[str]:
        return [f"{one.method} {one.path}" for one in self.asked]

    def answer(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        answers = self.script.get(f"{asked.method} {asked.path}", [])
        if not answers:
            return Answer(
                404, {"error": {"code": 404, "message": f"no script for {asked.path}", "status": "NOT_FOUND"}}
            )
        return answers.pop(0) if len(answers) > 1 else answers[0]


@contextmanager
def standing_in(script: dict[str, list[Answer]]) -> Iterator[StandIn]:
    stand_in = StandIn(script)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one packet: else each answer waits for an acknowledgement
        disable_nagle_algorithm = True

        def handle_any(self) -> None:
            path, _, query = self.path.partition("?")
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            answer = stand_in.answer(Asked(self.command, path, query, body, dict(self.headers)))
            content = answer.content()
            self.send_response(answer.status)
            for name, value in {"content-length": str(len(content)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_DELETE = handle_any

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    stand_in.endpoint = f"http://127.0.0.1:{server.server_port}"
    try:
        yield stand_in
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
