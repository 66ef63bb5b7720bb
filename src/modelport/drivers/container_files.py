"""Reads files of a container on this machine where its engine keeps them: under one root, or in layers.

Much faster than to ask the engine, which may have to mount a container that has ended. Links are followed as the
container would, never out of its root.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

_MOST_LINKS = 40
_LAYERED = ("overlay", "overlay2")
_SEPARATOR = ":"


@dataclass(frozen=True)
class FoundFile:
    """One file or folder: where it lies on this machine, and its mode."""

    path: Path
    mode: int

    def head(self, size: int) -> bytes:
        """Return its first bytes. Raises OSError."""
        with self.path.open("rb") as file:
            return file.read(size)


def layers(inspected: Mapping[str, Any]) -> tuple[Path, ...]:
    """Return the folders that make up the container's root, uppermost first; none where there are no such folders."""
    driver = inspected.get("GraphDriver") or {}
    data = driver.get("Data") or {}
    if driver.get("Name") not in _LAYERED or not data.get("UpperDir"):
        return ()
    return tuple(Path(part) for part in (data["UpperDir"], *str(data.get("LowerDir") or "").split(_SEPARATOR)) if part)


def find_file(roots: Sequence[Path], path: str) -> FoundFile | None:
    """Return what lies at an absolute path of the container, links followed; None where there is nothing.

    Raises:
        OSError: this user may not look.
    """
    left = list(reversed(PurePosixPath(path).parts[1:]))
    inside = PurePosixPath("/")
    found = _in_layers(roots, inside)
    links = 0
    while left:
        part = left.pop()
        inside = inside.parent if part == ".." else inside / part
        found = _in_layers(roots, inside)
        if found is None:
            return None
        if stat.S_ISLNK(found.mode):
            links += 1
            if links > _MOST_LINKS:
                return None
            target = PurePosixPath(found.path.readlink())
            left += reversed(target.parts[1:] if target.is_absolute() else target.parts)
            inside = PurePosixPath("/") if target.is_absolute() else inside.parent
        elif left and not stat.S_ISDIR(found.mode):
            return None
    return found


def _in_layers(roots: Sequence[Path], inside: PurePosixPath) -> FoundFile | None:
    relative = inside.relative_to("/")
    for root in roots:
        try:
            status = (root / relative).lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        # How a layer says that what lies below was removed.
        if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
            return None
        return FoundFile(root / relative, status.st_mode)
    return None
