"""MLflow's real scoring server, which `mlflow models serve` starts: the fixtures `mlflow_plain` and `mlflow_table`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.model_servers.cached import environ, packages
from tests.model_servers.readiness import until_ready
from tests.ports import free_port

_REQUIREMENTS = ("mlflow-skinny==3.17.2", "pandas>=2.3", "fastapi", "uvicorn")
_APPLICATION = "mlflow.pyfunc.scoring_server.app:app"
_MODELS = Path(__file__).parent / "mlflow_models" / "double.py"


@pytest.fixture(scope="session")
def mlflow_packages() -> Path:
    """A folder for PYTHONPATH with MLflow and what its scoring server needs."""
    return packages("mlflow", *_REQUIREMENTS, module="mlflow.pyfunc.scoring_server")


@pytest.fixture(scope="session")
def mlflow_models(mlflow_packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the models `plain` and `table`."""
    folder = tmp_path_factory.mktemp("mlflow-models")
    command = [sys.executable, str(_MODELS), str(folder)]
    done = subprocess.run(command, env=environ(mlflow_packages), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def mlflow_plain(mlflow_packages: Path, mlflow_models: Path) -> Iterator[str]:
    """The URL of a server of the model that takes whatever comes."""
    with _serving(mlflow_packages, mlflow_models / "plain") as url:
        yield url


@pytest.fixture(scope="module")
def mlflow_table(mlflow_packages: Path, mlflow_models: Path) -> Iterator[str]:
    """The URL of a server of the model whose columns and parameters have types."""
    with _serving(mlflow_packages, mlflow_models / "table") as url:
        yield url


@contextmanager
def _serving(installed: Path, model: Path) -> Iterator[str]:
    port, log = free_port(), model.with_suffix(".log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "--host", "127.0.0.1", "--port", str(port), _APPLICATION],
            env={**environ(installed), "__pyfunc_model_path__": str(model)},
            stdout=output,
            stderr=output,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        until_ready(f"{url}/ping", process, log)
        yield url
    finally:
        process.kill()
        process.wait()
