import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


class Example:
    """A running server and what it says."""

    def __init__(self, kind: str, log: Path, *flags: str) -> None:
        self.log = log
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.server.example_server", kind, "--host", "127.0.0.1", "--port", "0", *flags],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"},
            stdout=subprocess.PIPE,
            stderr=log.open("wb"),
            text=True,
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, dict, dict]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read()), dict(answer.getheaders())
        finally:
            connection.close()

    def health(self) -> int:
        try:
            return self.ask("GET", "/health")[0]
        except OSError:
            return 0

    def predict(self, row: str) -> list:
        status, body, _ = self.ask("POST", "/predict", {"instances": [row]})
        assert status == 200, body
        return body["predictions"][0]

    def children(self) -> list[int]:
        pid = self.process.pid
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def end(self) -> int:
        self.process.terminate()
        return self.process.wait(10)


Start = Callable[..., Example]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Example] = []

    def begin(kind: str, *flags: str) -> Example:
        started.append(Example(kind, tmp_path / "log", *flags))
        return started[-1]

    yield begin
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
        one.process.wait()
        one.process.stdout.close()


def until(true: Callable[[], bool], timeout_s: float = 15) -> None:
    end = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.01)


@pytest.mark.slow
def test_health_is_told_truly_from_the_first_moment_to_the_last(start: Start) -> None:
    server = start("slow")
    status, body, _ = server.ask("GET", "/health")
    assert (status, body) == (503, {"status": "loading"})
    status, body, headers = server.ask("POST", "/predict", {"instances": ["x" * 100_000]})
    assert (status, body["error"]["status"], headers["retry-after"]) == (503, "UNAVAILABLE", "1")
    seen = []
    until(lambda: seen.append(server.health()) or seen[-1] == 200)
    assert [server.health() for _ in range(50)] == [200] * 50
    assert server.predict("a")[0] == "a"
    assert server.end() == 0
    assert server.health() == 0


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced_and_health_tells_the_truth_meanwhile(start: Start) -> None:
    server = start("slow", "--workers", "1")
    until(lambda: server.health() == 200)
    first = server.predict("a")[1]
    with pytest.raises((OSError, http.client.HTTPException)):
        server.predict("die")
    until(lambda: server.health() == 503, 1)
    until(lambda: server.health() == 200)
    assert server.predict("a")[1] != first
    assert "was killed by SIGKILL" in server.log.read_text()


@pytest.mark.slow
def test_a_worker_whose_model_can_predict_nothing_more_is_replaced(start: Start) -> None:
    server = start("ordinary", "--workers", "1")
    until(lambda: server.health() == 200)
    first = server.predict("a")[1]
    status, body, _ = server.ask("POST", "/predict", {"instances": ["unusable"]})
    assert (status, body["error"]["details"][0]["reason"]) == (503, "MODEL_UNUSABLE")
    until(lambda: server.log.read_text().count("is ready") == 2)
    until(lambda: server.health() == 200)
    assert server.predict("a")[1] != first
    assert server.end() == 0


@pytest.mark.slow
def test_with_a_second_worker_nobody_notices_that_one_was_killed(start: Start) -> None:
    server = start("ordinary", "--workers", "2")
    until(lambda: server.health() == 200)
    until(lambda: server.log.read_text().count("is ready") == 2)
    time.sleep(0.1)
    workers = {server.predict("a")[1] for _ in range(40)}
    os.kill(next(iter(workers)), signal.SIGKILL)
    failures = 0
    for _ in range(100):
        try:
            assert server.health() == 200
        except AssertionError:  # it may have been accepted by the one that died
            failures += 1
    assert failures <= 1
    until(lambda: server.log.read_text().count("is ready") == 3)


def test_sigterm_lets_a_running_request_end_and_takes_no_other(start: Start) -> None:
    server = start("ordinary")
    until(lambda: server.health() == 200)
    answers: list[tuple[int, dict, dict]] = []
    caller = threading.Thread(
        target=lambda: answers.append(server.ask("POST", "/predict", {"instances": ["slow"]})), daemon=True
    )
    caller.start()
    time.sleep(0.3)
    server.process.terminate()
    until(lambda: server.health() == 0, 0.5)
    assert server.process.wait(10) == 0
    caller.join(5)
    assert answers[0][0] == 200
    assert answers[0][2]["connection"] == "close"


