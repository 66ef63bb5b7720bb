"""The content-addressed cache: copies a tree into it whole or not at all, finds trees by digest, and forgets them."""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import ParamSpec, TypeVar

import anyio
import anyio.from_thread
import anyio.to_thread

from modelport.artifacts import disk, folders
from modelport.artifacts.base import Artifact, ArtifactLimits, Progress
from modelport.artifacts.copying import Copy, Meter
from modelport.artifacts.failures import disk_full_is_no_space, no_space, not_found
from modelport.artifacts.local import LocalPlaces
from modelport.artifacts.sources import Surroundings, open_source
from modelport.artifacts.tree import check_listing, listing_key
from modelport.artifacts.uri import parse_uri
from modelport.core.errors import ArtifactStoreUnavailable, Error

P = ParamSpec("P")
T = TypeVar("T")

IMAGE_FOLDER_LIMITS = ArtifactLimits(files=100_000, bytes=2 * 1024**3)
_DIGEST = re.compile(r"[0-9a-f]{64}")
_THREADS = 8
_LISTED_PER_ALLOWED = 20


class ArtifactCache:
    """An `ArtifactStore` in one folder, and the keeper of image folders beside it.

    `directory` holds `trees/<digest>/`, `incoming/<source>-<listing>/` with what is being copied, and
    `known/<source>-<listing>`, which remembers the digest of a source's state so that it is not read twice. One process
    at a time may use it.

    Args:
        directory: the folder; it is made when it is missing.
        limits: the largest tree that `fetch` takes.
        environ: where credentials and endpoints of object stores are found.
        local_roots: the folders that local paths must lie in.
        forbidden: folders that are never copied, nor anything that contains them. The cache is always one of them.
        stall_timeout_s: silence of a store after which a copy is given up.
        young_s: `prune` spares trees fetched within this time: nobody may have noted down yet that they are needed.
        abandoned_s: `prune` removes copies that nobody has resumed for so long.
        now: the clock, in seconds since the epoch.
    """

    def __init__(
        self,
        directory: Path,
        limits: ArtifactLimits,
        environ: Mapping[str, str],
        local_roots: tuple[Path, ...],
        forbidden: tuple[Path, ...] = (),
        *,
        stall_timeout_s: float = 30,
        young_s: float = 600,
        abandoned_s: float = 24 * 3600,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._directory = directory
        self._trees = directory / "trees"
        self._incoming = directory / "incoming"
        self._known = directory / "known"
        self._limits = limits
        self._young_s = young_s
        self._abandoned_s = abandoned_s
        self._now = now
        self._threads = anyio.CapacityLimiter(_THREADS)
        self._places = LocalPlaces(local_roots, (*forbidden, directory))
        self._surroundings = Surroundings(environ, self._places, self._threads, stall_timeout_s)
        self._locks: dict[str, tuple[anyio.Lock, int]] = {}
        # Held while a tree is found or named and made young, and while `prune` judges and takes one away.
        self._catalogue = threading.Lock()

    async def fetch(self, uri: str, *, progress: Callable[[Progress], None] | None = None) -> Artifact:
        """Copy what `uri` names into the cache; see `ArtifactStore.fetch`."""
        parsed = parse_uri(uri)
        source = open_source(parsed, self._surroundings)
        listing = await source.list(self._limits.files * _LISTED_PER_ALLOWED)
        check_listing(parsed, listing, self._limits)
        family = hashlib.sha256(parsed.text.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        key = f"{family}-{listing_key(parsed.text, listing)}"
        async with self._alone(key):
            if listing.identified and (known := await self._thread(self._recall, key)) is not None:
                return known
            holder = self._incoming / key
            copy = Copy(parsed, source, listing, holder, Meter(listing, self._limits, progress), self._threads)
            try:
                with disk_full_is_no_space(listing.bytes, self._free_bytes):
                    await self._thread(self._make_room, copy, holder, family, keep=listing.identified)
                    contents = await copy.run()
                    if not contents:
                        raise not_found(parsed, parsed.scheme, "it holds nothing but marks of empty folders")
                    artifact = await self._thread(self._publish, holder, disk.tree_digest(contents), contents)
                    if listing.identified:
                        await self._thread(disk.write_atomically, self._known / key, artifact.digest)
            except ArtifactStoreUnavailable:
                raise  # What is there is kept: the next attempt goes on from it.
            except (Error, OSError):
                await self._thread(disk.remove, holder)
                raise
            return artifact

    async def keep_folder(self, path: Path, *, limits: ArtifactLimits = IMAGE_FOLDER_LIMITS) -> Artifact:
        """Copy a local folder as an image of the process driver: with its links and executable bits.

        `.git` and `__pycache__` are left out. The digest covers contents, links and executable bits.

        Raises:
            InvalidArgument: the folder lies outside of the local roots, or it is not a folder.
            ArtifactNotFound, ArtifactUnauthorized, ArtifactRefused, NoSpace: asking again would give the same answer.
            ArtifactStoreUnavailable: the folder changed meanwhile.
        """
        return await self._thread(self._keep_folder, path, limits)

    def open(self, digest: str) -> Artifact | None:
        """Return a tree that is in the cache, or None."""
        # A digest is checked because it becomes a path.
        if not _DIGEST.fullmatch(digest):
            return None
        return disk.read_artifact(self._trees / digest, digest)

    async def prune(self, keep: frozenset[str]) -> int:
        """Remove trees that are not in `keep` nor young, and abandoned copies; return the bytes of the trees."""
        return await self._thread(self._prune, keep, frozenset(self._locks))

    def _keep_folder(self, path: Path, limits: ArtifactLimits) -> Artifact:
        real = self._places.resolve(path, path)
        if not real.is_dir():
            raise not_found(path, "file", "it is a file; an image is a folder")
        items = folders.survey(real, limits, anyio.from_thread.check_cancelled)
        size = sum(item.status.st_size for item in items if item.kind in ("file", "executable"))
        with disk_full_is_no_space(size, self._free_bytes):
            self._incoming.mkdir(parents=True, exist_ok=True)
            if (free := self._free_bytes()) < size:
                raise no_space(size, free)
            holder = Path(mkdtemp(prefix="folder-", dir=self._incoming))
            try:
                contents = folders.copy_folder(real, items, disk.files_of(holder), anyio.from_thread.check_cancelled)
                return self._publish(holder, disk.tree_digest(contents), contents)
            finally:
                disk.remove(holder)

    @asynccontextmanager
    async def _alone(self, key: str) -> AsyncIterator[None]:
        """Let one copy of the same listing run at a time; who waited finds its result."""
        lock, users = self._locks.get(key, (anyio.Lock(), 0))
        self._locks[key] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks.pop(key)
            if users > 1:
                self._locks[key] = (lock, users - 1)

    async def _thread(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await anyio.to_thread.run_sync(partial(call, *args, **kwargs), limiter=self._threads)

    def _recall(self, key: str) -> Artifact | None:
        try:
            digest = (self._known / key).read_text()
        except FileNotFoundError:
            return None
        with self._catalogue:
            artifact = self.open(digest)
            if artifact is not None:
                self._make_young(artifact)
        return artifact

    def _make_room(self, copy: Copy, holder: Path, family: str, *, keep: bool) -> None:
        """Start a copy or go on with it; copies of earlier states of the same source will never be finished."""
        self._incoming.mkdir(parents=True, exist_ok=True)
        for other in self._incoming.glob(f"{family}-*"):
            if other.name not in self._locks:
                disk.remove(other)
        if not keep:
            disk.remove(holder)
        holder.mkdir(exist_ok=True)
        os.utime(holder)
        if (free := self._free_bytes()) < (needed := copy.missing_bytes()):
            raise no_space(needed, free)

    def _publish(self, holder: Path, digest: str, contents: Sequence[disk.Content]) -> Artifact:
        """Give a whole tree its name in one step; where another has the name, it has the same contents and stays."""
        files = sum(content.kind != "folder" for content in contents)
        size = sum(content.size for content in contents)
        disk.seal(holder, files=files, size=size)
        self._trees.mkdir(exist_ok=True)
        with self._catalogue:
            artifact = self.open(digest)
            if artifact is None:
                holder.rename(self._trees / digest)
                artifact = Artifact(digest, disk.files_of(self._trees / digest), files, size)
            self._make_young(artifact)
        disk.flush(self._trees)
        disk.remove(holder)
        return artifact

    def _make_young(self, artifact: Artifact) -> None:
        now = self._now()
        os.utime(self._trees / artifact.digest, (now, now))

    def _prune(self, keep: frozenset[str], under_way: frozenset[str]) -> int:
        freed = 0
        self._incoming.mkdir(parents=True, exist_ok=True)
        for tree in _inside(self._trees):
            # Out of sight first: a tree that is half removed must not be found.
            doomed = self._incoming / f"pruned-{tree.name}"
            with self._catalogue:
                artifact = self.open(tree.name)
                if tree.name in keep or artifact is None or not self._is_older(tree, self._young_s):
                    continue
                tree.rename(doomed)
            disk.remove(doomed)
            freed += artifact.bytes
        for holder in _inside(self._incoming):
            if holder.name not in under_way and self._is_older(holder, self._abandoned_s):
                disk.remove(holder)
        for memory in _inside(self._known):
            if self.open(memory.read_text()) is None:
                memory.unlink()
        return freed

    def _free_bytes(self) -> int:
        return disk.free_bytes(self._incoming)

    def _is_older(self, item: Path, age_s: float) -> bool:
        return self._now() - item.stat().st_mtime >= age_s


def _inside(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []
