"""The smallest model server: remembers when it was born, started, was ready, and was first found ready.

START_S is the time that it takes to become ready; until then its health route answers 503.
"""

import json
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

STARTED = time.monotonic()
READY = STARTED + float(os.environ.get("START_S", "0"))


def born() -> float:
    """Return when the kernel made this process, on the clock of time.monotonic."""
    with open("/proc/self/stat") as file:  # noqa: PTH123 - pathlib would be imported for this alone
        ticks = int(file.read().rpartition(")")[2].split()[19])
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return time.monotonic() - age


TIMES = {"born": born(), "started": STARTED, "ready": READY}


class Handler(BaseHTTPRequestHandler):
    """Health, predictions, and the moments that were remembered."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Answer /times, and every other path as the health route."""
        if self.path == "/times":
            self.answer(200, TIMES)
        elif time.monotonic() < READY:
            self.answer(503, {})
        else:
            self.answer(200, {})
            TIMES.setdefault("answered", time.monotonic())

    def do_POST(self) -> None:
        """Predict the version's own name."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer(200, {"predictions": [os.environ["AIP_VERSION_NAME"]]})

    def answer(self, status: int, body: Any) -> None:
        """Send an answer in one piece."""
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Write nothing."""


class Server(ThreadingHTTPServer):
    """As many connections may wait as a gateway opens at once."""

    request_queue_size = 128


with Server(("127.0.0.1", int(os.environ["AIP_HTTP_PORT"])), Handler) as server:
    TIMES["ready"] = max(READY, time.monotonic())
    server.serve_forever()
