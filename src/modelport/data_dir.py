"""The data directory: made private, held by one control plane at a time, with what it must remember of itself."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelport.core.errors import DataDirInUse

_LOCK = "lock"
_INSTALLATION = "installation"
_DRIVER = "driver"


@contextmanager
def held(directory: Path) -> Iterator[str]:
    """Hold the directory and yield its installation id, which marks what belongs to it.

    Raises:
        DataDirInUse: another control plane holds it. The lock ends with its process, whatever kills it.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            raise DataDirInUse(
                f"Another control plane (pid {holder}) runs on `{directory}`",
                hint="Use that one, stop it first, or choose another --data-dir and --listen",
                pid=holder,
            ) from error
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield _installation(directory)
    finally:
        os.close(descriptor)


def recorded_driver(directory: Path) -> str:
    """Return the driver that the directory was last used with, or an empty string."""
    return _read(directory / _DRIVER)


def record_driver(directory: Path, name: str) -> None:
    """Remember the driver: the replicas of the stored versions are with it."""
    if recorded_driver(directory) != name:
        _write(directory / _DRIVER, name)


def _installation(directory: Path) -> str:
    file = directory / _INSTALLATION
    if not _read(file):
        _write(file, secrets.token_hex(8))
    return _read(file)


def _read(file: Path) -> str:
    return file.read_text().strip() if file.exists() else ""


def _write(file: Path, text: str) -> None:
    temporary = file.with_suffix(".new")
    temporary.write_text(f"{text}\n")
    temporary.replace(file)
