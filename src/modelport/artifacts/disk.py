"""Writes files, seals trees and removes them; blocking, so every function here runs in a thread."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from modelport.artifacts.base import Artifact

_CHUNK_BYTES = 1024**2
_FILES = "files"
_ABOUT = "about.json"


class Part:
    """A file under way, hashed while it is written. It gets its name only when it is whole and on the disk."""

    def __init__(self, path: Path, target: Path) -> None:
        self._target = target
        self._path = path
        self._digest = hashlib.sha256()
        self.size = 0
        self._file = path.open("wb", buffering=0)

    def write(self, chunk: bytes) -> None:
        """Append `chunk`."""
        rest = memoryview(chunk)
        while rest:
            rest = rest[self._file.write(rest) :]
        self._digest.update(chunk)
        self.size += len(chunk)

    def finish(self, *, flushed: bool = True) -> str:
        """Flush to the disk, give the file its name, and return the SHA-256 of its contents."""
        if flushed:
            os.fsync(self._file.fileno())
        self._file.close()
        self._target.parent.mkdir(parents=True, exist_ok=True)
        self._path.rename(self._target)
        return self._digest.hexdigest()

    def abandon(self) -> None:
        """Close and remove what was written; after `finish` nothing happens."""
        if not self._file.closed:
            self._file.close()
            self._path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Content:
    """One line of what a digest is over; `kind` tells modes and links apart where they matter."""

    path: str
    size: int
    digest: str
    kind: str = "file"


def tree_digest(contents: Iterable[Content]) -> str:
    """Return the name of a tree: equal for equal paths and contents, whatever their source, order or age."""
    digest = hashlib.sha256()
    for content in sorted(contents, key=lambda content: content.path):
        line = f"{content.kind}\0{content.path}\0{content.size}\0{content.digest}\0"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's contents."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def size_on_disk(path: Path) -> int | None:
    """Return the size of a regular file, or None where there is none."""
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def free_bytes(directory: Path) -> int:
    """Return what this user can still write to the disk of `directory`."""
    return shutil.disk_usage(directory).free


def files_of(holder: Path) -> Path:
    """Return the folder with the files of a tree; beside it lies what is known about them."""
    return holder / _FILES


def read_artifact(holder: Path, digest: str) -> Artifact | None:
    """Return the finished tree in `holder`, or None where there is none."""
    try:
        about = json.loads((holder / _ABOUT).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    return Artifact(digest, files_of(holder), about["files"], about["bytes"])


def seal(holder: Path, *, files: int, size: int) -> None:
    """Make a whole tree read-only, readable for everybody, and safe on the disk.

    The users that containers run as are not ours, so modes decide what they may read.
    """
    for path, _, names in os.walk(files_of(holder), topdown=False):
        here = Path(path)
        for name in names:
            item = here / name
            mode = item.lstat().st_mode
            if not stat.S_ISLNK(mode):
                item.chmod(0o555 if mode & 0o111 else 0o444)
        flush(here)
        here.chmod(0o555)
    about = holder / _ABOUT
    about.write_text(json.dumps({"files": files, "bytes": size}))
    flush(about)
    flush(holder)
    holder.chmod(0o755)


def flush(path: Path) -> None:
    """Return when a file's contents or a folder's names are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(holder: Path) -> None:
    """Remove a tree, sealed or half written; links are removed, never followed. A missing one is no error."""
    if not holder.exists():
        return
    for path, _, _ in os.walk(holder):
        Path(path).chmod(0o700)
    shutil.rmtree(holder)


def write_atomically(path: Path, text: str) -> None:
    """Replace a small file in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".draft")
    draft.write_text(text)
    draft.rename(path)
