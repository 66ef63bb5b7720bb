"""The fixture `frameworks_python`: an interpreter with every framework, made once for a list of requirements.

TensorFlow, PyTorch and the rest weigh gigabytes, so they are kept out of the environment of the other tests. Theirs
lies in the user's cache under a name that holds a digest of what is in it.

On Linux the usual wheel of PyTorch brings CUDA along. Where neither pip nor uv knows of a CPU wheel, name an index that
has one in UV_INDEX; else the larger one is installed, and works as well.
"""

import fcntl
import hashlib
import os
import sys
import tomllib
from pathlib import Path

import pytest

from tests import installer
from tests.conftest import missing

_ROOT = Path(__file__).parents[2]
_FRAMEWORKS = (
    "tensorflow-cpu>=2.20",
    "torch==2.13.0",
    "onnx",
    "onnxruntime",
    "skl2onnx",
    "xgboost-cpu>=3.0",
    "lightgbm>=4.6",
    "scikit-learn>=1.7",
    "skops",
    "cloudpickle",
    "pandas>=2.3",
    "pillow>=11",
    "mlflow-skinny>=3.5",
)
_TESTING = ("anyio", "httpx", "hypothesis", "pytest>=9", "pytest-timeout>=2.4")
# Without what it draws pictures with, which is as large as itself and not needed to predict.
_ALONE = ("catboost>=1.2",)


@pytest.fixture(scope="session")
def frameworks_python() -> Path:
    """An interpreter that has all frameworks and what the server needs, without modelport itself: set PYTHONPATH."""
    return _python()


def _python() -> Path:
    together = (*server_requirements(), *_FRAMEWORKS, *_TESTING)
    content = "\n".join((sys.version, *together, *_ALONE))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modelport"
    environment = cache / f"frameworks-{hashlib.sha256(content.encode()).hexdigest()[:12]}"
    cache.mkdir(parents=True, exist_ok=True)
    with environment.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs that begin at the same time share one
        if not (environment / "complete").exists():
            _uv("venv", "--clear", "--no-project", "--python", sys.executable, str(environment))
            _install(environment, *together)
            _install(environment, "--no-deps", *_ALONE)
            (environment / "complete").touch()
    return environment / "bin/python"


def server_requirements() -> tuple[str, ...]:
    """Return what the prediction server needs, as pyproject has it."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
    base = [requirement for requirement in project["dependencies"] if requirement.startswith("pyyaml")]
    return (*base, *project["optional-dependencies"]["server"])


def _install(environment: Path, *arguments: str) -> None:
    # Nothing is compiled but modules that are imported, when they are: most of these never will be.
    _uv("pip", "install", "--python", str(environment / "bin/python"), *arguments)


def _uv(*arguments: str) -> None:
    if failed := installer.uv(*arguments):
        missing(f"The frameworks cannot be installed: {failed}")
