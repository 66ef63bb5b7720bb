"""Looks at the host for `modelport doctor`: every look is bounded in time, asks only, and changes nothing."""

from __future__ import annotations

import os
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from modelport.check.engine_survey import survey_engines
from modelport.check.host_facts import ClockFacts, EngineFacts, FolderFacts, HostSurvey, LimitFacts, Site
from modelport.check.installation import docker_login, gateway_proxy, missing_packages
from modelport.check.public_port import look_at_port
from modelport.drivers.host_facts import disk_free, gpus, has_gpu_runtime

# Programs that are started and engines that are asked have this long, twice at most.
_ANSWER_S = 2.5
LOOK_S = 2 * _ANSWER_S + 0.5


def survey(site: Site, environ: Mapping[str, str], platform_skew_s: Callable[[], float | None]) -> HostSurvey:
    """Look at everything at once, and return what was seen in time.

    Args:
        site: where the platform runs, or would run.
        environ: the environment of the user that it would run as.
        platform_skew_s: asks a running platform for its time, and returns how far this clock is ahead of it.
    """
    begun = time.time() - time.monotonic()
    packages = _Look("packages", missing_packages)
    engines = _Look("engine", lambda: survey_engines(site.docker_host, environ, timeout_s=_ANSWER_S))
    folder = _Look("data directory", lambda: look_at_folder(site.data_dir))
    proxy = _Look("haproxy", lambda: gateway_proxy(site, timeout_s=_ANSWER_S))
    port = _Look("port", lambda: look_at_port(site))
    limits = _Look("limits", look_at_limits)
    login = _Look("registries", lambda: docker_login(environ))
    cards = _Look("GPUs", gpus)
    card_runtime = _Look("GPU runtime", has_gpu_runtime)
    files_clock = _Look("clock", lambda: clock_of_files(site.data_dir))
    platform_clock = _Look("platform", platform_skew_s)
    looks: tuple[_Look[Any], ...] = (
        *(packages, engines, folder, proxy, port, limits, login),
        *(cards, card_runtime, files_clock, platform_clock),
    )
    _wait_for(looks)
    disks = _Look("engine disk", lambda: engine_disks(engines.seen or ()))
    _wait_for((disks,))
    return HostSurvey(
        python=sys.version_info[:3],
        site=site,
        missing_packages=packages.seen,
        engines=engines.seen,
        folder=folder.seen,
        engine_disk=disks.seen or (),
        port=port.seen,
        proxy=proxy.seen,
        limits=limits.seen,
        login=login.seen,
        gpus=cards.seen,
        gpu_runtime=card_runtime.seen,
        clock=ClockFacts(files_clock.seen, platform_clock.seen, time.time() - time.monotonic() - begun),
        unanswered=tuple(look.name for look in (*looks, disks) if not look.ended),
    )


def engine_disks(engines: Sequence[EngineFacts]) -> tuple[tuple[str, int], ...]:
    """Return the free bytes where the engines that answer keep their images."""
    roots = sorted({one.data_root for one in engines if one.data_root and Path(one.data_root).exists()})
    return tuple((root, free) for root in roots if (free := disk_free(Path(root))) is not None)


def look_at_folder(folder: Path) -> FolderFacts:
    """Return what is known of the data directory, or of the place where it will be made."""
    exists = folder.is_dir()
    place = folder if exists else next(one for one in folder.parents if one.exists())
    error = ""
    if folder.exists() and not exists:
        error = "is not a directory"
    elif not os.access(place, os.W_OK | os.X_OK):
        error = "cannot be written" if exists else f"cannot be made in {place}"
    return FolderFacts(
        str(folder),
        exists,
        error=error,
        file_system=file_system(place, Path("/proc/self/mountinfo")),
        free_bytes=disk_free(place),
        holder=holder(folder / "lock", Path("/proc/locks")),
    )


def file_system(folder: Path, mounts: Path) -> str:
    """Return the type of the file system that the folder lies on; empty where the kernel does not tell."""
    try:
        lines = mounts.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    place, best = folder.resolve(), ("", "")
    for line in lines:
        mounted, separator, rest = line.partition(" - ")
        fields = mounted.split(" ")
        if separator and len(fields) > 4:
            point = fields[4].encode().decode("unicode_escape")  # a space is \040
            if place.is_relative_to(point) and len(point) >= len(best[0]):
                best = (point, rest.split(" ")[0])
    return best[1]


def holder(lock: Path, locks: Path) -> int | None:
    """Return the pid that holds the lock file; asked of the kernel, because trying it could hinder a start."""
    try:
        inode = str(lock.stat().st_ino)
        rows = [line.split() for line in locks.read_text().splitlines()]
    except OSError:
        return None
    held = (row for row in rows if len(row) >= 6 and row[1] == "FLOCK" and row[5].rpartition(":")[2] == inode)
    return next((int(row[4]) for row in held if row[4].isdigit()), None)


def look_at_limits() -> LimitFacts:
    """Return the hard limit on open files, up to which HAProxy raises its own, and the limit on processes."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    processes = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    return LimitFacts(_finite(files), _finite(processes))


def _finite(limit: int) -> int | None:
    return None if limit == resource.RLIM_INFINITY else limit


def clock_of_files(folder: Path) -> float | None:
    """Return by how much this clock is ahead of the file system's; None where no file without a name can be made."""
    place = next(one for one in (folder, *folder.parents) if one.is_dir())
    try:
        # Without a name: there is nothing to leave behind.
        descriptor = os.open(place, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    except (OSError, AttributeError):  # the file system, or the system, has no such files
        return None
    try:
        os.write(descriptor, b"\n")
        return time.time() - os.fstat(descriptor).st_mtime
    finally:
        os.close(descriptor)


T = TypeVar("T")


class _Look(Generic[T]):
    """One look, begun at once, in a thread that nobody waits for: what hangs in the kernel cannot be cancelled."""

    def __init__(self, name: str, look: Callable[[], T]) -> None:
        self.name = name
        self.seen: T | None = None
        self.error: Exception | None = None
        self.thread = threading.Thread(target=self._run, args=(look,), daemon=True)
        self.thread.start()

    @property
    def ended(self) -> bool:
        return not self.thread.is_alive()

    def _run(self, look: Callable[[], T]) -> None:
        try:
            self.seen = look()
        except Exception as error:  # a defect: raised again where it can be seen
            self.error = error


def _wait_for(looks: Iterable[_Look[Any]]) -> None:
    deadline = time.monotonic() + LOOK_S
    for look in looks:
        look.thread.join(max(0.0, deadline - time.monotonic()))
        if look.error is not None:
            raise look.error
