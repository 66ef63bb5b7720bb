"""How much memory a container may use, and how much this process has."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath

_UNLIMITED = 2**60  # version 1 writes a number near 2**63 for no limit
_SHARE = 0.75  # of the limit is for models; the rest is for requests, libraries and what does not return to the system


def memory_limit() -> int:
    """Return the bytes that this process may use: the smallest limit of its control groups, or the machine's memory."""
    limits = [_bytes(text) for text in _limits(Path("/sys/fs/cgroup"), _text(Path("/proc/self/cgroup")))]
    return min([_machine(), *(limit for limit in limits if limit)])


def budget_for_models(limit: int) -> int:
    """Return the part of a memory limit that models may fill."""
    return int(limit * _SHARE)


def resident_bytes() -> int:
    """Return the memory that this process holds; 0 where the system does not tell."""
    fields = _text(Path("/proc/self/statm")).split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") if len(fields) > 1 else 0


def give_back() -> None:
    """Return freed memory to the operating system, which the allocator else keeps for later."""
    gc.collect()
    if sys.platform == "linux":
        with suppress(AttributeError):  # a C library without it (musl)
            ctypes.CDLL(None).malloc_trim(0)


def group_limits(membership: str) -> tuple[PurePosixPath, ...]:
    """Return the files, below the root of the control groups, that may limit the memory by a `/proc/self/cgroup`."""
    found: list[PurePosixPath] = []
    for line in membership.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        group = PurePosixPath(path.lstrip("/"))
        # Every group above may limit as well; inside a container the root is the container's own group.
        if number == "0" and not controllers:
            found += [folder / "memory.max" for folder in (group, *group.parents)]
        elif "memory" in controllers.split(","):
            found += ["memory" / folder / "memory.limit_in_bytes" for folder in (group, *group.parents)]
    return tuple(found)


def _limits(root: Path, membership: str) -> Iterable[str]:
    return (_text(root / file) for file in group_limits(membership))


def _bytes(text: str) -> int:
    text = text.strip()
    return int(text) if text.isdigit() and int(text) < _UNLIMITED else 0


def _machine() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
