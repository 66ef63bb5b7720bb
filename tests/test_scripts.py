"""scripts/test tells by its exit status whether all of its runs passed, for that is all that CI goes by."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.platform import ROOT, eventually

# Stands where the interpreter stands: notes how pytest was called, and does what the test wants for one of the calls.
PYTHON = """#!/bin/sh
echo "$*" >>calls
case "$*" in *"-m $WHEN"*) echo "the words of $WHEN"; eval "$THEN" ;; esac
"""

RUNS = ("not engine", "engine and not podman", "podman")

Start = Callable[[str, str], "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Starts scripts/test among stand-ins of the other scripts; ``start(when, then)``: a run and what it does."""
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    shutil.copy(ROOT / "scripts/test", scripts)
    (tmp_path / "python").write_text(PYTHON)
    (scripts / "environment").write_text('PYTHON="$PWD/python"\n')
    for other in ("install-test-tools", "check"):
        (scripts / other).write_text("#!/bin/sh\n")
    for program in (tmp_path / "python", *scripts.iterdir()):
        program.chmod(0o755)

    def start(when: str, then: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "WHEN": when, "THEN": then, "TMPDIR": str(tmp_path)}
        return subprocess.Popen([scripts / "test"], env=environment, stdout=subprocess.PIPE, text=True)

    return start


def test_it_succeeds_when_every_run_has_passed(start: Start, tmp_path: Path) -> None:
    whole = start("no run at all", "exit 1")
    whole.communicate(timeout=30)
    assert whole.returncode == 0
    calls = (tmp_path / "calls").read_text().splitlines()
    assert len(calls) == len(RUNS)
    assert all(any(call.endswith(f"-m {run}") for call in calls) for run in RUNS)
    assert not list(tmp_path.glob("tmp.*"))


@pytest.mark.parametrize("run", RUNS)
def test_it_fails_and_shows_why_when_one_run_has_failed(start: Start, run: str) -> None:
    whole = start(run, "exit 1")
    output, _ = whole.communicate(timeout=30)
    assert whole.returncode != 0
    assert f"the words of {run}" in output


def test_who_ends_it_ends_the_run_beside_it(start: Start, tmp_path: Path) -> None:
    whole = start("engine and not podman", "echo $$ >beside; exec sleep 30")
    beside = tmp_path / "beside"
    process = eventually(lambda: beside.exists() and beside.read_text().strip())
    whole.send_signal(signal.SIGTERM)
    assert whole.wait(timeout=30) != 0
    eventually(lambda: not Path("/proc", process).exists(), what="the run beside it goes on")
