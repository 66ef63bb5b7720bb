"""The data directory: made private, held by one control plane at a time, known by an installation id."""

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


def _installation(directory: Path) -> str:
    file = directory / _INSTALLATION
    if not file.exists():
        temporary = file.with_suffix(".new")
        temporary.write_text(secrets.token_hex(8))
        temporary.replace(file)
    return file.read_text().strip()