@pytest.mark.slow
def test_a_request_longer_than_the_drain_is_cut_off(start: Start) -> None:
    server = start("ordinary", "--drain-s", "0.1")
    until(lambda: server.health() == 200)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    connection.request("POST", "/predict", json.dumps({"instances": ["slow"]}))
    time.sleep(0.2)
    assert server.end() == 0
    with pytest.raises((OSError, http.client.HTTPException)):
        connection.getresponse()
    connection.close()


@pytest.mark.parametrize("kind", ["broken", "cold"])
def test_a_model_that_cannot_be_loaded_or_predict_ends_the_server_with_code_1(start: Start, kind: str) -> None:
    server = start(kind)
    assert server.process.wait(15) == 1
    assert {"broken": "error: The file is not a model", "cold": "it does not know this row"}[kind] in (
        server.log.read_text()
    )
    assert "hint: " in server.log.read_text()


@pytest.mark.slow
def test_a_worker_killed_while_it_loads_ends_the_server_and_says_how(start: Start) -> None:
    server = start("killed")
    assert server.process.wait(15) == 128 + signal.SIGKILL
    assert "was killed by SIGKILL while it loaded the model" in server.log.read_text()


def test_sigterm_while_loading_ends_at_once(start: Start) -> None:
    server = start("slow")
    assert server.health() == 503
    assert server.end() == 0


@pytest.mark.slow
def test_a_model_loaded_before_the_fork_is_loaded_once_for_all_workers(start: Start, tmp_path: Path) -> None:
    (tmp_path / "model.joblib").touch()
    server = start("ordinary", "--model-dir", str(tmp_path), "--workers", "2")
    until(lambda: server.log.read_text().count("is ready") == 2)
    assert server.log.read_text().count("loading\n") == 1
    os.kill(server.predict("a")[1], signal.SIGKILL)
    until(lambda: server.log.read_text().count("is ready") == 3)
    assert server.log.read_text().count("loading\n") == 1
    assert server.end() == 0


@pytest.mark.slow
def test_a_model_loaded_before_the_fork_may_fail_and_its_loading_may_be_ended(start: Start, tmp_path: Path) -> None:
    (tmp_path / "model.joblib").touch()
    flags = ("--model-dir", str(tmp_path), "--workers", "2")
    server = start("broken", *flags)
    assert server.process.wait(15) == 1
    assert "hint: Store it again" in server.log.read_text()
    server = start("slow", *flags)
    assert server.health() == 503
    until(lambda: "loading" in server.log.read_text())
    assert server.end() == 0
    assert "is ready" not in server.log.read_text()


@pytest.mark.slow
def test_connections_are_spread_over_the_workers(start: Start) -> None:
    server = start("ordinary", "--workers", "2")
    until(lambda: server.log.read_text().count("is ready") == 2 and server.health() == 200)
    time.sleep(0.1)
    callers = [http.client.HTTPConnection("127.0.0.1", server.port, timeout=10) for _ in range(16)]
    workers = []
    for caller in callers:
        caller.connect()
    for caller in callers:
        caller.request("POST", "/predict", json.dumps({"instances": ["a"]}))
        workers.append(json.loads(caller.getresponse().read())["predictions"][0][1])
    counts = [workers.count(worker) for worker in set(workers)]
    assert len(counts) == 2
    assert min(counts) >= 5
    for caller in callers:
        caller.close()


@pytest.mark.slow
def test_all_processes_die_with_the_supervisor(start: Start) -> None:
    server = start("ordinary", "--workers", "2")
    until(lambda: server.health() == 200)
    children = server.children()
    assert len(children) == 3
    server.process.kill()
    server.process.wait()
    until(lambda: not any(Path(f"/proc/{pid}/stat").exists() and not _is_zombie(pid) for pid in children), 5)


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.slow
def test_an_idle_server_is_small(start: Start) -> None:
    server = start("ordinary", "--workers", "1")
    until(lambda: server.health() == 200)
    shares = {pid: _proportional_mb(pid) for pid in (server.process.pid, *server.children())}
    print({pid: round(mb, 1) for pid, mb in shares.items()})
    assert sum(shares.values()) < 60


def _proportional_mb(pid: int) -> float:
    """Return the memory of a process, of shared pages its part."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def test_the_supervisor_imports_nothing_heavy() -> None:
    script = "import sys, modelport.server.main; print(*sys.modules)"
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    heavy = {"numpy", "uvloop", "httptools", "orjson", "anyio", "yaml", "asyncio", "sklearn", "simdjson", "pydantic"}
    assert not heavy & set(output.split())
