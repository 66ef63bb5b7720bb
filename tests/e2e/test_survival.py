"""What must survive: kills at random moments, switches, deletions and long answers, with traffic running."""

import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress

import httpx
import psutil
import pytest

from tests.e2e.load import Load
from tests.e2e.platform import IMAGES, Platform, eventually

pytestmark = pytest.mark.slow


def replicas(mp: Platform) -> dict[str, int]:
    """The processes of all replicas by replica name, found from outside: shims by the folder they were given."""
    found = {}
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        if "process_shim" in line and f"{mp.directory}/replicas/" in line:
            found[line.rsplit("/", 1)[1].split()[0]] = process.pid
    return found


def servers(mp: Platform) -> list[psutil.Process]:
    found = []
    for pid in replicas(mp).values():
        with suppress(psutil.NoSuchProcess):  # a shim that is just ending
            found += psutil.Process(pid).children()
    return found


def test_predictions_go_on_without_the_control_plane_and_nothing_restarts(mp: Platform, echo: str) -> None:
    mp.ready("m", "v1", echo, manualScaling={"nodes": 2})
    before, haproxy = replicas(mp), mp.haproxy().pid
    with Load(mp.url, "models/m", "models/m/versions/v1") as load:
        time.sleep(0.3)
        mp.kill()
        time.sleep(1)
        mp.start()
        time.sleep(2)
    assert load.failures == []
    assert load.count > 100
    assert replicas(mp) == before
    assert mp.haproxy().pid == haproxy


