"""Servers that are fine, in the stacks that people use; the cases break them, or start them wrongly."""

PREDICTIONS = '{"predictions": [sum(row) for row in request.get_json()["instances"]]}'


def flask(
    *, top: str = "", health: str = 'return "ok"', before_predicting: str = "pass", answer: str = PREDICTIONS
) -> str:
    """Return `app.py` of Flask, without the line that starts it; what is given takes the place of what is fine."""
    return f"""\
import os
import time

from flask import Flask, request

{top}
app = Flask(__name__)


@app.get("/health")
def health():
    {health}


@app.post("/predict")
def predict():
    {before_predicting}
    return {answer}


"""


FLASK = flask()
FLASK_RUN = 'app.run(host="0.0.0.0", port=int(os.environ["AIP_HTTP_PORT"]))\n'
GUNICORN = 'COPY . .\nCMD ["gunicorn", "--bind", "0.0.0.0:8080", "--threads", "4", "app:app"]\n'

# `main.py` of FastAPI, which uvicorn imports.
FASTAPI = """\
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()


class Rows(BaseModel):
    instances: list[list[float]]


@app.get("/health")
def health():
    return {"status": "ok"}


@app.post("/predict")
def predict(rows: Rows):
    return {"predictions": [sum(row) for row in rows.instances]}
"""
UVICORN = 'COPY . .\nCMD ["uvicorn", "main:app", "--host", "0.0.0.0", "--port", "8080"]\n'

# `server.js` of node's own HTTP server, without the line that starts it.
NODE_SERVER = """\
const http = require("http");

const server = http.createServer((request, response) => {
  if (request.url === "/health") return response.end("ok");
  if (request.method !== "POST" || request.url !== "/predict") return response.writeHead(404).end();
  let body = "";
  request.on("data", (chunk) => (body += chunk));
  request.on("end", () => {
    const rows = JSON.parse(body).instances;
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ predictions: rows.map((row) => row.reduce((a, b) => a + b, 0)) }));
  });
});

process.on("SIGTERM", () => server.close(() => process.exit(0)));
"""
# The line of it that refuses what is neither a health check nor a prediction.
NODE_REFUSAL = """\
  if (request.method !== "POST" || request.url !== "/predict") return response.writeHead(404).end();
"""
NODE_LISTEN = "server.listen(Number(process.env.AIP_HTTP_PORT));\n"

SHUT_DOWN = "lambda *_: threading.Thread(target=server.shutdown).start()"


def stdlib(*, health: str = "pass", before_predicting: str = "pass", on_sigterm: str = SHUT_DOWN) -> str:
    """Return `app.py` of the standard library; whoever uses it calls `serve()` at its end.

    `health` comes before the answer to a health check, where `started` tells when the program was.
    """
    return f"""\
import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

started = time.monotonic()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        {health}
        self.answer(200 if self.path == "/health" else 404, {{}})

    def do_POST(self):
        {before_predicting}
        rows = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["instances"]
        self.answer(200, {{"predictions": [sum(row) for row in rows]}})

    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


def listen(host, port):
    return ThreadingHTTPServer((host, port), Handler)


def serve(host="0.0.0.0", port=int(os.environ.get("AIP_HTTP_PORT", "8080"))):
    server = listen(host, port)
    server.daemon_threads = False  # what is under way is answered before the end
    signal.signal(signal.SIGTERM, {on_sigterm})
    server.serve_forever()
    server.server_close()


"""


STDLIB = stdlib()


def until(seconds: int, status: int) -> str:
    """Return what `health` of `stdlib` does so as to answer with `status` for so long."""
    return f"if time.monotonic() - started < {seconds}: return self.answer({status}, {{'state': 'starting'}})"
