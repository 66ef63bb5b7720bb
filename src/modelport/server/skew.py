"""Version skew: with which libraries a model was trained, and with which it is served.

A pickle is only promised to work in the versions that it was written with; most other formats are read by later
versions too. So a difference is told and never refused.
"""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from types import MappingProxyType

from modelport.server.model import LibraryVersion

PYTHON = "Python"

_FILE_LIMIT = 256 * 1024
_PIN = re.compile(r"^\s*(?P<name>[A-Za-z0-9][\w.-]*)\s*(?:\[[^\]]*\])?\s*={2,3}\s*(?P<version>\d[\w.!+-]*)")
# MLmodel; python_env.yaml; conda.yaml
_PYTHON_VERSION = re.compile(r"^\s*(?:python_version:|python:|-\s*python=)\s*[\"']?(\d+\.\d+(?:\.\d+)?)", re.M)
_BESIDE = ("MLmodel", "python_env.yaml", "conda.yaml")


def differing(libraries: Iterable[LibraryVersion]) -> tuple[LibraryVersion, ...]:
    """Return the libraries that are served in another version than they were trained with, where both are known."""
    return tuple(one for one in libraries if one.trained and one.serving and not _same(one))


def report(libraries: Iterable[LibraryVersion]) -> str:
    """Return one line about all libraries that differ, by name and version; empty where none does."""
    found = differing(libraries)
    if not found:
        return ""
    trained = ", ".join(f"{one.name} {one.trained}" for one in found)
    serving = ", ".join(one.serving if len(found) == 1 else f"{one.name} {one.serving}" for one in found)
    pins = " ".join(f"{one.name}=={one.trained}" for one in found if one.name != PYTHON)
    remedy = f"install {pins}" if pins else "serve with the Python of the training"
    return f"warning: trained with {trained}, serving with {serving}: predictions may differ; {remedy}, or train again"


def installed(name: str) -> str:
    """Return the version in which a distribution, or Python itself, is here; empty if it is not."""
    if name == PYTHON:
        return platform.python_version()
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        # Under another name, such as xgboost-cpu or onnxruntime-gpu; whatever a model needs is imported by then.
        return str(getattr(sys.modules.get(name), "__version__", ""))


def noted_beside(folder: Path) -> dict[str, str]:
    """Return versions at training that files beside the model tell: pins of requirements.txt, Python's of MLflow's."""
    found = pins(_text(folder / "requirements.txt"))
    for name in _BESIDE:
        if match := _PYTHON_VERSION.search(_text(folder / name)):
            found[PYTHON] = match[1]
            break
    return found


def pins(requirements: str) -> dict[str, str]:
    """Return the exact versions in the text of a requirements file by name."""
    matches = (_PIN.match(line) for line in requirements.splitlines())
    return {_normal(match["name"]): match["version"] for match in matches if match}


def compared(
    folder: Path, used: Iterable[str], told: Mapping[str, str] = MappingProxyType({})
) -> tuple[LibraryVersion, ...]:
    """Return the versions of the libraries that a model uses, and of what is pinned beside it and installed.

    Args:
        folder: the model's.
        used: distributions that the model is served with.
        told: versions at training as the model's own file tells them; they win over what stands beside it.
    """
    noted = {**noted_beside(folder), **{_normal(name): version for name, version in told.items()}}
    here = {_normal(name): installed(name) for name in (*used, *noted)}
    named = {_normal(name) for name in used}
    return tuple(LibraryVersion(name, noted.get(name, ""), at) for name, at in here.items() if at or name in named)


def _same(library: LibraryVersion) -> bool:
    """Return whether the versions agree as far as the one at training is known; patch releases of Python do."""
    trained, serving = (_parts(version) for version in (library.trained, library.serving))
    if library.name == PYTHON:
        trained = trained[:2]
    serving += ["0"] * (len(trained) - len(serving))
    return serving[: len(trained)] == trained


def _parts(version: str) -> list[str]:
    return version.partition("+")[0].lower().split(".")  # what follows a plus is how it was built: 2.8.0+cpu


def _normal(name: str) -> str:
    return name if name == PYTHON else re.sub(r"[-_.]+", "-", name).lower()


def _text(file: Path) -> str:
    try:
        with file.open(encoding="utf-8", errors="replace") as opened:
            return opened.read(_FILE_LIMIT)
    except OSError:
        return ""
