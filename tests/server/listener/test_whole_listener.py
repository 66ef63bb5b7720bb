import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_port
from tests.server.listener.listener_process import ROOT, ListenerProcess, chaos, declared, runs, until

Listen = Callable[..., ListenerProcess]


def test_a_listener_starts_its_server_predicts_and_ends_in_peace(listen: Listen, tmp_path: Path) -> None:
    listener = listen(declared(tmp_path)).ready()
    assert listener.ask("GET", "/health")[:2] == (200, {"status": "ready"})
    child = listener.pid()
    assert listener.predict("x") == (200, ["x", child])
    status, body, headers = listener.ask("POST", "/health")
    assert (status, headers["allow"], body["error"]["code"]) == (405, "GET, HEAD", 404)
    status, body, _ = listener.ask("GET", "/nowhere")
    assert status == 404
    assert "/v2/models/m" in json.dumps(body)
    status, body, headers = listener.ask("HEAD", "/health")
    assert (status, body, headers["content-length"]) == (200, "", "18")
    assert listener.end() == 0
    assert not runs(child)
    assert (tmp_path / "s.ended").exists()


@pytest.mark.slow
def test_the_contract_is_the_listeners_and_the_child_has_its_own(listen: Listen, tmp_path: Path) -> None:
    port, childs_port = free_port(), free_port()
    declaration = declared(tmp_path, "tcp", url=f"http://127.0.0.1:{childs_port}", health="/alive", env={"MINE": "1"})
    environ = {
        "AIP_HTTP_PORT": str(port),
        "AIP_HEALTH_ROUTE": "/v1/models/m",
        "AIP_PREDICT_ROUTE": "/v1/models/m:predict",
        "AIP_STORAGE_URI": str(tmp_path),
    }
    listener = listen(declaration, "--port", str(port), environ=environ)
    until(lambda: listener.ask("GET", "/v1/models/m")[0] == 200)
    assert listener.port == port
    assert listener.ask("POST", "/v1/models/m:predict", {"instances": [1]})[0] == 200
    child = json.loads((tmp_path / "s.environ").read_text())
    assert (child["AIP_HTTP_PORT"], child["PORT"], child["AIP_HEALTH_ROUTE"]) == (
        str(childs_port),
        str(childs_port),
        "/alive",
    )
    assert (child["AIP_STORAGE_URI"], child["MINE"]) == (str(tmp_path), "1")
    assert "AIP_PREDICT_ROUTE" not in child
    assert listener.end() == 0


@pytest.mark.slow
def test_sigterm_lets_a_running_request_be_answered_and_takes_no_other(listen: Listen, tmp_path: Path) -> None:
    listener = listen(declared(tmp_path)).ready()
    answers: list[tuple[int, Any]] = []
    caller = threading.Thread(target=lambda: answers.append(listener.predict("sleep:1")), daemon=True)
    caller.start()
    time.sleep(0.3)
    listener.process.terminate()
    until(lambda: listener.health() == 0, 0.6)
    assert listener.process.wait(10) == 0
    caller.join(5)
    assert answers[0][0] == 200


@pytest.mark.slow
def test_what_takes_longer_than_the_drain_is_cut_off(listen: Listen, tmp_path: Path) -> None:
    listener = listen(declared(tmp_path), "--drain-s", "0.1").ready()
    connection = http.client.HTTPConnection("127.0.0.1", listener.port, timeout=10)
    connection.request("POST", "/predict", json.dumps({"instances": ["sleep:8"]}))
    time.sleep(0.2)
    before = time.monotonic()
    assert listener.end() == 0
    assert time.monotonic() - before < 7
    assert "1 connections cut off" in listener.said
    with pytest.raises((OSError, http.client.HTTPException)):
        connection.getresponse()
    connection.close()


@pytest.mark.slow
def test_a_second_sigterm_cuts_everything_off(listen: Listen, tmp_path: Path) -> None:
    listener = listen(declared(tmp_path, "deaf", stop_timeout_s=60), "--drain-s", "60").ready()
    child = listener.pid()
    threading.Thread(target=lambda: _ignored(listener), daemon=True).start()
    time.sleep(0.3)
    listener.process.terminate()
    time.sleep(0.3)
    assert listener.process.poll() is None
    assert listener.end() == 0
    assert not runs(child)


def _ignored(listener: ListenerProcess) -> None:
    with contextlib.suppress(OSError, http.client.HTTPException):
        listener.predict("sleep:30", timeout_s=60)


