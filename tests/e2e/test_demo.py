"""scripts/demo does what the README promises of it, and leaves nothing behind."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.platform import ROOT
from tests.engines.fixtures import BASE_IMAGE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all demonstrations here install, the first for the others."""
    return tmp_path_factory.mktemp("demo") / "venv"


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where temporary files go; its name is short, for sockets lie in it."""
    with tempfile.TemporaryDirectory(prefix="mp-") as made:
        yield Path(made)


def demo(venv: Path, folder: Path, **environ: str) -> str:
    """Run it with a folder for temporary files; return what it printed."""
    unsaid = {name: value for name, value in os.environ.items() if not name.startswith("MODELPORT_")}
    unsaid.pop("PYTHONPATH", None)
    given = {**unsaid, "MODELPORT_VENV": str(venv), "TMPDIR": str(folder), **environ}
    done = subprocess.run([ROOT / "scripts/demo"], env=given, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(folder.iterdir()) == []
    assert [one for one in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(one.info["cmdline"] or ())] == []
    return done.stdout


def test_it_predicts_on_a_machine_without_an_engine(venv: Path, folder: Path) -> None:
    printed = demo(venv, folder, MODELPORT_DOCKER_HOST=f"unix://{folder}/nobody.sock")
    assert "driver: process" in printed
    assert "as a process, not as a container: " in printed
    assert '"predictions"' in printed


@pytest.mark.engine
def test_it_predicts_in_a_container_where_there_is_an_engine(venv: Path, folder: Path, podman_engine: str) -> None:
    printed = demo(venv, folder, MODELPORT_DOCKER_HOST=podman_engine, MODELPORT_DEMO_BASE=BASE_IMAGE)
    assert "driver: docker" in printed
    assert '"predictions"' in printed
