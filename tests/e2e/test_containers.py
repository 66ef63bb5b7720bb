"""The whole platform on real engines: create, predict, adopt after a kill, an engine that goes away, refused images."""

import json
import shutil
import signal
import socket
import socketserver
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.e2e.load import Load
from tests.e2e.platform import Platform, eventually, platform
from tests.engines import engine_api
from tests.engines.fixtures import ECHO_IMAGE

pytestmark = [pytest.mark.slow, pytest.mark.engine]


@pytest.fixture
def mp(echo_engine: str) -> Iterator[Platform]:
    with platform("docker", DOCKER_HOST=echo_engine) as one:
        yield one


def containers(engine: str, version: str) -> list[dict]:
    with engine_api.client(engine) as http:
        filters = json.dumps({"label": [f"modelport.owner={version}"]})
        found: list[dict] = http.get("/containers/json", params={"all": "1", "filters": filters}).json()
        return found


def test_a_container_from_create_to_delete(mp: Platform, echo_engine: str, tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "weights.txt").write_text("42")
    mp.ready(
        "m", "v1", ECHO_IMAGE, machineType="n1-standard-4", deploymentUri=str(model), manualScaling={"nodes": 2}
    )  # fmt: skip
    assert mp.predict("models/m", {"instances": [1, [2]]}).json() == {"predictions": [1, [2]]}
    owner = "projects/p/models/m/versions/v1"
    before = {c["Id"] for c in containers(echo_engine, owner)}
    assert len(before) == 2

    with Load(mp.url, "models/m") as load:
        mp.kill()
        time.sleep(0.5)
        mp.start()
        eventually(lambda: all(r["healthy"] for r in mp.inspect("m", "v1")["replicas"]))
    assert load.failures == []
    assert {c["Id"] for c in containers(echo_engine, owner)} == before

    mp.wait(mp.delete("models/m/versions/v1"))
    assert containers(echo_engine, owner) == []


def test_a_crashing_container_fails_with_its_last_words(mp: Platform) -> None:
    mp.post("models", {"name": "m"})
    operation = mp.wait(mp.create("m", "v1", ECHO_IMAGE, container={"env": [{"name": "CRASH", "value": "3"}]}))
    assert "exited with code 3" in operation["error"]["message"]
    assert "a word on stderr" in operation["error"]["message"]
    lines = mp.client.get("/modelport/v1/projects/p/models/m/versions/v1:logs?tail=10").text.splitlines()
    assert {json.loads(line)["attempt"] for line in lines} == {1, 2}


def test_a_killed_container_is_replaced(mp: Platform, echo_engine: str) -> None:
    mp.ready("m", "v1", ECHO_IMAGE)
    (before,) = containers(echo_engine, "projects/p/models/m/versions/v1")
    with engine_api.client(echo_engine) as http:
        http.post(f"/containers/{before['Id']}/kill")
    eventually(lambda: mp.inspect("m", "v1")["replicas"][0]["attempt"] == 2)
    eventually(lambda: mp.predict("models/m").status_code == 200)


class Refusing(BaseHTTPRequestHandler):
    """A registry that lets nobody in."""

    def do_GET(self) -> None:
        self.send_response(401)
        self.send_header("Www-Authenticate", 'Basic realm="no"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, *args: object) -> None:
        pass


def test_a_registry_that_refuses_fails_the_version_with_its_words(mp: Platform) -> None:
    registry = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    Thread(target=registry.serve_forever, daemon=True).start()
    try:
        mp.post("models", {"name": "m"})
        image = f"127.0.0.1:{registry.server_address[1]}/private/model:1"
        operation = mp.wait(mp.create("m", "v1", image))
    finally:
        registry.shutdown()
        registry.server_close()
    (info,) = [d for d in operation["error"]["details"] if d["@type"].endswith("ErrorInfo")]
    assert info["metadata"]["phase"] == "image"
    assert image in operation["error"]["message"]


class Door:
    """A socket in front of the engine's that can be shut, cutting every connection, and opened again."""

    def __init__(self, engine: str, directory: Path) -> None:
        self.engine = engine.removeprefix("unix://")
        self.path = directory / "engine.sock"
        self.open()

    def open(self) -> None:
        door = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with socket.socket(socket.AF_UNIX) as engine:
                    engine.connect(door.engine)
                    door.connections += [self.request, engine]
                    back = Thread(target=relay, args=(engine, self.request), daemon=True)
                    back.start()
                    relay(self.request, engine)
                    back.join()

        self.connections: list[socket.socket] = []
        self.server = socketserver.ThreadingUnixStreamServer(str(self.path), Handler)
        self.server.daemon_threads = True
        Thread(target=self.server.serve_forever, daemon=True).start()

    def shut(self) -> None:
        self.server.shutdown()
        self.server.socket.close()
        self.path.unlink()
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def relay(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def test_an_engine_that_goes_away_for_a_while_costs_no_prediction(echo_engine: str) -> None:
    directory = Path(tempfile.mkdtemp(prefix="mp-door-"))
    door = Door(echo_engine, directory)
    try:
        with platform("docker", DOCKER_HOST=f"unix://{door.path}") as mp:
            mp.ready("m", "v1", ECHO_IMAGE)
            before = mp.inspect("m", "v1")["replicas"]
            with Load(mp.url, "models/m") as load:
                door.shut()
                operation = mp.create("m", "v2", ECHO_IMAGE)
                time.sleep(2.5)
                assert mp.client.get("/modelport/v1/status").json()["driver"]["state"] == "UNDETECTED"
                assert not mp.get(operation["name"].split("/", 2)[2]).get("done")
                door.open()
                assert "error" not in mp.wait(operation)
            assert load.failures == []
            assert mp.inspect("m", "v1")["replicas"] == before
    finally:
        door.shut()
        shutil.rmtree(directory)


def test_an_orderly_end_of_a_container_takes_no_grace(echo_engine: str) -> None:
    with platform("docker", DOCKER_HOST=echo_engine, MODELPORT_STOP_GRACE_S="90") as mp:
        mp.ready("m", "v1", ECHO_IMAGE)
        mp.wait(mp.delete("models/m/versions/v1"), within_s=60)


def test_shutdown_leaves_no_container(mp: Platform, echo_engine: str) -> None:
    mp.ready("m", "v1", ECHO_IMAGE)
    assert mp.stop(signal.SIGTERM) == 0
    mp.close()
    assert containers(echo_engine, "projects/p/models/m/versions/v1") == []
    with pytest.raises(AssertionError):
        mp.haproxy()
