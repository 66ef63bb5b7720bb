"""A model server for the driver tests: standard library only, and told by its environment how to misbehave.

CRASH=N exits with N; STUBBORN=1 ignores SIGTERM; SPAWN=1 starts a grandchild in a session of its own.
"""

import json
import os
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    grandchild = 0

    def do_GET(self):
        answers = {
            "/health": lambda: {"ok": True},
            "/env": lambda: dict(os.environ),
            "/argv": lambda: sys.argv[1:],
            "/cwd": lambda: str(Path.cwd()),
            "/files": self.files,
            "/write": self.write,
            "/pids": lambda: {"server": os.getpid(), "grandchild": self.grandchild},
            "/print": self.print,
        }
        answer = answers.get(self.path.partition("?")[0])
        self.answer(200, answer()) if answer else self.answer(404, {"error": self.path})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer(200, {"predictions": json.loads(body)["instances"]})

    def files(self):
        root = Path(os.environ["AIP_STORAGE_URI"])
        return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}

    def write(self):
        try:
            Path(os.environ["AIP_STORAGE_URI"], "written").write_text("x")
        except OSError as error:
            return {"written": False, "errno": error.errno}
        return {"written": True}

    def print(self):
        print(self.path.partition("?")[2], flush=True)
        return {}

    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


def main():
    port = int(os.environ["AIP_HTTP_PORT"])
    print(f"listening on port {port}", flush=True)
    print("a word on stderr", file=sys.stderr, flush=True)
    if os.environ.get("CRASH"):
        sys.exit(int(os.environ["CRASH"]))
    stubborn = bool(os.environ.get("STUBBORN"))
    signal.signal(signal.SIGTERM, signal.SIG_IGN if stubborn else lambda *_: sys.exit(0))
    if os.environ.get("SPAWN"):
        sleep = [sys.executable, "-c", f"import time; time.sleep({60})"]
        Handler.grandchild = subprocess.Popen(sleep, start_new_session=True).pid
    time.sleep(float(os.environ.get("START_S", "0")))
    ThreadingHTTPServer.request_queue_size = 128
    ThreadingHTTPServer((os.environ.get("HOST", "0.0.0.0"), port), Handler).serve_forever()


main()
