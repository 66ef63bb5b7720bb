"""Environments of Python: a virtual environment for each digest, built by uv once and whole, used by many.

It lies in `.venv` of its folder: a virtual environment cannot be moved, so it is built where it stays.
uv's own configuration is honoured, and what pip is told of indexes, proxies and certificates (`package_index`).
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
from anyio.abc import Process
from anyio.streams.text import TextReceiveStream

from modelport.core.environments import Environment
from modelport.core.errors import EngineUnreachable, EnvironmentBuildFailed, NoSpace
from modelport.drivers import environment_folder
from modelport.drivers.package_index import uv_variables

_REQUIREMENTS = "requirements.txt"
_TOLD_LINES = 9
_KEPT_LINES = 200
_FULL_DISK = os.strerror(errno.ENOSPC)
_FULL_DISK_BYTES = 32 * 1024**2
# What would lead the new environment's Python, or uv, into the one of modelport itself.
_MISLEADING = ("PYTHONPATH", "PYTHONHOME", "PYTHONSAFEPATH", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
_BESIDE_MODELPORT = Path(sys.executable).parent / "uv"
_WHOLE_LINES = {"COLUMNS": "1000"}  # names and paths in them are looked for
_COMPLAINTS = ("error:", "×")


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
    uv: Path | None = None,
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
        environ: what uv is started with.
        uv: the program; the one that came with modelport, or the one on PATH, where none is named.

    Raises:
        EnvironmentBuildFailed: something cannot be installed; ends with the installer's last lines.
        NoSpace: the disk is full.
        EngineUnreachable: the directory cannot be written.
    """
    folder = directory / environment.digest
    with _disk_errors(directory):
        if await anyio.to_thread.run_sync(environment_folder.use, folder):
            return folder
        await anyio.to_thread.run_sync(environment_folder.make, directory)
        async with environment_folder.held(directory, environment.digest) as lock:
            if await anyio.to_thread.run_sync(environment_folder.use, folder):
                return folder
            await anyio.to_thread.run_sync(partial(shutil.rmtree, folder, ignore_errors=True))
            try:
                await anyio.to_thread.run_sync(_write_requirements, folder, environment)
                commands = _commands(folder, environment, python, uv or find_uv(), compiled=compiled)
                await _install(folder, commands, environ, lock)
            except BaseException:
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(partial(shutil.rmtree, folder, ignore_errors=True))
                raise
    return folder


def find_uv() -> Path:
    """Return the installer: the one beside the running Python, else the one on PATH.

    Raises:
        EnvironmentBuildFailed: there is none.
    """
    if _BESIDE_MODELPORT.is_file():
        return _BESIDE_MODELPORT
    if found := shutil.which("uv"):
        return Path(found)
    raise EnvironmentBuildFailed(
        "There is no uv to install libraries with", hint="Install it where modelport runs: `pip install uv`"
    )


def _commands(
    folder: Path, environment: Environment, python: Path, uv: Path, *, compiled: bool
) -> tuple[tuple[str, list[str]], ...]:
    """Return what is run, each with what it means when that fails."""
    venv = folder / ".venv"
    quiet = ("--color", "never", "--no-progress")
    make = [str(uv), "venv", *quiet, "--no-project", "--no-python-downloads", "--python", str(python), str(venv)]
    install = [
        *(str(uv), "pip", "install", *quiet, "--python", str(venv / "bin" / "python")),
        *(("--compile-bytecode",) if compiled else ()),
        # Not as the file that lies there to be read: uv would speak of its lines, not of libraries.
        *environment.requirements,
        *(package.requirement for package in environment.packages),
    ]
    return (
        ("The virtual environment cannot be made", make),
        ("The libraries cannot be installed", install),
    )


async def _install(
    folder: Path, commands: tuple[tuple[str, list[str]], ...], environ: Mapping[str, str], lock: int
) -> None:
    kept = {name: value for name, value in environ.items() if name not in _MISLEADING}
    env = {**kept, **uv_variables(environ), **_WHOLE_LINES}
    for failure, command in commands:
        code, lines = await _run(command, env, folder, lock)
        if code != 0:
            # uv unpacks in its own cache, which may lie on another disk, and takes away what it has begun.
            if any(_FULL_DISK in line for line in lines) or shutil.disk_usage(folder).free < _FULL_DISK_BYTES:
                raise NoSpace(f"No space for libraries in `{folder.parent}` or in uv's cache", hint="Free some space")
            raise _failed(failure, code, lines)
    environment_folder.complete(folder)


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
            # It holds the lock too: should modelport be killed, nobody builds here while uv still writes.
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
        " has, a package index that cannot be reached (UV_DEFAULT_INDEX or PIP_INDEX_URL, and the proxy, are read where"
        " modelport runs)",
    )


def _telling(lines: list[str]) -> list[str]:
    """Return how the installer's complaint begins and how it ends; without one, its last lines."""
    start = next(
        (index for index, line in enumerate(lines) if line.strip().lower().startswith(_COMPLAINTS)), len(lines)
    )
    complaint = lines[start:]
    if len(complaint) <= _TOLD_LINES:
        return lines[-_TOLD_LINES:]
    return [*complaint[: _TOLD_LINES // 2], *complaint[-(_TOLD_LINES - _TOLD_LINES // 2) :]]


def _write_requirements(folder: Path, environment: Environment) -> None:
    folder.mkdir(mode=0o700)
    (folder / _REQUIREMENTS).write_text("".join(f"{line}\n" for line in environment.requirements))


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