@pytest.mark.slow
def test_signals_that_mean_nothing_to_the_listener_reach_the_child(listen: Listen, tmp_path: Path) -> None:
    listener = listen(declared(tmp_path)).ready()
    for one in ("SIGHUP", "SIGUSR1", "SIGUSR2"):
        listener.process.send_signal(getattr(signal, one))
        until((tmp_path / one).exists, 5)
    assert listener.health() == 200


@pytest.mark.slow
def test_two_servers_are_both_waited_for_and_both_ended(listen: Listen, tmp_path: Path) -> None:
    declaration = {
        "servers": {"a": chaos(tmp_path, "a"), "b": chaos(tmp_path, "b", "slow:1")},
        "models": {name: {"server": name, "path": "/predict"} for name in ("a", "b")},
        "routes": {"header": "x-model", "to": {"a": "a", "b": "b"}, "default": "a"},
    }
    listener = listen(declaration)
    until(lambda: "model server `a` is ready" in listener.said)
    status, body, _ = listener.ask("GET", "/health")
    assert (status, set(body["servers"])) == (503, {"b"})
    assert listener.predict("x")[0] == 200
    listener.ready()
    assert listener.end() == 0
    assert (tmp_path / "a.ended").exists()
    assert (tmp_path / "b.ended").exists()


@pytest.mark.slow
def test_every_target_is_a_model_of_the_open_inference_protocol(listen: Listen, tmp_path: Path) -> None:
    listener = listen(declared(tmp_path, model={"inputs": {"x": "FP32[4]"}, "outputs": {"y": "INT64"}})).ready()
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/m/ready"):
        assert listener.ask("GET", path)[0] == 200
    body = listener.ask("GET", "/v2/models/m")[1]
    assert body["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]
    assert body["outputs"] == [{"name": "y", "datatype": "INT64", "shape": [-1]}]


@pytest.mark.slow
def test_requests_steps_and_servers_are_counted_and_logged(listen: Listen, tmp_path: Path) -> None:
    (tmp_path / "steps.py").write_text("def clean(rows):\n    return [row.strip() for row in rows]\n")
    declaration = declared(tmp_path)
    declaration["stacks"] = {"tidy": [{"clean": {"python": "steps.py:clean"}}, {"ask": {"model": "m"}}]}
    listener = listen(declaration, "--access-log").ready()
    status, body, headers = listener.ask("POST", "/predict", {"instances": [" x "]})
    assert (status, body["predictions"][0][0]) == (200, "x")
    assert "clean;dur=" in headers["server-timing"]
    assert listener.predict("fail:400")[0] == 400
    text = listener.ask("GET", "/metrics")[1]
    assert 'modelport_listener_requests_total{code="200"} 1.0' in text
    assert 'modelport_listener_requests_total{code="400"} 1.0' in text
    assert 'modelport_listener_step_seconds_count{step="clean",target="tidy"} 2.0' in text
    assert 'modelport_listener_step_failures_total{step="ask",target="tidy"} 1.0' in text
    assert 'modelport_listener_server_seconds_count{server="s"} 2.0' in text
    assert 'modelport_listener_server_ready{server="s"} 1.0' in text
    assert listener.end() == 0
    lines = [json.loads(line) for line in listener.said.splitlines() if line.startswith('{"time"')]
    assert [line["status"] for line in lines if line["path"] == "/predict"] == [200, 400]


@pytest.mark.slow
def test_health_waits_for_the_code_of_the_steps_too(listen: Listen, tmp_path: Path) -> None:
    (tmp_path / "steps.py").write_text("import time\ntime.sleep(1.5)\ndef clean(rows):\n    return rows\n")
    declaration = declared(tmp_path)
    declaration["stacks"] = {"tidy": [{"clean": {"python": "steps.py:clean"}}, {"ask": {"model": "m"}}]}
    listener = listen(declaration)
    until(lambda: "model server `s` is ready" in listener.said)
    status, body, _ = listener.ask("GET", "/health")
    assert (status, body["listener"]) == (503, "its Python steps are being loaded")
    assert listener.predict("x")[0] == 503
    listener.ready()
    assert listener.predict("x")[0] == 200


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("def clean(rows: list[str]) -> list[str]:\n    return rows\n", "clear"),
        ("import nothing_there", "nothing_there"),
    ],
)
def test_code_of_a_step_that_cannot_be_had_ends_the_listener(
    listen: Listen, tmp_path: Path, code: str, words: str
) -> None:
    (tmp_path / "steps.py").write_text(code)
    declaration = declared(tmp_path)
    declaration["stacks"] = {"tidy": [{"clean": {"python": "steps.py:clear"}}, {"ask": {"model": "m"}}]}
    listener = listen(declaration)
    assert listener.process.wait(15) == 1
    assert "error: " in listener.said
    assert words in listener.said
    started = re.search(r"is started as process (\d+)", listener.said)
    assert started
    assert not runs(int(started[1]))


