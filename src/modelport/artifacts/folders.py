"""Copies a folder that is an image of the process driver: links and executable bits are kept; blocking.

Unlike artifacts, an image folder may hold links to anywhere: a virtual environment has them.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from modelport.artifacts.base import ArtifactLimits
from modelport.artifacts.disk import Content, Part
from modelport.artifacts.failures import changed, not_found, translating
from modelport.artifacts.tree import MAX_DEPTH, Entry, Listing, check_listing, refused

SKIPPED = frozenset({".git", "__pycache__"})
_CHUNK_BYTES = 1024**2
# Flushing file by file takes about a millisecond each; past this many, flushing the whole disk once is faster.
_FLUSHED_ONE_BY_ONE = 64


@dataclass(frozen=True)
class Item:
    """One thing in the folder: a file, a link or a folder (which may be empty)."""

    path: str
    status: os.stat_result
    link: str | None = None

    @property
    def kind(self) -> str:
        """Return what the digest tells apart."""
        if self.link is not None:
            return "link"
        if stat.S_ISDIR(self.status.st_mode):
            return "folder"
        return "executable" if self.status.st_mode & 0o111 else "file"


def survey(folder: Path, limits: ArtifactLimits, checkpoint: Callable[[], None]) -> list[Item]:
    """Return what there is to copy.

    Raises:
        ArtifactRefused: more than the limits allow, or something that is neither file, link nor folder.
    """
    items: list[Item] = []
    entries: list[Entry] = []
    complete = True
    with translating(folder, "file"):
        for item in _walk(folder, "", checkpoint):
            items.append(item)
            if item.kind != "folder":
                size = item.status.st_size if item.link is None else 0
                entries.append(Entry(item.path, item.path, size, ""))
            if len(entries) > 2 * limits.files:
                complete = False
                break
    if not entries:
        raise not_found(folder, "file", "the folder has no files")
    # Names are those of this disk already: only the limits apply.
    sizes = tuple(Entry(str(number), str(number), entry.size, "") for number, entry in enumerate(entries))
    check_listing(folder, Listing(sizes, complete), limits)
    return items


def copy_folder(folder: Path, items: list[Item], into: Path, checkpoint: Callable[[], None]) -> list[Content]:
    """Copy the items into the new folder `into` and return what there is.

    Raises:
        ArtifactStoreUnavailable: a file changed meanwhile.
        OSError: the disk of `into` failed.
    """
    into.mkdir(parents=True)
    one_by_one = len(items) <= _FLUSHED_ONE_BY_ONE
    contents = []
    for item in items:
        checkpoint()
        contents.append(_copy(folder, item, into, flushed=one_by_one))
    if not one_by_one:
        os.sync()
    return contents


def _walk(folder: Path, prefix: str, checkpoint: Callable[[], None]) -> Iterator[Item]:
    checkpoint()
    if prefix.count("/") > MAX_DEPTH:
        raise refused(folder, [f"`{prefix[:80]}…` has more than {MAX_DEPTH} folders inside of one another"])
    with os.scandir(folder) as found:
        names = sorted(item.name for item in found if item.name not in SKIPPED)
    for name in names:
        here = folder / name
        path = f"{prefix}{name}"
        status = here.lstat()
        if stat.S_ISLNK(status.st_mode):
            yield Item(path, status, str(here.readlink()))
        elif stat.S_ISDIR(status.st_mode):
            yield Item(path, status)
            yield from _walk(here, f"{path}/", checkpoint)
        elif stat.S_ISREG(status.st_mode):
            yield Item(path, status)
        else:
            raise refused(folder, [f"`{path}` is neither a file nor a folder; sockets, pipes and devices stay outside"])


def _copy(folder: Path, item: Item, into: Path, *, flushed: bool) -> Content:
    target = into / item.path
    if item.link is not None:
        target.symlink_to(item.link)
        return Content(item.path, 0, hashlib.sha256(os.fsencode(item.link)).hexdigest(), item.kind)
    if item.kind == "folder":
        target.mkdir()
        return Content(item.path, 0, "", item.kind)
    with translating(folder, "file"):
        descriptor = os.open(folder / item.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb", buffering=0) as source:
        part = Part(target, target)
        try:
            while chunk := source.read(_CHUNK_BYTES):
                part.write(chunk)
            if part.size != item.status.st_size or os.fstat(descriptor).st_mtime_ns != item.status.st_mtime_ns:
                raise changed(folder, item.path)
            digest = part.finish(flushed=flushed)
        finally:
            part.abandon()
    if item.kind == "executable":
        target.chmod(0o755)
    return Content(item.path, part.size, digest, item.kind)
