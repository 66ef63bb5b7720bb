"""Archives that are sent while they are made: a tar file piece by piece, never whole in memory or on disk."""

from __future__ import annotations

import os
import tarfile
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import anyio.to_thread

_PIECE_BYTES = 1024**2


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder; those above an entry are there without being named, with the usual mode."""

    path: PurePosixPath
    mode: int = 0o755


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link."""

    path: PurePosixPath
    target: str


@dataclass(frozen=True, slots=True)
class File:
    """A file with the bytes of another on this machine, or with given ones. Everybody may read it."""

    path: PurePosixPath
    source: Path | bytes


Entry = Folder | Link | File


def pack(entries: Iterable[Entry]) -> Iterator[bytes]:
    """Yield a tar file of the entries in pieces of about a megabyte. Everything in it belongs to root.

    Each source is opened once, when its turn comes. Times of files are kept, as compiled modules of Python name them.
    """
    gathered = bytearray()
    for chunk in _chunks(entries):
        gathered += chunk
        if len(gathered) >= _PIECE_BYTES:
            yield bytes(gathered)
            gathered.clear()
    yield bytes(gathered) + bytes(2 * tarfile.BLOCKSIZE)


async def sent(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the pieces; each is made in a thread, because disks make it wait."""
    while piece := await anyio.to_thread.run_sync(next, pieces, b""):
        yield piece


def _chunks(entries: Iterable[Entry]) -> Iterator[bytes]:
    made: set[PurePosixPath] = set()
    for entry in entries:
        for parent in reversed(entry.path.parents):
            if parent not in made and parent.name:
                made.add(parent)
                yield _header(Folder(parent))
        match entry:
            case File(_, Path() as source):
                yield from _file(entry, source)
            case File(_, bytes() as content):
                yield _header(entry, size=len(content)) + _padded(content)
            case Folder() if entry.path in made:
                continue
            case _:
                yield _header(entry)
        made.add(entry.path)


def _file(entry: File, source: Path) -> Iterator[bytes]:
    with source.open("rb") as file:
        status = os.fstat(file.fileno())
        executable = bool(status.st_mode & 0o111)
        yield _header(entry, size=status.st_size, time=int(status.st_mtime), executable=executable)
        left = status.st_size
        while left:
            content = file.read(min(left, _PIECE_BYTES))
            if not content:
                raise OSError(f"`{source}` has become shorter while it was read")
            left -= len(content)
            yield content if left else _padded(content, size=status.st_size)


def _padded(content: bytes, *, size: int | None = None) -> bytes:
    return content + bytes(-(len(content) if size is None else size) % tarfile.BLOCKSIZE)


def _header(entry: Entry, *, size: int = 0, time: int = 0, executable: bool = False) -> bytes:
    header = tarfile.TarInfo(str(entry.path).lstrip("/"))
    header.mtime = time
    match entry:
        case Folder():
            header.type, header.mode = tarfile.DIRTYPE, entry.mode
        case Link():
            header.type, header.linkname, header.mode = tarfile.SYMTYPE, entry.target, 0o777
        case File():
            header.size, header.mode = size, 0o755 if executable else 0o644
    return header.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
