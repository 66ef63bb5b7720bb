"""Environments of Python: a virtual environment for each digest, built by pip once and whole, used by many.

::

    <directory>/.<digest>.lock       held by who builds or removes, and by pip while it runs
    <directory>/<digest>/.venv       a virtual environment cannot be moved, so it is built where it stays
    <directory>/<digest>/complete    there once it is whole; its time is that of the last use

pip's own configuration is honoured: its files, `PIP_*` variables, proxies and certificates.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
from anyio.abc import Process
from anyio.streams.text import TextReceiveStream

from modelport.core.environments import Environment
from modelport.core.errors import EngineUnreachable, EnvironmentBuildFailed, NoSpace

_COMPLETE = "complete"
_REQUIREMENTS = "requirements.txt"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_LOCK_POLL_S = 0.2
_TOLD_LINES = 9
_KEPT_LINES = 200
_FULL_DISK_BYTES = 32 * 1024**2
# What would lead the new environment's Python, or pip, into the one of modelport itself.
_MISLEADING = ("PYTHONPATH", "PYTHONHOME", "PYTHONSAFEPATH", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")


def find_python(version: str) -> Path:
    """Return a Python of this version, such as `3.11`, the running one or one on PATH; for an empty one the running.

    Raises:
        EnvironmentBuildFailed: there is none.
    """
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    if version in ("", running):
        return Path(sys.executable)
    if found := shutil.which(f"python{version}"):
        return Path(found)
    raise EnvironmentBuildFailed(
        f"There is no Python {version} on this machine; modelport itself runs on {running}",
        hint=f"Leave out `pythonVersion`, or install Python {version} so that `python{version}` is on PATH",
    )


async def build(
    directory: Path,
    environment: Environment,
    *,
    python: Path,
    compiled: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> Path:
    """Return the folder of an environment, whose Python is `.venv/bin/python`; build it where it is not there yet.

    Several may ask at once, from several processes too: one of them builds, and the others wait for it. Whoever is
    cancelled leaves nothing behind.

    Args:
        directory: where environments lie; made when it is missing.
        environment: what is to be installed.
        python: of which the virtual environment is made.
        compiled: whether every module is compiled now, for where it cannot be at its first import. It takes twice
            as long as all the rest.
        environ: what pip is started with.

    Raises:
        EnvironmentBuildFailed: something cannot be installed; ends with the installer's last lines.
        NoSpace: the disk is full.
        EngineUnreachable: the directory cannot be written.
    """
    folder = directory / environment.digest
    with _disk_errors(directory):
        if await anyio.to_thread.run_sync(_use, folder):
            return folder
        await anyio.to_thread.run_sync(_make, directory)
        async with _held(directory, environment.digest) as lock:
            if await anyio.to_thread.run_sync(_use, folder):
                return folder
            await anyio.to_thread.run_sync(partial(shutil.rmtree, folder, ignore_errors=True))
            try:
                await anyio.to_thread.run_sync(_write_requirements, folder, environment)
                await _install(folder, _commands(folder, environment, python, compiled=compiled), environ, lock)
            except BaseException:
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(partial(shutil.rmtree, folder, ignore_errors=True))
                raise
    return folder


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


def _commands(
    folder: Path, environment: Environment, python: Path, *, compiled: bool
) -> tuple[tuple[str, list[str]], ...]:
    """Return what is run, each with what it means when that fails."""
    pip = [
        *(str(folder / ".venv" / "bin" / "python"), "-m", "pip", "install"),
        # Not --quiet: what two packages disagree about is told by the lines before the error.
        *("--progress-bar", "off", "--no-input", "--disable-pip-version-check"),
        *(() if compiled else ("--no-compile",)),
        # Not as the file that lies there to be read: pip would speak of its lines, not of libraries.
        *environment.requirements,
        *(package.requirement for package in environment.packages),
    ]
    return (
        ("The virtual environment cannot be made", [str(python), "-m", "venv", str(folder / ".venv")]),
        ("pip cannot install the libraries", pip),
    )


async def _install(
    folder: Path, commands: tuple[tuple[str, list[str]], ...], environ: Mapping[str, str], lock: int
) -> None:
    env = {name: value for name, value in environ.items() if name not in _MISLEADING} | {"PYTHONUNBUFFERED": "1"}
    for failure, command in commands:
        code, lines = await _run(command, env, folder, lock)
        if code != 0:
            if shutil.disk_usage(folder).free < _FULL_DISK_BYTES:
                raise NoSpace(f"No space for libraries in `{folder.parent}`", hint="Free some space")
            raise _failed(failure, code, lines)
    (folder / _COMPLETE).touch()


async def _run(command: list[str], env: dict[str, str], folder: Path, lock: int) -> tuple[int, list[str]]:
    """Return the exit code and the last lines; a cancelled program ends with all that it started."""
    lines: deque[str] = deque(maxlen=_KEPT_LINES)
    with anyio.CancelScope(shield=True):  # else it might have started, and nobody would know it
        process = await anyio.open_process(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=folder,
            start_new_session=True,
            # It holds the lock too: should modelport be killed, nobody builds here while pip still writes.
            pass_fds=(lock,),
        )
    try:
        rest = ""
        assert process.stdout is not None
        async for text in TextReceiveStream(process.stdout, errors="replace"):
            *whole, rest = (rest + text).split("\n")
            lines += whole
        lines.append(rest)
        return await process.wait(), [line for line in lines if line.strip()]
    finally:
        with anyio.CancelScope(shield=True):
            await _end(process)


async def _end(process: Process) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.aclose()


def _failed(failure: str, code: int, lines: list[str]) -> EnvironmentBuildFailed:
    said = "\n".join(line[:500] for line in _telling(lines))
    return EnvironmentBuildFailed(
        f"{failure} (exit code {code})" + (f":\n{said}" if said else ""),
        hint="Correct what it names: a package of `packageUris` that wants other versions than the runtime version"
        " has, a package index that cannot be reached (PIP_INDEX_URL and the proxy are read where modelport runs)",
    )


def _telling(lines: list[str]) -> list[str]:
    """Return how the installer's complaint begins and how it ends; without one, its last lines."""
    start = next((index for index, line in enumerate(lines) if line.strip().lower().startswith("error:")), len(lines))
    complaint = lines[start:]
    if len(complaint) <= _TOLD_LINES:
        return lines[-_TOLD_LINES:]
    return [*complaint[: _TOLD_LINES // 2], *complaint[-(_TOLD_LINES - _TOLD_LINES // 2) :]]


@asynccontextmanager
async def _held(directory: Path, digest: str) -> AsyncIterator[int]:
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


def _make(directory: Path) -> None:
    directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.mkdir(mode=0o700, exist_ok=True)


def _write_requirements(folder: Path, environment: Environment) -> None:
    folder.mkdir(mode=0o700)
    (folder / _REQUIREMENTS).write_text("".join(f"{line}\n" for line in environment.requirements))


def _use(folder: Path) -> bool:
    """Return whether the environment is whole; then it counts as used now."""
    try:
        os.utime(folder / _COMPLETE)
    except FileNotFoundError:
        return False
    return True


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


@contextmanager
def _disk_errors(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpace(f"No space for libraries in `{directory}`", hint="Free some space") from error
        raise EngineUnreachable(
            f"`{directory}` cannot be written: {error.strerror}", hint="Make it writable, or set another folder"
        ) from error
