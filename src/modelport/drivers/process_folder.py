"""The folder of one replica of the process driver: what is written there, and what it says about the replica.

Everything that is known lies in the folder, so a new control plane knows as much as the old one did::

    lock          held by the shim for as long as it lives; nothing else says that a replica lives
    record.json   what to run; there from the first moment
    running.json  written by the shim once the program was executed
    grace         seconds between SIGTERM and SIGKILL, written before the shim is told to end
    exit.json     written by the shim when the program has ended

A folder takes its name by one rename, already locked. So one that is not locked and has neither running.json nor
exit.json is what a control plane left that died before it started the shim: it counts as missing.

All functions block for as long as a local disk takes; call them in a thread.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from modelport.core.replicas import Address, Exit, Replica, ReplicaState
from modelport.drivers.process_shim import EXIT, RECORD, RUNNING

LOCK = "lock"

_HIDDEN = "."  # folders in the making and on their way out
_SHIM_KILLED = "its supervising process was killed, or the machine was restarted"


@dataclass(frozen=True)
class Record:
    """What a shim is told to run, and which replica that is."""

    name: str
    owner: str
    digest: str
    attempt: int
    port: int
    argv: tuple[str, ...]
    env: dict[str, str]
    cwd: str
    log_folder: str
    log_bytes: int
    log_files: int


def create(directory: Path, record: Record) -> int | None:
    """Give the replica its folder and return the descriptor of its held lock; None when it has one already."""
    directory.mkdir(parents=True, exist_ok=True)
    hidden = directory / f"{_HIDDEN}new-{secrets.token_hex(8)}"
    hidden.mkdir(mode=0o700)
    lock = os.open(hidden / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (hidden / RECORD).write_text(json.dumps(asdict(record)))
        hidden.rename(directory / record.name)  # fails on any folder that is not empty, and none of ours ever is
    except OSError:
        os.close(lock)
        shutil.rmtree(hidden, ignore_errors=True)
        if (directory / record.name).exists():
            return None
        raise
    return lock


def try_lock(folder: Path) -> int | None:
    """Return the descriptor of the lock, now held by the caller; None when another holds it.

    Raises:
        FileNotFoundError: there is no such replica, or it was replaced meanwhile.
    """
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if (folder / LOCK).stat().st_ino != os.fstat(lock).st_ino:
            raise FileNotFoundError(folder)
    except BlockingIOError:
        os.close(lock)
        return None
    except FileNotFoundError:
        os.close(lock)
        raise
    return lock


def discard(folder: Path) -> None:
    """Remove a folder whose lock the caller holds; its name is free at once."""
    hidden = folder.with_name(f"{_HIDDEN}old-{secrets.token_hex(8)}")
    folder.rename(hidden)
    shutil.rmtree(hidden, ignore_errors=True)


def folders(directory: Path) -> list[Path]:
    """Return the folders of all replicas."""
    try:
        with os.scandir(directory) as entries:
            return sorted(Path(entry.path) for entry in entries if not entry.name.startswith(_HIDDEN))
    except FileNotFoundError:
        return []


def sweep_hidden(directory: Path, *, older_than_s: float, now_s: float) -> None:
    """Remove what control planes that died left half made or half removed."""
    for path in directory.glob(f"{_HIDDEN}*-*"):
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < now_s - older_than_s:
                shutil.rmtree(path, ignore_errors=True)


def read_record(folder: Path) -> dict[str, Any] | None:
    """Return the record as it was written; None when there is none."""
    with _opened(folder) as descriptor:
        return None if descriptor is None else _read(descriptor, RECORD)


def read_shim_pid(folder: Path) -> int | None:
    """Return the shim's process id, which means something only while the lock is held."""
    with _opened(folder) as descriptor:
        running = None if descriptor is None else _read(descriptor, RUNNING)
    return None if running is None else int(running["shim"])


def has_ended(folder: Path) -> bool:
    """Return whether the shim wrote down how the program ended; if so, it has ended all descendants too."""
    return (folder / EXIT).exists()


def is_held(folder: Path) -> bool:
    """Return whether somebody holds the lock: a shim that lives, or for a moment a driver."""
    with _opened(folder) as descriptor:
        return descriptor is not None and _held(descriptor)


def read_replica(folder: Path) -> Replica | None:
    """Return the replica as its folder shows it; None when there is none, or it never got a shim."""
    with _opened(folder) as descriptor:
        if descriptor is None:
            return None
        # The lock first: once it is free, what the shim wrote is final.
        held = _held(descriptor)
        running, ended, record = (_read(descriptor, name) for name in (RUNNING, EXIT, RECORD))
    if record is None or not (held or running or ended):
        return None
    state, end, message = ReplicaState.STARTING, None, ""
    if ended:
        state, message = ReplicaState.EXITED, str(ended.get("message", ""))
        end = Exit(ended["code"], ended["signal"], finished_at=_time(ended["finished_at"]))
    elif not held:
        state, end, message = ReplicaState.EXITED, Exit(None), _SHIM_KILLED
    elif running:
        state = ReplicaState.RUNNING
    return Replica(
        name=record["name"],
        owner=record["owner"],
        digest=record["digest"],
        attempt=record["attempt"],
        state=state,
        address=Address("127.0.0.1", record["port"]),
        exit=end,
        started_at=_time(running["started_at"]) if running else None,
        message=message,
    )


@contextmanager
def _opened(folder: Path) -> Iterator[int | None]:
    """Open the folder, so that all that is read is of one replica even when another takes its name meanwhile."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _held(folder: int) -> bool:
    try:
        lock = os.open(LOCK, os.O_RDWR | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: those who only look do not see one another
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _read(folder: int, name: str) -> dict[str, Any] | None:
    try:
        with os.fdopen(os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder), "rb") as file:
            content: dict[str, Any] = json.load(file)
    except (FileNotFoundError, ValueError):  # ValueError: cut short by a full disk or a power failure
        return None
    return content


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