def test_the_gateway_and_not_the_control_plane_ends_idle_connections_between_them(mp: Platform) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(mp.directory / "api.sock"))
        connection.sendall(b"GET /v1/projects/demo/models HTTP/1.1\r\nhost: x\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        connection.settimeout(6)  # uvicorn by itself waits for five seconds
        with pytest.raises(TimeoutError):
            connection.recv(1)


def test_kills_at_random_moments_lose_nothing(mp: Platform, echo: str) -> None:
    chance = random.Random(20261121)
    mp.ready("steady", "v1", echo)
    mp.ready("busy", "v0", echo)
    steady = {name: pid for name, pid in replicas(mp).items() if "steady" in name}
    operations = []
    with Load(mp.url, "models/steady", limit_s=170) as load:
        for round_ in range(8):
            version = f"v{round_ + 1}"
            operations.append(mp.create("busy", version, echo)["name"])
            if round_ % 2:
                doomed = f"v{round_ - 1}"
                # Deleting is refused while it is created: only what is READY may go.
                state = mp.get(f"models/busy/versions/{doomed}")
                if state["state"] == "READY" and not state.get("isDefault"):
                    operations.append(mp.delete(f"models/busy/versions/{doomed}")["name"])
            ready = [v["name"] for v in mp.get("models/busy/versions")["versions"] if v["state"] == "READY"]
            mp.post(f"models/busy/versions/{chance.choice(ready).rsplit('/', 1)[1]}:setDefault")
            time.sleep(chance.uniform(0, 0.6))
            mp.kill()
            mp.start()
        for name in operations:
            done = mp.wait({"name": name}, within_s=40)
            assert "error" not in done, done
        time.sleep(1)
    assert load.failures == []
    wanted = {v["name"].rsplit("/", 1)[1] for v in mp.get("models/busy/versions")["versions"]}
    assert all(v["state"] == "READY" for v in mp.get("models/busy/versions")["versions"])
    eventually(lambda: len(replicas(mp)) == len(wanted) + 1, what="orphans, or replicas missing")
    running = replicas(mp)
    assert len(servers(mp)) == len(running), "a replica was started twice"
    assert {name: pid for name, pid in running.items() if "steady" in name} == steady


def test_haproxy_is_back_by_itself(mp: Platform, echo: str) -> None:
    mp.ready("m", "v1", echo)
    before = replicas(mp)
    mp.haproxy().kill()
    eventually(lambda: mp.predict("models/m").status_code == 200)
    assert replicas(mp) == before


def test_a_killed_replica_costs_no_request_and_is_replaced(mp: Platform, echo: str) -> None:
    mp.ready("m", "v1", echo, manualScaling={"nodes": 2})
    victim = servers(mp)[0]
    with Load(mp.url, "models/m") as load:
        time.sleep(0.3)
        victim.kill()
        eventually(lambda: victim.pid not in [s.pid for s in servers(mp)] and len(servers(mp)) == 2, within_s=10)
        eventually(lambda: all(r["healthy"] for r in mp.inspect("m", "v1")["replicas"]), within_s=10)
        time.sleep(0.3)
    # A request that the victim had accepted dies with it: that is no failed connection, and must not be sent twice.
    # On a connection that the caller uses again HAProxy closes instead of answering, so that the caller may decide.
    accepted = [f for f in load.failures if "REPLICA_BAD_RESPONSE" in f or "RemoteProtocolError" in f]
    assert len(accepted) <= 2
    assert load.failures == accepted


def test_switching_the_default_under_load_fails_nothing(mp: Platform, echo: str) -> None:
    mp.ready("m", "v1", echo)
    mp.ready("m", "v2", echo)
    with Load(mp.url, "models/m") as load:
        for number in range(30):
            mp.post(f"models/m/versions/v{number % 2 + 1}:setDefault")
            time.sleep(0.05)
    assert load.failures == []
    assert load.count > 100


def test_deleting_a_version_under_load_on_another_fails_nothing(mp: Platform, echo: str) -> None:
    mp.ready("m", "v1", echo)
    for version in ("v2", "v3"):
        mp.ready("m", version, echo)
    with Load(mp.url, "models/m", "models/m/versions/v1") as load:
        for version in ("v2", "v3"):
            mp.wait(mp.delete(f"models/m/versions/{version}"))
            assert mp.predict(f"models/m/versions/{version}").status_code == 404
    assert load.failures == []
    assert len(replicas(mp)) == 1


def test_scaling_up_and_down_under_load_fails_nothing(mp: Platform, echo: str) -> None:
    mp.ready("m", "v1", echo, manualScaling={"nodes": 1})
    with Load(mp.url, "models/m") as load:
        for nodes in (3, 1, 2):
            answer = mp.client.patch(
                "/v1/projects/p/models/m/versions/v1?updateMask=manualScaling.nodes",
                json={"manualScaling": {"nodes": nodes}},
            )
            done = mp.wait(answer.json())
            assert "error" not in done, done
            eventually(lambda nodes=nodes: len(replicas(mp)) == nodes, what=f"{nodes} replicas")
    assert load.failures == []


def test_a_minute_of_streaming_survives_ten_route_changes(mp: Platform, echo: str) -> None:
    mp.ready("m", "long", str(IMAGES / "stream"))
    mp.ready("m", "v1", echo)
    answer: list[httpx.Response] = []
    chunks: list[float] = []

    def read() -> None:
        url = f"{mp.url}/v1/projects/p/models/m/versions/long:predict"
        body = {"instances": [0], "parameters": {"seconds": 60}}
        with httpx.Client(timeout=90, trust_env=False) as client, client.stream("POST", url, json=body) as response:
            answer.append(response)
            text = b""
            for chunk in response.iter_raw():
                chunks.append(time.monotonic())
                text += chunk
            assert json.loads(text)["predictions"][0] == 0

    reader = threading.Thread(target=read)
    reader.start()
    start = time.monotonic()
    for change in range(10):
        mp.post(f"models/m/versions/{('v1', 'long')[change % 2]}:setDefault")
        if change == 4:
            mp.ready("m", "v2", echo)
        if change == 7:
            mp.wait(mp.delete("models/m/versions/v2"))
        time.sleep(max(0.0, start + (change + 1) * 5.5 - time.monotonic()))
    reader.join(90)
    assert answer[0].status_code == 200
    assert len(chunks) > 60, "the answer was buffered"
    assert chunks[-1] - chunks[0] > 55
    assert max(later - earlier for earlier, later in itertools.pairwise(chunks)) < 5


def test_a_second_control_plane_on_the_same_directory_refuses(mp: Platform) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "modelport", "serve", *mp.arguments],
        env=mp.environ,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert second.returncode == 1
    assert "Another control plane" in second.stderr
    assert "hint:" in second.stderr
    assert mp.client.get("/modelport/v1/status").status_code == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_orderly_end_leaves_the_data_plane_running(mp: Platform, echo: str, number: int) -> None:
    mp.ready("m", "v1", echo)
    assert mp.stop(number) == 0
    assert mp.predict("models/m").status_code == 200
    api = mp.client.get("/v1/projects/p/models")
    assert api.status_code == 503
    assert api.json()["error"]["details"][0]["reason"] == "CONTROL_PLANE_DOWN"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_fails_the_version_and_nothing_else(mp: Platform, echo: str, tmp_path) -> None:
    mp.ready("m", "v1", echo)
    model = tmp_path / "model"
    model.mkdir()
    (model / "weights").write_bytes(os.urandom(8 * 1024**2))
    cache = mp.directory / "cache" / "incoming"
    cache.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(cache)], capture_output=True)
    if mounted.returncode:
        pytest.skip("this machine allows no mounts")
    try:
        operation = mp.wait(mp.create("m", "v2", echo, deploymentUri=str(model)))
    finally:
        subprocess.run(["umount", str(cache)], check=True)
    assert operation["error"]["code"] == 9
    assert "its disk has" in operation["error"]["message"]
    assert mp.predict("models/m").status_code == 200
    mp.wait(mp.delete("models/m/versions/v2"))
    mp.ready("m", "v3", echo, deploymentUri=str(model))
