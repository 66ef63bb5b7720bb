"""Watches over the memory of containers on cgroup v1, for engines that do not tell when the kernel killed a process.

With the last process of a container its group is gone, and the group's counter with it. So the kernel is asked, while
the container lives or before it starts, to signal each shortage of memory on an eventfd, which stays.
"""

from __future__ import annotations

import os
import select
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from modelport.drivers.cgroups import Cgroup

_MOST = 128
_NEVER_CROSSED = 2**62
_REMOVAL_MS = 500


@dataclass
class _Watched:
    """Descriptors of one container: `shortage` is signalled by a shortage and by the removal, `removal` only by it."""

    group: Path
    shortage: int
    removal: int
    signals: int = 0
    removed: bool = False
    kills: int = 0

    def close(self) -> None:
        os.close(self.shortage)
        os.close(self.removal)


class OomWatch:
    """Remembers of at most 128 containers whether memory ran out. Calls may block for as long as a removal takes."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._watched: dict[str, _Watched] = {}

    def __contains__(self, container: str) -> bool:
        return container in self._watched

    def watch(self, container: str, cgroup: Cgroup) -> bool:
        """Start to watch a container that runs or is about to; return whether it is watched now."""
        with self._lock:
            if container not in self._watched and cgroup.version == 1 and cgroup.memory is not None:
                try:
                    self._watched[container] = _register(cgroup.memory)
                except OSError:  # another user's group, or it has just ended
                    return False
                if len(self._watched) > _MOST:
                    self._watched.pop(next(iter(self._watched))).close()
            return container in self._watched

    def note(self, container: str, kills: int) -> None:
        """Remember what the group's own counter said while it was there."""
        with self._lock:
            if watched := self._watched.get(container):
                watched.kills = max(watched.kills, kills)

    def kills(self, container: str) -> int | None:
        """Return how many processes were killed, at least; None for a container that is not watched."""
        with self._lock:
            watched = self._watched.get(container)
            if watched is None:
                return None
            if not watched.kills and _ran_short(watched):
                watched.kills = 1
            return watched.kills

    def forget(self, container: str) -> None:
        """Stop to watch a container."""
        with self._lock:
            if watched := self._watched.pop(container, None):
                watched.close()

    def close(self) -> None:
        """Stop to watch all."""
        with self._lock:
            while self._watched:
                self._watched.popitem()[1].close()


def _register(group: Path) -> _Watched:
    removal = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    shortage = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    watched = _Watched(group, shortage, removal)
    try:
        # In this order: the kernel lets go of the newest first, so `removal` is signalled after `shortage`.
        _ask(group, "memory.usage_in_bytes", removal, str(_NEVER_CROSSED))
        _ask(group, "memory.oom_control", shortage)
    except OSError:
        watched.close()
        raise
    return watched


def _ask(group: Path, file: str, event: int, *arguments: str) -> None:
    descriptor = os.open(group / file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        (group / "cgroup.event_control").write_text(" ".join((str(event), str(descriptor), *arguments)))
    finally:
        os.close(descriptor)


def _ran_short(watched: _Watched) -> bool:
    watched.signals += _signals(watched.shortage)
    # A shortage is signalled before the process dies, a removal after the folder is gone.
    if watched.signals == 0 or watched.group.exists():
        return watched.signals > 0
    if not watched.removed:
        poll = select.poll()
        poll.register(watched.removal, select.POLLIN)
        watched.removed = bool(poll.poll(_REMOVAL_MS))
        watched.signals += _signals(watched.shortage)
    return watched.signals > int(watched.removed)


def _signals(event: int) -> int:
    with suppress(BlockingIOError):
        return os.eventfd_read(event)
    return 0
