import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.server.listener.listener_process import ListenerProcess, declared, runs, until

Listen = Callable[..., ListenerProcess]
pytestmark = pytest.mark.slow


class Traffic:
    """Callers that ask one after the other, and what they were told."""

    def __init__(self, listener: ListenerProcess, callers: int = 4) -> None:
        self.answers: list[tuple[int, Any, float]] = []
        self._listener = listener
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(callers)]
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        while not self._over.is_set():
            before = time.monotonic()
            status, answer = self._listener.predict("x")
            self.answers.append((status, answer, time.monotonic() - before))

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(15)
            assert not thread.is_alive(), "a caller hangs"

    def failures(self) -> set[tuple[int, str]]:
        return {(status, answer["details"][0]["reason"]) for status, answer, _ in self.answers if status != 200}


def test_a_child_killed_under_traffic_is_started_again_and_callers_are_told(listen: Listen, tmp_path: Path) -> None:
    listener = listen(declared(tmp_path)).ready()
    first = listener.pid()
    traffic = Traffic(listener)
    until(lambda: len(traffic.answers) > 20)
    os.kill(first, signal.SIGKILL)
    until(lambda: listener.health() == 503)
    status, body, _ = listener.ask("GET", "/health")
    if status == 503:
        assert "was killed by SIGKILL" in body["servers"]["s"] or "starting" in body["servers"]["s"]
    until(lambda: listener.health() == 200)
    count = len(traffic.answers)
    until(lambda: len(traffic.answers) > count + 20)
    traffic.stop()
    assert traffic.failures() == {(503, "MODEL_SERVER_DOWN")}
    assert all(status == 200 for status, _, _ in traffic.answers[count + 4 :])
    assert max(seconds for _, _, seconds in traffic.answers) < 5
    assert listener.pid() != first
    assert 'modelport_listener_server_restarts_total{server="s"} 1.0' in listener.ask("GET", "/metrics")[1]
    assert listener.end() == 0


def test_a_child_whose_end_is_the_listeners_passes_its_code_on(listen: Listen, tmp_path: Path) -> None:
    listener = listen(declared(tmp_path, when_it_ends="exit")).ready()
    assert listener.predict("exit:7")[0] == 503
    assert listener.process.wait(10) == 7
    assert "model server `s`: ended with code 7; the listener ends with code 7" in listener.said


def test_a_hung_child_is_told_as_unready_then_killed_and_started_again(listen: Listen, tmp_path: Path) -> None:
    listener = listen(declared(tmp_path, model={"timeout_s": 4})).ready()
    first = listener.pid()
    os.kill(first, signal.SIGSTOP)
    until(lambda: listener.health() == 503)
    assert "was not answered within" in listener.ask("GET", "/health")[1]["servers"]["s"]
    status, error = listener.predict("x")
    assert (status, error["details"][0]["reason"]) in {(504, "STEP_TIMEOUT"), (503, "MODEL_SERVER_DOWN")}
    until(lambda: listener.health() == 200)
    assert listener.pid() != first
    assert "has not answered for" in listener.said


def test_a_child_that_is_only_busy_is_not_killed(listen: Listen, tmp_path: Path) -> None:
    listener = listen(declared(tmp_path, model={"timeout_s": 30})).ready()
    first = listener.pid()
    os.kill(first, signal.SIGSTOP)
    until(lambda: listener.health() == 503)
    os.kill(first, signal.SIGCONT)
    until(lambda: listener.health() == 200)
    assert listener.pid() == first


def test_a_slow_start_is_unready_until_it_is_done_and_the_requests_are_refused(listen: Listen, tmp_path: Path) -> None:
    listener = listen(declared(tmp_path, "slow:1.5"))
    assert listener.port
    status, body, headers = listener.ask("GET", "/health")
    assert (status, headers["retry-after"]) == (503, "1")
    assert body["servers"]["s"].startswith("starting: ")
    status, error = listener.predict("x")
    assert (status, error["status"]) == (503, "UNAVAILABLE")
    listener.ready()
    assert listener.predict("x")[0] == 200


def test_a_child_that_takes_too_long_to_start_ends_the_listener_with_code_1(listen: Listen, tmp_path: Path) -> None:
    listener = listen(declared(tmp_path, "slow:60", start_timeout_s=1))
    assert listener.process.wait(15) == 1
    assert "is not ready after 1 s: The model server `s` cannot be reached" in listener.said
    assert "start_timeout_s" in listener.said