@pytest.mark.slow
@pytest.mark.parametrize("code", ["def clean(rows):\n    time.sleep(600)\n", "time.sleep(600)\n"])
def test_code_that_never_returns_does_not_keep_the_listener_from_ending(
    listen: Listen, tmp_path: Path, code: str
) -> None:
    (tmp_path / "steps.py").write_text(f"import time\n{code}")
    declaration = declared(tmp_path)
    declaration["stacks"] = {"tidy": [{"clean": {"python": "steps.py:clean"}}, {"ask": {"model": "m"}}]}
    listener = listen(declaration, "--drain-s", "0.2")
    until(lambda: "model server `s` is ready" in listener.said)
    threading.Thread(target=lambda: _ignored(listener), daemon=True).start()
    time.sleep(0.5)
    assert listener.end() == 0


def test_what_is_wrong_is_said_before_anything_is_started(listen: Listen, tmp_path: Path) -> None:
    listener = listen({"servers": {"s": {"url": "http://127.0.0.1:1", "healt": "/"}}})
    assert listener.process.wait(15) == 2
    assert "listener.yaml:" in listener.said
    listener = listen(declared(tmp_path), "--prot", "1")
    assert listener.process.wait(15) == 2
    assert "did you mean `--port`" in listener.said


FIRST = """
import ctypes, os, sys
from modelport.server.listener.children.first_process import stand_before
ctypes.CDLL(None).prctl(36, 1)  # orphans come to this process, as to the first one of a container
ARGUMENTS = sys.argv[1:]

def run():
    from modelport.server.listener.listener_config import configure_listener
    from modelport.server.listener.main import run
    return run(configure_listener(ARGUMENTS, os.environ))

sys.exit(stand_before(run))
"""


@pytest.mark.slow
def test_the_first_process_passes_signals_on_and_ends_with_the_listener(listen: Listen, tmp_path: Path) -> None:
    listener = listen(declared(tmp_path), "--nonsense")  # only for its files
    listener.process.wait()
    (tmp_path / "first.py").write_text(FIRST)
    with listener.log.open("wb") as log:
        listener.process = subprocess.Popen(
            [sys.executable, "first.py", "--host", "127.0.0.1", "--port", "0"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
            stdout=log,
            stderr=log,
        )
    listener.ready()
    child = listener.pid()
    own = re.search(r"modelport-listener\[(\d+)\]", listener.said)
    assert own
    assert os.getpgid(int(own[1])) != os.getpgid(listener.process.pid)  # Ctrl-C in a terminal comes once
    listener.process.send_signal(signal.SIGHUP)
    until((tmp_path / "SIGHUP").exists, 5)
    assert listener.end() == 0
    assert not runs(child)


def test_the_first_process_reaps_orphans_and_passes_the_code_on() -> None:
    script = """
import ctypes, os, sys, time
from modelport.server.listener.children.first_process import stand_before
ctypes.CDLL(None).prctl(36, 1)
first = os.getpid()

def run():
    if os.fork() == 0:  # a child that leaves an orphan behind
        if os.fork() == 0:
            time.sleep(0.1)
            os._exit(0)
        os._exit(0)
    os.wait()
    children = f"/proc/{first}/task/{first}/children"
    seen = set()
    while len(now := open(children).read().split()) > 1 or len(seen) < 2:
        seen |= set(now)
        time.sleep(0.01)
    return 7

sys.exit(stand_before(run))
"""
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    assert subprocess.run([sys.executable, "-c", script], env=environ, timeout=20).returncode == 7


def test_the_first_process_imports_nothing_heavy() -> None:
    script = "import sys, modelport.server.listener.main; print(*sys.modules)"
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    heavy = {"numpy", "uvloop", "httptools", "orjson", "anyio", "yaml", "asyncio", "simdjson", "pydantic"}
    assert not heavy & set(output.split())
