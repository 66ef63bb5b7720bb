"""Environments: a Python with pinned libraries, in which a version runs that brings no container of its own."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True)
class PackageFile:
    """A wheel or sdist on this machine; `extras` are those of its own that are wanted, such as `server`."""

    path: PurePosixPath
    sha256: str
    extras: tuple[str, ...] = ()

    @property
    def requirement(self) -> str:
        """Return the file as installers take it."""
        return f"{self.path}[{','.join(self.extras)}]" if self.extras else str(self.path)


@dataclass(frozen=True)
class Environment:
    """What is to be installed. The same content has the same digest, wherever the files lie.

    Attributes:
        python: the version of Python, such as `3.11`; empty for whatever there is.
        requirements: pinned libraries, as in a requirements file; they also bind what `packages` ask for.
        packages: files to install, in this order: our own server and packages of the user's.
    """

    python: str
    requirements: tuple[str, ...]
    packages: tuple[PackageFile, ...] = ()

    @property
    def digest(self) -> str:
        """Return the SHA-256 of all that makes the environment what it is."""
        files = [[package.path.name, package.sha256, *package.extras] for package in self.packages]
        content = json.dumps([self.python, list(self.requirements), files])
        return hashlib.sha256(content.encode()).hexdigest()
