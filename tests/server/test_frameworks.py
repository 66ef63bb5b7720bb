"""Loaders of frameworks that the environment of the other tests does not have, tested in one process that has them."""

import os
import subprocess
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(1200)  # the first time, everything is downloaded
def test_every_loader_predicts_what_its_framework_predicts(frameworks_python: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(_ROOT / "src"), str(_ROOT)))}
    command = [str(frameworks_python), "-m", "pytest", "tests/server/frameworks", "-rs", "--durations=5"]

    done = subprocess.run(command, cwd=_ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    output = done.stdout.decode(errors="replace")
    print(output)
    if done.returncode:
        pytest.fail(output, pytrace=False)
    assert "SKIPPED" not in output, "Every framework is installed: nothing may be left out"
