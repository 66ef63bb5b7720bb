"""The catalogue of runtime versions: a name stands for pinned libraries, framework by framework, and Pythons.

A file in TOML holds it, newest first::

    [[runtime]]
    name = "2026.11"
    python = ["3.11", "3.12"]
    server = ["numpy==2.4.6", …]            what modelport's own server needs: in every environment

    [runtime.frameworks]
    SCIKIT_LEARN = ["scikit-learn==1.9.1", …]   with all that it depends on; wins over `server`
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelport.core.errors import FailedPrecondition
from modelport.core.frameworks import Framework, framework_named

SHIPPED = Path(__file__).with_name("runtime_versions.toml")

_PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==[A-Za-z0-9][A-Za-z0-9.!+_-]*( *;.*)?")
_PYTHON = re.compile(r"3\.[0-9]+")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class RuntimeVersion:
    """One runtime version.

    Attributes:
        name: such as `2026.11`.
        pythons: the versions of Python that its libraries are there for.
        server: pins of what modelport's own server needs.
        frameworks: pins of each framework that it has.
    """

    name: str
    pythons: tuple[str, ...]
    server: tuple[str, ...] = ()
    frameworks: dict[Framework, tuple[str, ...]] = field(default_factory=dict)

    def pins(self, framework: Framework | None) -> tuple[str, ...]:
        """Return all libraries of an environment, sorted by name; those of the server alone without a framework."""
        own = self.frameworks.get(framework, ()) if framework else ()
        chosen = {library(pin): pin for pin in (*self.server, *own)}
        return tuple(chosen[name] for name in sorted(chosen))


@dataclass(frozen=True)
class RuntimeCatalogue:
    """The runtime versions that there are, newest first."""

    versions: tuple[RuntimeVersion, ...] = ()

    @property
    def newest(self) -> RuntimeVersion | None:
        """Return the one that is taken where none is named."""
        return self.versions[0] if self.versions else None

    def find(self, name: str) -> RuntimeVersion | None:
        """Return the runtime version of this name; the newest for an empty one."""
        return next((one for one in self.versions if one.name == name), None) if name else self.newest


def library(pin: str) -> str:
    """Return the normal form of the name of the library that is pinned, as packages are compared by."""
    return re.sub(r"[-_.]+", "-", pin.partition("==")[0]).lower()


def read_catalogue(file: Path) -> RuntimeCatalogue:
    """Return the catalogue that a file holds.

    Raises:
        FailedPrecondition: it cannot be read, or is not a catalogue; the message names the entry.
    """
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
        versions = tuple(_version(entry) for entry in _list(document, "runtime"))
    except OSError as error:
        raise _unusable(file, f"it cannot be read: {error.strerror}") from error
    except ValueError as error:  # what is not UTF-8 or TOML, and what is said below
        raise _unusable(file, str(error)) from error
    names = [version.name for version in versions]
    if doubles := sorted({name for name in names if names.count(name) > 1}):
        raise _unusable(file, f"it has `{doubles[0]}` twice")
    return RuntimeCatalogue(versions)


def _version(entry: Any) -> RuntimeVersion:
    name = entry.get("name") if isinstance(entry, dict) else None
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"a [[runtime]] has the name {name!r}; wanted letters, digits, `.`, `_` and `-`")
    try:
        pythons = tuple(_list(entry, "python"))
        if wrong := [one for one in pythons if not isinstance(one, str) or not _PYTHON.fullmatch(one)]:
            raise ValueError(f'`python` has {wrong[0]!r}; wanted a version such as "3.11"')
        frameworks = entry.get("frameworks", {})
        if not isinstance(frameworks, dict):
            raise ValueError("`frameworks` is not a table")
        if unknown := sorted(key for key in frameworks if framework_named(key) is None):
            raise ValueError(f"`frameworks` has `{unknown[0]}`; wanted some of {', '.join(Framework)}")
        return RuntimeVersion(
            name,
            pythons,
            _pins(entry, "server"),
            {found: _pins(frameworks, key) for key in frameworks if (found := framework_named(key))},
        )
    except ValueError as error:
        raise ValueError(f"runtime `{name}`: {error}") from error


def _pins(table: dict[str, Any], key: str) -> tuple[str, ...]:
    pins = _list(table, key)
    if wrong := [pin for pin in pins if not isinstance(pin, str) or not _PIN.fullmatch(pin)]:
        raise ValueError(f'`{key}` has {wrong[0]!r}; wanted exact pins such as "numpy==2.4.6"')
    return tuple(pins)


def _list(table: dict[str, Any], key: str) -> list[Any]:
    value = table.get(key, [])
    if not isinstance(value, list) or not value:
        raise ValueError(f"`{key}` is missing, empty or not a list")
    return value


def _unusable(file: Path, problem: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"`{file}` is no catalogue of runtime versions: {problem}",
        hint="Correct it, or unset MODELPORT_RUNTIME_VERSIONS to use the one that comes with modelport",
    )
