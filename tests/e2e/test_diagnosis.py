"""A version that fails says why, early, in every place where somebody may look."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.platform import IMAGES, Platform, eventually, platform
from tests.engines.fixtures import ECHO_IMAGE

ECHO = str(IMAGES / "echo")
# Nothing that is conclusive may have to wait for a clock of the contract.
SLOW_CLOCKS = {"MODELPORT_CREATE_DEADLINE_S": "300", "MODELPORT_PROBE_PERIOD_S": "10"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def on_processes() -> Iterator[Platform]:
    with platform("process", **SLOW_CLOCKS) as one:
        one.post("models", {"name": "m"})
        yield one


def details(operation: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["@type"].rpartition(".")[2]: one for one in operation["error"]["details"]}


@pytest.mark.engine
def test_a_server_on_loopback_fails_long_before_the_deadline(echo_engine: str) -> None:
    with platform("docker", DOCKER_HOST=echo_engine, **SLOW_CLOCKS) as mp:
        mp.post("models", {"name": "m"})
        env = [{"name": "HOST", "value": "127.0.0.1"}]
        operation = mp.create("m", "v1", ECHO_IMAGE, container={"env": env})
        name = operation["name"].split("/", 2)[2]
        warning = "listens on 127.0.0.1:8080; expected 0.0.0.0:8080"
        eventually(lambda: mp.get(name)["metadata"].get("warnings") == [warning], within_s=60)
        done = mp.wait(operation, within_s=90)

        found = details(done)
        assert found["ErrorInfo"]["reason"] == "LISTENS_ON_LOOPBACK"
        assert "LISTEN 127.0.0.1:8080" in found["ErrorInfo"]["metadata"]["evidence"]
        # The two streams arrive in no certain order.
        assert "a word on stderr" in found["DebugInfo"]["stackEntries"][-2:]
        assert found["Help"]["links"][0]["url"].endswith("findings/LISTENS_ON_LOOPBACK.md")
        assert "warnings" not in done["metadata"]
        message = mp.get("models/m/versions/v1")["errorMessage"]
        assert message == done["error"]["message"]
        assert "LISTENS_ON_LOOPBACK" in message
        assert "\n" not in message
        (line,) = mp.client.get("/modelport/v1/status").json()["versions"]
        assert line["cause"].startswith("LISTENS_ON_LOOPBACK: ")


def test_a_wrong_health_route_is_named_with_the_right_one(on_processes: Platform) -> None:
    operation = on_processes.wait(
        on_processes.create("m", "route", ECHO, routes={"health": "/alive", "predict": "/predict"}), within_s=90
    )
    info = details(operation)["ErrorInfo"]
    assert info["reason"] == "HEALTH_ROUTE_NOT_FOUND"
    assert "/health" in info["metadata"]["remedy"]


def test_a_missing_module_is_named_by_the_command_line(on_processes: Platform, tmp_path: Path) -> None:
    (tmp_path / "server.py").write_text("import surely_not_installed\n")
    ran = subprocess.run(
        [sys.executable, "-m", "modelport", "deploy", str(tmp_path), "--model", "m", "--version", "module"],
        env={**on_processes.environ, "MODELPORT_ENDPOINT": on_processes.url, "MODELPORT_PROJECT": "p"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 1
    assert "cannot become ready: MODULE_MISSING" in ran.stderr
    assert "Proof    log: ModuleNotFoundError: No module named 'surely_not_installed'" in ran.stderr
    assert f"hint: run `modelport check {tmp_path}`" in ran.stderr


def test_a_slow_starter_is_not_given_up(on_processes: Platform) -> None:
    env = [{"name": "START_S", "value": "14"}]
    operation = on_processes.wait(on_processes.create("m", "slow", ECHO, container={"env": env}), within_s=90)
    assert "error" not in operation
