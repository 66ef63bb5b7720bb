"""The process driver: replicas as plain processes of this machine, for where there is no container engine.

An image is a folder, given as an absolute path or as file:///PATH; a replica runs in a copy of it, as
`process_command` decides, listening on a free port of loopback that it learns from AIP_HTTP_PORT and PORT. There is no
isolation: no limit on CPU, memory or processes is enforced, and a program can read and write what its user can. Every
replica has a shim (`process_shim`) as its parent, so it outlives the control plane; on Linux it ends with all its
descendants, on other systems with its process group.

The port is free when it is chosen, not reserved: another program can take it before the replica listens. The replica
then ends as it would anywhere, and its next attempt gets another port.
"""

from __future__ import annotations

import errno
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from pathlib import Path, PurePosixPath
from weakref import WeakValueDictionary

import anyio
import anyio.to_thread

from modelport.core.environment import invocation
from modelport.core.environments import Environment
from modelport.core.errors import EngineUnreachable, Error, InvalidArgument, NoSpace, ReplicaCannotStart
from modelport.core.facts import HostFacts, ImageFacts, ReplicaFacts
from modelport.core.replicas import LogLine, Replica, ReplicaSpec
from modelport.drivers import environment_folder, process_facts, process_folder, python_environment
from modelport.drivers.base import DriverHealth, DriverState
from modelport.drivers.log_files import read_logs
from modelport.drivers.process_command import Folder, command_line, environment
from modelport.drivers.process_image import look_at, resolve_image
from modelport.drivers.process_shims import MARKER, free_port, remove, signal_shim, start_shim, tell_to_end

_STOP_MARGIN_S = 5.0  # what a shim may need beyond the grace before it is killed itself
_WATCH_PERIOD_S = 0.1
_UNUSED_S = 24 * 3600.0  # how long an environment that no version uses is kept for the next one
_LOCK_CHECKS_EVERY = 5  # watching periods; a killed shim writes nothing, only its lock shows it


