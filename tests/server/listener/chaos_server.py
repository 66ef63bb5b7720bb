"""A model server that misbehaves on demand: `python chaos_server.py FOLDER NAME [WORD …]`; it needs nothing but Python.

It listens at FOLDER/NAME.sock, or at AIP_HTTP_PORT with the word `tcp`. Its health is what FOLDER/health says, 200
where there is no such file. An instance may tell it to sleep, die, hang, or answer something else.
"""

import http.server
import json
import os
import signal
import socketserver
import sys
import threading
import time
from pathlib import Path

FOLDER, NAME, WORDS = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def address_string(self) -> str:
        return "caller"

    def log_message(self, *arguments: object) -> None:
        pass

    def answer(self, code: int, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(code)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        file = FOLDER / "health"
        code = int(file.read_text() or 200) if file.exists() else 200
        self.answer(code, {"path": self.path})

    def do_POST(self) -> None:
        rows = json.loads(self.rfile.read(int(self.headers["content-length"])))["instances"]
        word, _, value = str(rows[0]).partition(":")
        if word == "sleep":
            time.sleep(float(value))
        elif word == "exit":
            os._exit(int(value))
        elif word == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif word == "hang":
            os.kill(os.getpid(), signal.SIGSTOP)
        elif word == "garbage":
            self.wfile.write(b"\x00\x01 this is no HTTP\r\n\r\n")
            self.close_connection = True
            return
        elif word == "cut":
            self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nno more than this")
            self.close_connection = True
            return
        elif word == "nonsense":
            self.answer(200, {"outputs": "none"})
            return
        elif word == "fail":
            self.answer(int(value), {"error": "it will not"})
            return
        self.answer(200, {"predictions": [[row, os.getpid()] for row in rows]})


class OverUnix(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


def note(name: str, text: str = "") -> None:
    (FOLDER / name).write_text(text)


def starts() -> int:
    """Return how often it was started, this time included."""
    file = FOLDER / f"{NAME}.starts"
    count = int(file.read_text()) + 1 if file.exists() else 1
    file.write_text(str(count))
    return count


def main() -> None:
    count = starts()
    for word in WORDS:
        word, _, value = word.partition(":")
        if word == "die" or (word == "die_later" and count > 1):
            sys.exit(int(value))
        if word == "slow":
            time.sleep(float(value))
        if word == "deaf":
            signal.signal(signal.SIGTERM, lambda *_: note("deaf"))
        if word == "child" and os.fork() == 0:
            note("grandchild", str(os.getpid()))
            time.sleep(600)
    for one in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(one, lambda number, _: note(signal.Signals(number).name))
    if "tcp" in WORDS:
        server: socketserver.BaseServer = http.server.ThreadingHTTPServer(
            ("127.0.0.1", int(os.environ["AIP_HTTP_PORT"])), Handler
        )
    else:
        path = FOLDER / f"{NAME}.sock"
        path.unlink(missing_ok=True)
        server = OverUnix(str(path), Handler)
    if "deaf" not in WORDS:
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    note(f"{NAME}.environ", json.dumps(dict(os.environ)))
    server.serve_forever()
    note(f"{NAME}.ended")


if __name__ == "__main__":
    main()
