"""The fake driver: replicas that are tiny HTTP servers inside this process, scripted by their image.

For tests and for trying the platform out; nothing is run, and all replicas end with this process. An image is
`fake:KIND` with options as in a URL, such as `fake:slow?ready=0.5`:

* `ok`: answers health with 200, and a prediction with its own instances;
* `slow`: as `ok`, with health 503 for the first `ready` seconds (0.5);
* `unhealthy`: health answers 500;
* `no-listen`: runs, but listens nowhere;
* `crash`: exits with `code` (1) `after` seconds (0);
* `oom`: as `crash`, with 137, killed for memory;
* `loopback`, `other-port`: run, and listen only where nobody can reach them, as their facts show (`shows`).

Every kind takes every option, and `latency`, the seconds that a prediction takes. As a real server may, it reads its
environment: `CRASH=3` is `code=3`.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from threading import Thread, Timer
from urllib.parse import parse_qsl

import anyio
import anyio.to_thread

from modelport.core.environment import Invocation, invocation
from modelport.core.environments import Environment
from modelport.core.errors import ImageNotFound
from modelport.core.facts import HostFacts, ImageFacts, ListeningSocket, ReplicaFacts
from modelport.core.replicas import Address, Exit, LogLine, Replica, ReplicaSpec, ReplicaState
from modelport.drivers.base import DriverHealth, DriverState
from modelport.drivers.log_files import read_logs
from modelport.drivers.log_writer import LogWriter

_KILLED = 128 + signal.SIGKILL
_KINDS: dict[str, dict[str, str]] = {
    "ok": {},
    "slow": {"ready": "0.5"},
    "unhealthy": {"health": "500"},
    "no-listen": {"listen": "0"},
    "crash": {"code": "1"},
    "oom": {"code": "137", "oom": "1"},
    "loopback": {"listen": "0", "shows": "127.0.0.1:8080"},
    "other-port": {"listen": "0", "shows": "0.0.0.0:5000"},
}


class FakeDriver:
    """See `drivers.base.Driver`. Replicas live in memory: a new driver knows none of those of an old one."""

    name = "fake"

    def __init__(self, log_dir: Path, *, log_bytes: int = 1024**2, log_files: int = 3) -> None:
        self._log_dir = log_dir
        self._log_bytes = log_bytes
        self._log_files = log_files
        self._replicas: dict[str, _FakeReplica] = {}
        self._changing = anyio.Lock()

    async def health(self) -> DriverHealth:
        """Return HEALTHY."""
        return DriverHealth(DriverState.HEALTHY, version="1", message="Replicas are simulated")

    async def pin(self, image: str) -> str:
        """Return `image`, which never changes its meaning."""
        _Script.parse(image)
        return image

    async def environment(self, environment: Environment) -> str:
        """Return an image that serves, whatever is to be installed."""
        return "fake:ok"

    async def prune(self, keep: frozenset[str]) -> None:
        """Do nothing: nothing was built."""

    async def list(self) -> list[Replica]:
        """Return every replica, running or dead."""
        return [replica.seen() for replica in self._replicas.values()]

    async def ensure(self, spec: ReplicaSpec) -> None:
        """Make the replica run."""
        script = _Script.parse(spec.image)
        async with self._changing:
            existing = self._replicas.get(spec.name)
            if existing and existing.spec.digest == spec.digest and existing.spec.attempt >= spec.attempt:
                return
            if existing:
                await anyio.to_thread.run_sync(existing.stop)
            log = LogWriter(
                self._log_dir / spec.name, spec.attempt, max_bytes=self._log_bytes, max_files=self._log_files
            )
            self._replicas[spec.name] = await anyio.to_thread.run_sync(_FakeReplica, spec, script, log)

    async def stop(self, name: str, *, grace_s: float) -> None:
        """Stop at once: nothing here needs the grace."""
        async with self._changing:
            replica = self._replicas.pop(name, None)
            if replica:
                await anyio.to_thread.run_sync(replica.stop)

    def logs(self, name: str, *, tail: int, follow: bool = False) -> AsyncIterator[LogLine]:
        """Yield what the replicas of this name printed."""
        return read_logs(self._log_dir, name, tail=tail, follow=follow)

    async def events(self) -> AsyncIterator[str]:
        """Yield names of replicas that changed."""
        before: dict[str, object] = {}
        while True:
            now: dict[str, object] = {
                name: (replica.spec.digest, replica.spec.attempt, replica.exit is None)
                for name, replica in self._replicas.items()
            }
            for name in sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name)):
                yield name
            before = now
            await anyio.sleep(0.05)

    async def facts(self, name: str) -> ReplicaFacts | None:
        """Return where the replica listens, and the command that it was given."""
        replica = self._replicas.get(name)
        return replica.facts() if replica else None

    async def image_facts(self, image: str) -> ImageFacts | None:
        """Return nothing but the name."""
        try:
            _Script.parse(image)
        except ImageNotFound:
            return None
        return ImageFacts(image)

    def storage_uri(self, model_dir: PurePosixPath) -> str:
        """Return the folder itself."""
        return str(model_dir)

    async def host_facts(self) -> HostFacts:
        """Return nothing but the driver."""
        return HostFacts(driver=self.name, driver_version="1")

    async def close(self) -> None:
        """Do nothing: there are no connections."""


@dataclass(frozen=True)
class _Script:
    """What an image stands for."""

    options: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, image: str) -> _Script:
        kind, _, query = image.removeprefix("fake:").partition("?")
        if not image.startswith("fake:") or kind not in _KINDS:
            kinds = ", ".join(f"`fake:{kind}`" for kind in _KINDS)
            raise ImageNotFound(f"`{image}` is no image of the fake driver", hint=f"Use one of {kinds}", image=image)
        return cls(_KINDS[kind] | dict(parse_qsl(query)))

    def number(self, option: str, default: float = 0.0) -> float:
        return float(self.options.get(option, default))


class _FakeReplica:
    """One server on loopback with a thread of its own."""

    def __init__(self, spec: ReplicaSpec, script: _Script, log: LogWriter) -> None:
        self.spec = spec
        self.exit: Exit | None = None
        self._log = log
        self._started_at = datetime.now(UTC)
        self._server = _Server(("127.0.0.1", 0), _Handler, bind_and_activate=False)
        self._server.server_bind()
        host, port = self._server.server_address[:2]
        self.address = Address(str(host), int(port))
        storage_uri = str(spec.model_dir) if spec.model_dir else ""
        self._server.invocation = invocation(spec, port=self.address.port, storage_uri=storage_uri)
        self._server.script = script
        self._server.ready_at = time.monotonic() + script.number("ready")
        self._serving: Thread | None = None
        self._dying: Timer | None = None
        log.write("stdout", f"listening on {self.address}".encode())
        log.write("stderr", b"simulated: no program runs")
        code = self._server.invocation.env.get("CRASH") or script.options.get("code")
        if code is not None and not script.number("after"):
            self._die(int(code))
            return
        if script.number("listen", 1):
            self._server.server_activate()
            self._serving = Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
            self._serving.start()
        if code is not None:
            self._dying = Timer(script.number("after"), self._die, (int(code),))
            self._dying.daemon = True
            self._dying.start()

    def seen(self) -> Replica:
        """Return the replica as a driver shows it."""
        return Replica(
            name=self.spec.name,
            owner=self.spec.owner,
            digest=self.spec.digest,
            attempt=self.spec.attempt,
            state=ReplicaState.RUNNING if self.exit is None else ReplicaState.EXITED,
            address=self.address,
            exit=self.exit,
            started_at=self._started_at,
        )

    def facts(self) -> ReplicaFacts:
        """Return what there is to see of it."""
        return ReplicaFacts(
            taken_at=datetime.now(UTC),
            attempt=self.spec.attempt,
            image=ImageFacts(self.spec.image),
            command=(*self._server.invocation.command, *self._server.invocation.args),
            sockets=self._sockets() if self.exit is None else None,
            oom_kills=int(self.exit is not None and self.exit.oom_killed),
            reports_oom=True,
            address=self.address.host,
        )

    def _sockets(self) -> tuple[ListeningSocket, ...]:
        shown = self._server.script.options.get("shows", str(self.address) if self._serving else "")
        host, _, port = shown.rpartition(":")
        return (ListeningSocket(host, int(port)),) if shown else ()

    def stop(self) -> None:
        """End the server; its log stays."""
        if self._dying:
            self._dying.cancel()
            self._dying.join()
        if self.exit is None:
            self._die(0)

    def _die(self, code: int) -> None:
        if self._serving:
            self._server.stopped = True
            self._server.shutdown()
        self._server.server_close()
        self._log.write("stderr", f"exiting with code {code}".encode())
        self._log.close()
        killed = bool(self._server.script.number("oom")) and code == _KILLED
        self.exit = Exit(code, signal.SIGKILL if killed else None, killed, finished_at=datetime.now(UTC))


class _Server(ThreadingHTTPServer):
    invocation: Invocation
    script: _Script
    ready_at = 0.0
    stopped = False
    daemon_threads = True
    request_queue_size = 128


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # An answer goes out in one piece: head and body apart would wait for each other for 40 ms.
    wbufsize = -1
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        """Answer a health check, or show what the replica was given."""
        given = {"/env": self.server.invocation.env, "/argv": list(self.server.invocation.args)}
        if self.path in given:
            return self._answer(200, given[self.path])
        ready = time.monotonic() >= self.server.ready_at
        return self._answer(int(self.server.script.number("health", 200)) if ready else 503, {"ready": ready})

    def do_POST(self) -> None:
        """Answer a prediction with its own instances."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        time.sleep(self.server.script.number("latency"))
        try:
            return self._answer(200, {"predictions": json.loads(body)["instances"]})
        except (ValueError, KeyError, TypeError):
            return self._answer(400, {"error": 'the body is not {"instances": [...]}'})

    def log_message(self, format: str, *args: object) -> None:
        """Keep requests out of the log."""

    def _answer(self, status: int, body: object) -> None:
        if self.server.stopped:
            self.close_connection = True
            return
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
