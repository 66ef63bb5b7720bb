"""An environment for each server that is compared, made once and kept in the user's cache.

The libraries of the models are installed once and shared by all, so that every server predicts with the same ones.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tomllib
from pathlib import Path

_ROOT = Path(__file__).parents[1]
_LIBRARIES = ("joblib", "numpy", "onnx", "onnxruntime", "scikit-learn>=1.7", "xgboost-cpu>=3.0")
_INSTALL_S = 900


class CannotInstall(Exception):
    """Packages cannot be installed here; says why."""


def libraries() -> Path:
    """Return the interpreter of the environment that has the libraries of the models."""
    return _environment("libraries", _LIBRARIES, ())


def environment(name: str, requirements: tuple[str, ...]) -> Path:
    """Return the interpreter of a server's own environment, which sees the libraries of the models too.

    Raises:
        CannotInstall: pip says so, or takes too long.
    """
    # At the end of the path: where the server's packages bring a library along, it is theirs that counts.
    shared = _packages(libraries())
    return _environment(name, requirements, (f"{shared}\n",))


def server_requirements() -> tuple[str, ...]:
    """Return what modelport's own server needs."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
    base = [requirement for requirement in project["dependencies"] if requirement.startswith(("pyyaml", "httpx"))]
    return (*base, *project["optional-dependencies"]["server"])


def _environment(name: str, requirements: tuple[str, ...], paths: tuple[str, ...]) -> Path:
    content = "\n".join((sys.version, *requirements, *paths))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modelport" / "bench"
    folder = cache / f"{name}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"
    python = folder / "bin/python"
    if not (folder / "complete").exists():
        print(f"making the environment of {name} (once)", file=sys.stderr, flush=True)
        cache.mkdir(parents=True, exist_ok=True)
        _run(sys.executable, "-m", "venv", "--clear", "--without-pip", str(folder))
        pip = (sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet")
        _run(*pip, "--disable-pip-version-check", *requirements)
        (_packages(python) / "libraries.pth").write_text("".join(paths))
        (folder / "complete").touch()
    return python


def _packages(python: Path) -> Path:
    return next((python.parents[1] / "lib").glob("python3.*")) / "site-packages"


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_S, check=False)
    except subprocess.TimeoutExpired as late:
        raise CannotInstall(f"{command[0]} took more than {_INSTALL_S} s") from late
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        raise CannotInstall(next((line for line in reversed(lines) if line.startswith("ERROR")), lines[-1]))
