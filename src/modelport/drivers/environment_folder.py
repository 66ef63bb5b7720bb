"""Folders of environments: one for each digest, found when it is whole, built by one at a time, removed when unused.

::

    <directory>/.<digest>.lock       held by who builds or removes, and by the installer while it runs
    <directory>/<digest>/complete    there once it is whole; its time is that of the last use

Several processes may share a directory.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread

_COMPLETE = "complete"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_LOCK_POLL_S = 0.2


def make(directory: Path) -> None:
    """Make the directory of all environments where it is missing."""
    directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.mkdir(mode=0o700, exist_ok=True)


def use(folder: Path) -> bool:
    """Return whether the environment is whole; then it counts as used now."""
    try:
        os.utime(folder / _COMPLETE)
    except FileNotFoundError:
        return False
    return True


def complete(folder: Path) -> None:
    """Note that the environment is whole."""
    (folder / _COMPLETE).touch()


@asynccontextmanager
async def held(directory: Path, digest: str) -> AsyncIterator[int]:
    """Hold the lock of a folder, as soon as nobody else does; its file descriptor, for programs that hold it too."""
    file = _lock_file(directory, digest)
    while True:
        lock = await anyio.to_thread.run_sync(_try_lock, file)
        if lock is not None:
            break
        await anyio.sleep(_LOCK_POLL_S)
    try:
        yield lock
    finally:
        os.close(lock)


def _lock_file(directory: Path, digest: str) -> Path:
    return directory / f".{digest}.lock"


def _try_lock(file: Path) -> int | None:
    lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


async def prune(directory: Path, keep: frozenset[str], *, unused_s: float) -> None:
    """Remove environments whose digest is not in `keep` and that nobody has asked for within the last `unused_s`."""
    for folder in await anyio.to_thread.run_sync(_unused, directory, keep, unused_s):
        lock = await anyio.to_thread.run_sync(_try_lock, _lock_file(directory, folder.name))
        if lock is None:
            continue  # somebody builds it
        try:
            if folder in await anyio.to_thread.run_sync(_unused, directory, keep, unused_s):
                (folder / _COMPLETE).unlink(missing_ok=True)  # first: what is half removed must not be found
                await anyio.to_thread.run_sync(partial(shutil.rmtree, folder, ignore_errors=True))
        finally:
            os.close(lock)


def _unused(directory: Path, keep: frozenset[str], unused_s: float) -> list[Path]:
    if not directory.is_dir():
        return []
    before = time.time() - unused_s
    folders = (path for path in directory.iterdir() if _DIGEST.fullmatch(path.name) and path.name not in keep)
    return [folder for folder in folders if _last_use(folder) < before]


def _last_use(folder: Path) -> float:
    for path in (folder / _COMPLETE, folder):
        with suppress(FileNotFoundError):
            return path.stat().st_mtime
    return time.time()
