"""The SIGTERM stage with real processes: an orderly end, a deaf server, a prediction that is lost."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from modelport.check.draining import drain, was_killed
from modelport.check.samples import Origin, Sample
from modelport.core.replicas import Address, EnvVar, Exit, ReplicaSpec
from modelport.doctor.evidence import Prediction, Purpose, SpecFacts, Stopping
from modelport.doctor.exchange import http_client
from modelport.drivers.process import ProcessDriver
from tests.check.servers import now
from tests.conformance.driver import until_serving

SPEC = SpecFacts(predict_route="/predict", health_route="/health")
SAMPLE = Sample([[1.0]], {}, Origin.GIVEN)
NAME = "mp-m-v-0123456789-0"
SERVER = """
import json, os, signal, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(b"ok")

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        time.sleep(float(os.environ["PREDICT_S"]))
        self.answer(json.dumps({"predictions": body["instances"]}).encode())

    def answer(self, data):
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass

class Server(ThreadingHTTPServer):
    daemon_threads = False  # the end of the program waits for answers that are under way

server = Server(("127.0.0.1", int(os.environ["AIP_HTTP_PORT"])), Handler)
on_sigterm = {
    "drain": lambda *_: threading.Thread(target=server.shutdown).start(),
    "drop": lambda *_: os._exit(0),
    "ignore": signal.SIG_IGN,
    "die": signal.SIG_DFL,
}
signal.signal(signal.SIGTERM, on_sigterm[os.environ["ON_SIGTERM"]])
server.serve_forever(0.05)
"""


async def unchanged(folder: Path) -> Path:
    return folder


@pytest.fixture
async def driver(tmp_path: Path) -> AsyncIterator[ProcessDriver]:
    driver = ProcessDriver(
        tmp_path / "replicas", log_dir=tmp_path / "logs", environment_dir=tmp_path / "envs", snapshot=unchanged
    )
    yield driver
    for replica in await driver.list():
        await driver.stop(replica.name, grace_s=0)


async def drained(
    driver: ProcessDriver,
    tmp_path: Path,
    on_sigterm: str,
    *,
    sample: Sample | None = SAMPLE,
    predict_s: float = 0.4,
    grace_s: float = 5,
) -> tuple[Stopping, tuple[Prediction, ...]]:
    folder = tmp_path / "image"
    folder.mkdir()
    (folder / "server.py").write_text(SERVER)
    env = (EnvVar("ON_SIGTERM", on_sigterm), EnvVar("PREDICT_S", str(predict_s)))
    spec = ReplicaSpec(NAME, "projects/p/models/m/versions/v", folder.as_uri(), env=env)
    await driver.ensure(replace(spec, command=("python3", "server.py")))
    replica = await until_serving(driver, NAME)
    assert replica.address is not None
    async with http_client() as client:
        return await drain(
            client,
            driver,
            NAME,
            base_url=replica.address.base_url,
            spec=SPEC,
            sample=sample,
            grace_s=grace_s,
            now=now,
            timeout_s=10,
        )


@pytest.mark.anyio
async def test_a_server_that_drains_answers_and_ends_in_time(driver: ProcessDriver, tmp_path: Path) -> None:
    stopping, [prediction] = await drained(driver, tmp_path, "drain")
    assert not stopping.killed
    assert stopping.took_s > 0.2
    assert (prediction.purpose, prediction.exchange.status) == (Purpose.DRAINING, 200)
    assert prediction.complete_body == '{"predictions": [[1.0]]}'
    assert await driver.list() == []


@pytest.mark.anyio
@pytest.mark.parametrize("on_sigterm", ["drop", "die"])
async def test_a_prediction_that_is_dropped_shows(driver: ProcessDriver, tmp_path: Path, on_sigterm: str) -> None:
    stopping, [prediction] = await drained(driver, tmp_path, on_sigterm)
    assert not stopping.killed
    assert (prediction.exchange.status, prediction.exchange.error) == (None, "connection closed without an answer")


@pytest.mark.anyio
async def test_a_server_that_is_deaf_to_sigterm_is_killed_after_its_grace(
    driver: ProcessDriver, tmp_path: Path
) -> None:
    stopping, [prediction] = await drained(driver, tmp_path, "ignore", predict_s=0.1, grace_s=0.6)
    assert stopping.killed
    assert stopping.grace_s == 0.6 <= stopping.took_s
    assert prediction.exchange.status == 200


@pytest.mark.anyio
async def test_without_a_sample_only_the_end_is_seen(driver: ProcessDriver, tmp_path: Path) -> None:
    stopping, predictions = await drained(driver, tmp_path, "die", sample=None)
    assert predictions == ()
    assert not stopping.killed


@pytest.mark.anyio
async def test_a_replica_that_is_gone_needs_no_time(driver: ProcessDriver) -> None:
    with anyio.fail_after(20):
        async with http_client() as client:
            stopping, [prediction] = await drain(
                client,
                driver,
                NAME,
                base_url=Address("127.0.0.1", 1).base_url,
                spec=SPEC,
                sample=SAMPLE,
                grace_s=5,
                now=now,
                timeout_s=10,
            )
    assert not stopping.killed
    assert prediction.exchange.error == "connection refused"


@pytest.mark.parametrize(
    ("took_s", "end", "killed"),
    [
        (0.2, None, False),
        (0.2, Exit(137), False),
        (10.1, None, True),
        (10.1, Exit(137), True),
        (10.1, Exit(None, signal.SIGKILL), True),
        (10.1, Exit(0), False),
        (10.1, Exit(None, signal.SIGTERM), False),
    ],
)
def test_killed_is_what_took_its_whole_grace(took_s: float, end: Exit | None, killed: bool) -> None:
    assert was_killed(took_s, 10.0, end) is killed
