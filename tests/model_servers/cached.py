"""Folders that are made once, in the user's cache, under a name that holds what is in them."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests import installer
from tests.conftest import missing


def cached(name: str, content: str, make: Callable[[Path], None]) -> Path:
    """Return a folder of the cache that `make` has filled; `content` tells all that it is made of."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modelport"
    folder = cache / f"{name}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"
    cache.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs that begin at the same time share one
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            make(folder)
            (folder / "complete").touch()
    return folder


def packages(name: str, *requirements: str, module: str) -> Path:
    """Return a folder for PYTHONPATH with these, for this version of Python and so for that of the base image.

    What the module imports is compiled in it: servers start several times, and some of them import a great deal.
    """

    def make(folder: Path) -> None:
        _install(folder, requirements)
        # That of TorchServe imports PyTorch, which is not here: what comes before it is compiled all the same.
        subprocess.run(
            [sys.executable, "-c", f"import {module}"], env=environ(folder), capture_output=True, timeout=120
        )

    return cached(name, "\n".join((sys.version, *requirements)), make)


def require_the_python_of_images() -> None:
    """Skip where packages of this Python cannot be copied into an image: the base image has that of Debian 12."""
    if sys.version_info[:2] != (3, 11):
        missing(f"the images of model servers take packages of Python 3.11, and this is {sys.version.split()[0]}")


def environ(folder: Path) -> dict[str, str]:
    """Return the environment of a process that finds the packages of a folder."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**inherited, "PYTHONPATH": str(folder)}


def _install(folder: Path, requirements: tuple[str, ...]) -> None:
    if failed := installer.uv("pip", "install", "--python", sys.executable, "--target", str(folder), *requirements):
        missing(f"{', '.join(requirements)} cannot be installed: {failed}")
