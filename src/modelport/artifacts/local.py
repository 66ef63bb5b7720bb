"""Lists and copies a folder or a file of this machine; nothing outside of the named folder can get in.

Symbolic links are replaced by what they name, which must lie in the folder as well.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.from_thread
import anyio.to_thread

from modelport.artifacts.disk import Part
from modelport.artifacts.failures import changed, not_found, translating
from modelport.artifacts.tree import MAX_DEPTH, Entry, Listing, refused
from modelport.core.errors import InvalidArgument, Violation

_CHUNK_BYTES = 1024**2
# What the kernel makes up is no artifact: reading it can block, never end, or give secrets away.
_KERNEL_FOLDERS = (Path("/proc"), Path("/sys"), Path("/dev"))


@dataclass(frozen=True)
class LocalPlaces:
    """Where local artifacts may lie: inside one of `roots`, and apart from every one of `forbidden`."""

    roots: tuple[Path, ...]
    forbidden: tuple[Path, ...]

    def resolve(self, path: Path, uri: object) -> Path:
        """Return the real path, free of links, when it may be read.

        Raises:
            InvalidArgument: it lies elsewhere.
            ArtifactNotFound, ArtifactUnauthorized: it does not exist or cannot be reached.
        """
        with translating(uri, "file"):
            real = Path(os.path.realpath(path, strict=True))
        roots = [Path(os.path.realpath(root)) for root in self.roots]
        if not any(real.is_relative_to(root) for root in roots):
            raise _misplaced(
                f"`{uri}` lies outside of the folders that modelport may read: {', '.join(map(str, roots))}",
                "Move it there, or start modelport with another --local-roots",
            )
        for folder in (*_KERNEL_FOLDERS, *(Path(os.path.realpath(folder)) for folder in self.forbidden)):
            if real.is_relative_to(folder):
                raise _misplaced(f"`{uri}` lies inside `{folder}`, which modelport does not copy from")
            if folder.is_relative_to(real):
                raise _misplaced(f"`{uri}` contains `{folder}`, which modelport does not copy", "Name a smaller folder")
        return real


class LocalSource:
    """One folder with all that is below it, or one file."""

    def __init__(self, uri: object, path: Path, places: LocalPlaces, *, threads: anyio.CapacityLimiter) -> None:
        self._uri = uri
        self._path = path
        self._places = places
        self._threads = threads

    async def list(self, most_files: int) -> Listing:
        """Return every file of the folder."""
        return await anyio.to_thread.run_sync(self._list, most_files, limiter=self._threads)

    async def copy(self, entry: Entry, part: Part, wrote: Callable[[int], None]) -> bool:
        """Copy one file, after making sure that it is still the listed one."""
        await anyio.to_thread.run_sync(self._copy, entry, part, wrote, limiter=self._threads)
        return True

    def _list(self, most_files: int) -> Listing:
        root = self._places.resolve(self._path, self._uri)
        entries: list[Entry] = []
        with translating(self._uri, "file"):
            found = root.stat()
            if stat.S_ISREG(found.st_mode):
                return Listing((Entry(str(root), root.name, found.st_size, _tag(found)),))
            if not stat.S_ISDIR(found.st_mode):
                raise refused(self._uri, [f"`{self._uri}` is a {_kind(found.st_mode)}; wanted a folder or a file"])
            try:
                for entry in self._walk(root, root, "", ()):
                    if len(entries) > most_files:
                        return Listing(tuple(entries), complete=False)
                    entries.append(entry)
            except FileNotFoundError as error:
                raise changed(self._uri, str(error.filename)) from error
        if not entries:
            raise not_found(self._uri, "file", "the folder has no files")
        return Listing(tuple(entries))

    def _walk(self, root: Path, folder: Path, prefix: str, above: tuple[Path, ...]) -> Iterator[Entry]:
        if folder in above:
            raise refused(self._uri, [f"The link `{prefix.rstrip('/')}` leads back to a folder that contains it"])
        if len(above) > MAX_DEPTH:
            raise refused(self._uri, [f"`{prefix[:80]}…` has more than {MAX_DEPTH} folders inside of one another"])
        anyio.from_thread.check_cancelled()
        with os.scandir(folder) as found:
            names = sorted(item.name for item in found)
        for name in names:
            path = f"{prefix}{name}"
            real = self._real(root, folder / name, path)
            status = real.lstat()
            if stat.S_ISDIR(status.st_mode):
                yield from self._walk(root, real, f"{path}/", (*above, folder))
            elif stat.S_ISREG(status.st_mode):
                yield Entry(str(real), path, status.st_size, _tag(status))
            else:
                raise refused(self._uri, [f"`{path}` is a {_kind(status.st_mode)}; only files can be copied"])

    def _real(self, root: Path, item: Path, path: str) -> Path:
        if not item.is_symlink():
            return item
        try:
            real = Path(os.path.realpath(item, strict=True))
        except OSError as error:
            raise refused(self._uri, [f"The link `{path}` leads nowhere: {error.strerror}"]) from error
        if not real.is_relative_to(root):
            raise refused(self._uri, [f"The link `{path}` leaves the folder, to `{real}`"])
        return real

    def _copy(self, entry: Entry, part: Part, wrote: Callable[[int], None]) -> None:
        with translating(self._uri, "file"):
            try:
                # The name may lead elsewhere by now: no link is followed, no FIFO waited for, and the inode must be the
                # one that was listed.
                descriptor = os.open(entry.key, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO):
                    raise changed(self._uri, entry.path) from error
                raise
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            if _tag(os.fstat(descriptor)) != entry.tag:
                raise changed(self._uri, entry.path)
            while True:
                anyio.from_thread.check_cancelled()
                with translating(self._uri, "file"):
                    chunk = file.read(_CHUNK_BYTES)
                if not chunk:
                    break
                part.write(chunk)
                anyio.from_thread.run_sync(wrote, len(chunk))
            if _tag(os.fstat(descriptor)) != entry.tag:
                raise changed(self._uri, entry.path)


def _tag(status: os.stat_result) -> str:
    return f"{status.st_dev}-{status.st_ino}-{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}"


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFIFO: "named pipe",
        stat.S_IFSOCK: "socket",
        stat.S_IFCHR: "character device",
        stat.S_IFBLK: "block device",
    }
    return kinds.get(stat.S_IFMT(mode), "special file")


def _misplaced(message: str, hint: str = "") -> InvalidArgument:
    return InvalidArgument(message, hint=hint, violations=(Violation("deploymentUri", message),))