class ProcessDriver:
    """See `drivers.base.Driver`.

    Args:
        directory: one folder for each replica; made when it is missing. On a local disk: locks must work.
        log_dir: one folder of logs for each replica.
        environment_dir: one folder for each environment that was built.
        prunes_environments: whether they belong to this installation alone.
        log_bytes: size at which a log file rotates.
        log_files: log files kept for each replica.
        snapshot: copies a folder to where it never changes and returns that place; the same content, the same place.
        local_roots: folders that images must lie in.
        stop_grace_s: grace for a replica that another replaces.
        environ: the environment of which replicas inherit a few variables.
    """

    name = "process"

    def __init__(
        self,
        directory: Path,
        *,
        log_dir: Path,
        environment_dir: Path,
        snapshot: Callable[[Path], Awaitable[Path]],
        prunes_environments: bool = True,
        log_bytes: int = 10 * 1024**2,
        log_files: int = 3,
        local_roots: Collection[Path] = (Path("/"),),
        stop_grace_s: float = 10,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._directory = directory
        self._log_dir = log_dir
        self._environment_dir = environment_dir
        self._prunes_environments = prunes_environments
        self._snapshot = snapshot
        self._log_bytes = log_bytes
        self._log_files = log_files
        self._local_roots = local_roots
        self._stop_grace_s = stop_grace_s
        self._environ = environ
        # Two replicas that start at once must not choose one port.
        self._choosing_port = anyio.Lock()
        # A stop that still waits must not end what an ensure has put in its place.
        self._changing: WeakValueDictionary[str, anyio.Lock] = WeakValueDictionary()

    async def health(self) -> DriverHealth:
        """Return HEALTHY where folders of replicas can be written."""
        try:
            await anyio.to_thread.run_sync(_check_writable, self._directory)
        except OSError as error:
            return DriverHealth(
                DriverState.UNHEALTHY,
                message=f"`{self._directory}` cannot be written: {error.strerror}",
                remedy="Make it writable, free space, or choose another --data-dir",
            )
        return DriverHealth(
            DriverState.HEALTHY, version=f"Python {platform.python_version()}", attributes={"isolation": "none"}
        )

    async def pin(self, image: str) -> str:
        """Copy the folder and return the copy as file:///PATH."""
        folder = await anyio.to_thread.run_sync(resolve_image, image, self._local_roots)
        return (await self._snapshot(folder)).as_uri()

    async def environment(self, environment: Environment) -> str:
        """Build a virtual environment and return its folder as file:///PATH."""
        python = await anyio.to_thread.run_sync(python_environment.find_python, environment.python)
        return (await python_environment.build(self._environment_dir, environment, python=python)).as_uri()

    async def prune(self, keep: frozenset[str]) -> None:
        """Remove virtual environments that are neither in `keep` nor were asked for within the last day."""
        if self._prunes_environments:
            digests = frozenset(image.rpartition("/")[2] for image in keep)
            await environment_folder.prune(self._environment_dir, digests, unused_s=_UNUSED_S)

    async def list(self) -> list[Replica]:
        """Return every replica, running or dead."""
        return await anyio.to_thread.run_sync(_list, self._directory)

    async def ensure(self, spec: ReplicaSpec) -> None:
        """Make the replica run; return once its program was executed."""
        if spec.resources.accelerators:
            raise ReplicaCannotStart(
                "The process driver assigns no GPUs, and the version asks for some",
                hint="Run modelport with --driver docker, or leave out acceleratorConfig",
            )
        path = self._path(spec.name)
        async with self._changing.setdefault(spec.name, anyio.Lock()):
            existing = await anyio.to_thread.run_sync(process_folder.read_replica, path)
            if existing and existing.digest == spec.digest and existing.attempt >= spec.attempt:
                return
            folder = await anyio.to_thread.run_sync(look_at, spec.image)
            await self._end(path, self._stop_grace_s)
            # Shielded: between the two, the lock of a replica without a shim would be ours for ever.
            with anyio.CancelScope(shield=True):
                async with self._choosing_port:
                    lock = await anyio.to_thread.run_sync(self._create, spec, folder)
                if lock is not None:
                    await anyio.to_thread.run_sync(start_shim, path, lock, self._environ)

    async def stop(self, name: str, *, grace_s: float) -> None:
        """End the replica and all its descendants, and remove its folder; its logs stay."""
        async with self._changing.setdefault(name, anyio.Lock()):
            await self._end(self._path(name), grace_s)

    def logs(self, name: str, *, tail: int, follow: bool = False) -> AsyncIterator[LogLine]:
        """Yield lines of the replica's log files."""
        return read_logs(self._log_dir, name, tail=tail, follow=follow)

    async def events(self) -> AsyncIterator[str]:
        """Yield names of replicas that changed, at most about 100 ms later; 500 ms when a shim was killed."""
        before: dict[str, object] = {}
        dead: set[str] = set()
        checks = 0
        while True:
            now = await anyio.to_thread.run_sync(_changes, self._directory)
            changed = {name for name in before.keys() | now.keys() if before.get(name) != now.get(name)}
            if checks % _LOCK_CHECKS_EVERY == 0:
                still_dead = await anyio.to_thread.run_sync(_not_held, self._directory)
                changed |= still_dead - dead
                dead = still_dead
            for name in sorted(changed):
                yield name
            before = now
            checks += 1
            await anyio.sleep(_WATCH_PERIOD_S)

    async def facts(self, name: str) -> ReplicaFacts | None:
        """Return what is seen of the replica's processes."""
        if not _is_name(name):
            return None
        return await anyio.to_thread.run_sync(process_facts.replica_facts, self._directory / name)

    async def image_facts(self, image: str) -> ImageFacts | None:
        """Return what the folder says about itself."""
        try:
            folder = await anyio.to_thread.run_sync(look_at, image)
        except Error:
            return None
        return process_facts.folder_facts(image, folder.path, folder)

    def storage_uri(self, model_dir: PurePosixPath) -> str:
        """Return the folder itself."""
        return str(model_dir)

    async def host_facts(self) -> HostFacts:
        """Return what this machine is."""
        return await anyio.to_thread.run_sync(process_facts.machine_facts, self.name, self._directory)

    async def close(self) -> None:
        """Do nothing: there are no connections."""

    def _path(self, name: str) -> Path:
        if not _is_name(name):
            raise InvalidArgument(f"`{name}` cannot be the name of a replica")
        return self._directory / name

    async def _end(self, path: Path, grace_s: float) -> None:
        told = False
        kill_at = anyio.current_time() + grace_s + _STOP_MARGIN_S
        while not await anyio.to_thread.run_sync(remove, path):
            if not told:
                told = await anyio.to_thread.run_sync(tell_to_end, path, grace_s)
            if anyio.current_time() >= kill_at:
                await anyio.to_thread.run_sync(signal_shim, path, signal.SIGKILL)
            await anyio.sleep(0.01)

    def _create(self, spec: ReplicaSpec, folder: Folder) -> int | None:
        path = self._path(spec.name)
        records = (process_folder.read_record(other) for other in process_folder.folders(self._directory))
        port = free_port({record["port"] for record in records if record})
        final = invocation(spec, port=port, storage_uri=str(spec.model_dir) if spec.model_dir else "")
        env = environment(folder, final.env, inherited=self._environ, tools=str(Path(sys.executable).parent)) | {
            MARKER: str(path)
        }
        record = process_folder.Record(
            name=spec.name,
            owner=spec.owner,
            digest=spec.digest,
            attempt=spec.attempt,
            port=port,
            argv=command_line(folder, final.command, final.args),
            env=env,
            cwd=folder.path,
            log_folder=str(self._log_dir / spec.name),
            log_bytes=self._log_bytes,
            log_files=self._log_files,
        )
        try:
            return process_folder.create(self._directory, record)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise NoSpace(f"No space for the replica in `{self._directory}`", hint="Free some space") from error
            raise EngineUnreachable(
                f"`{self._directory}` cannot be written: {error.strerror}", hint="Make it writable"
            ) from error


def _is_name(name: str) -> bool:
    return bool(name) and not name.startswith(".") and "/" not in name


def _list(directory: Path) -> list[Replica]:
    process_folder.sweep_hidden(directory, older_than_s=3600, now_s=time.time())
    read = (process_folder.read_replica(folder) for folder in process_folder.folders(directory))
    return [replica for replica in read if replica is not None]


def _changes(directory: Path) -> dict[str, object]:
    """Return something for each replica that differs once its shim has written running.json or exit.json."""
    try:
        with os.scandir(directory) as entries:
            return {entry.name: _identity(entry) for entry in entries if not entry.name.startswith(".")}
    except FileNotFoundError:
        return {}


def _identity(entry: os.DirEntry[str]) -> object:
    try:
        status = entry.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns


def _not_held(directory: Path) -> set[str]:
    return {folder.name for folder in process_folder.folders(directory) if not process_folder.is_held(folder)}


def _check_writable(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=directory) as file:
        file.write(b"x")
        file.flush()
