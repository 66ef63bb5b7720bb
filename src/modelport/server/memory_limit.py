"""How much memory a container may use, and how much this process has."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from contextlib import suppress
from pathlib import Path, PurePosixPath

from modelport.server.control_groups import MEMBERSHIP, ROOT, group_folders, text, up_to_root

_UNLIMITED = 2**60  # version 1 writes a number near 2**63 for no limit
_SHARE = 0.75  # of the limit is for models; the rest is for requests, libraries and what does not return to the system


def memory_limit() -> int:
    """Return the bytes that this process may use: the smallest limit of its control groups, or the machine's memory."""
    limits = [_bytes(text(ROOT / file)) for file in group_limits(text(MEMBERSHIP))]
    return min([_machine(), *(limit for limit in limits if limit)])


def budget_for_models(limit: int) -> int:
    """Return the part of a memory limit that models may fill."""
    return int(limit * _SHARE)


def resident_bytes() -> int:
    """Return the memory that this process holds; 0 where the system does not tell."""
    fields = text(Path("/proc/self/statm")).split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") if len(fields) > 1 else 0


def give_back() -> None:
    """Return freed memory to the operating system, which the allocator else keeps for later."""
    gc.collect()
    if sys.platform == "linux":
        with suppress(AttributeError):  # a C library without it (musl)
            ctypes.CDLL(None).malloc_trim(0)


def group_limits(membership: str) -> tuple[PurePosixPath, ...]:
    """Return the files, below the root of the control groups, that may limit the memory by a `/proc/self/cgroup`."""
    return tuple(
        folder / "memory.max" if version == 2 else "memory" / folder / "memory.limit_in_bytes"
        for version, group in group_folders(membership, "memory")
        for folder in up_to_root(group)
    )


def _bytes(limit: str) -> int:
    limit = limit.strip()
    return int(limit) if limit.isdigit() and int(limit) < _UNLIMITED else 0


def _machine() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