def test_a_child_that_dies_at_once_ends_the_listener_with_its_code(listen: Listen, tmp_path: Path) -> None:
    listener = listen(declared(tmp_path, "die:3"))
    assert listener.process.wait(15) == 3
    assert "ended with code 3 before it was ready; seen last: " in listener.said


def test_a_program_that_is_not_there_ends_the_listener_with_code_127(listen: Listen, tmp_path: Path) -> None:
    declaration = declared(tmp_path)
    declaration["servers"]["s"]["command"] = ["no-such-program"]
    listener = listen(declaration)
    assert listener.process.wait(15) == 127
    assert "could not be started: `no-such-program`: No such file or directory" in listener.said
    assert "seen last" not in listener.said


def test_a_child_that_keeps_dying_after_it_was_ready_is_started_ever_more_slowly(
    listen: Listen, tmp_path: Path
) -> None:
    listener = listen(declared(tmp_path, "die_later:1")).ready()
    assert listener.predict("kill")[0] == 503
    until(lambda: listener.said.count("it is started again in") >= 3)
    assert "is started again in 0.1 s" in listener.said
    assert "is started again in 0.4 s" in listener.said
    assert listener.health() == 503
    status, error = listener.predict("x")
    assert (status, error["details"][0]["reason"]) == (503, "MODEL_SERVER_DOWN")
    assert listener.end() == 0


def test_a_child_that_ignores_sigterm_is_killed_with_all_that_it_has_started(listen: Listen, tmp_path: Path) -> None:
    listener = listen(declared(tmp_path, "deaf", "child", stop_timeout_s=0.5)).ready()
    pids = listener.pid(), int((tmp_path / "grandchild").read_text())
    assert listener.end() == 0
    assert (tmp_path / "deaf").exists()
    assert "did not end within 0.5 s and is killed" in listener.said
    until(lambda: not any(map(runs, pids)), 5)


@pytest.mark.parametrize(
    ("row", "status", "reason"),
    [
        ("garbage", 500, "MODEL_SERVER_GARBLED"),
        ("cut", 503, "MODEL_SERVER_DOWN"),
        ("exit:1", 503, "MODEL_SERVER_DOWN"),
        ("sleep:9", 504, "STEP_TIMEOUT"),
    ],
)
def test_whatever_the_child_does_the_caller_is_told_within_the_time(
    listen: Listen, tmp_path: Path, row: str, status: int, reason: str
) -> None:
    listener = listen(declared(tmp_path, model={"timeout_s": 1.5})).ready()
    before = time.monotonic()
    found, error = listener.predict(row)
    assert (found, error["details"][0]["reason"]) == (status, reason)
    assert time.monotonic() - before < 8
    until(lambda: listener.predict("x")[0] == 200)


def test_no_process_remains_when_the_listener_is_killed(listen: Listen, tmp_path: Path) -> None:
    listener = listen(declared(tmp_path)).ready()
    child = listener.pid()
    listener.process.kill()
    listener.process.wait()
    until(lambda: not runs(child), 5)


def test_processes_of_steps_end_with_the_listener_too(listen: Listen, tmp_path: Path) -> None:
    (tmp_path / "steps.py").write_text("import os\ndef pids(rows):\n    return [os.getpid() for _ in rows]\n")
    declaration = declared(tmp_path)
    step = {"pids": {"python": "steps.py:pids", "runs": "processes", "workers": 2}}
    declaration["stacks"] = {"tidy": [{"ask": {"model": "m"}}, step]}
    for end in (signal.SIGTERM, signal.SIGKILL):
        listener = listen(declaration).ready()
        worker = int(listener.predict("x")[1])
        assert runs(worker)
        listener.process.send_signal(end)
        listener.process.wait(15)
        until(lambda: not runs(worker), 5)  # noqa: B023


def test_health_that_turns_bad_is_told_and_requests_still_reach_the_server(listen: Listen, tmp_path: Path) -> None:
    listener = listen(declared(tmp_path)).ready()
    (tmp_path / "health").write_text("500")
    until(lambda: listener.health() == 503, 5)
    assert "`/health` was answered with 500" in listener.ask("GET", "/health")[1]["servers"]["s"]
    assert listener.predict("x")[0] == 200
    (tmp_path / "health").write_text("200")
    until(lambda: listener.health() == 200, 5)
