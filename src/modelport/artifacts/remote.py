"""Lists and copies a prefix or an object of gs://, s3:// or az://."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import anyio
import anyio.to_thread
import obstore

from modelport.artifacts.disk import Part
from modelport.artifacts.failures import changed, not_found, translating
from modelport.artifacts.stores import Store, open_store
from modelport.artifacts.tree import Entry, Listing, without_markers
from modelport.artifacts.uri import ArtifactUri

# Large enough that a thread hop for each chunk costs little, small enough that eight files at once fit in memory.
_CHUNK_BYTES = 4 * 1024**2
_PAGE_FILES = 1000
_ANSWER_TIMEOUT_S = 30.0


class RemoteSource:
    """One object, or all objects below a prefix."""

    def __init__(
        self, uri: ArtifactUri, environ: Mapping[str, str], *, threads: anyio.CapacityLimiter, stall_timeout_s: float
    ) -> None:
        self._uri = uri
        self._environ = environ
        self._threads = threads
        self._stall_timeout_s = stall_timeout_s
        self._store: Store | None = None

    async def list(self, most_files: int) -> Listing:
        """Return the objects below the prefix, or else the object of that name."""
        listing = await self._below_prefix(most_files)
        if listing.entries:
            return listing
        if self._uri.path and not self._uri.text.endswith("/"):
            return Listing((await self._single(),))
        raise not_found(self._uri, self._uri.scheme)

    async def copy(self, entry: Entry, part: Part, wrote: Callable[[int], None]) -> bool:
        """Stream one object into `part`, after making sure that it is still the listed one."""
        store = await self._opened()
        with translating(self._uri, self._uri.scheme):
            try:
                with anyio.fail_after(_ANSWER_TIMEOUT_S):
                    result = await obstore.get_async(store, entry.key)
            except FileNotFoundError as error:
                # Listings strip the slash that tells the mark of an empty folder (`name/`) from an empty file.
                if entry.size == 0:
                    return False
                raise changed(self._uri, entry.path) from error
        if result.meta["size"] != entry.size or (entry.tag and result.meta["e_tag"] and _tag(result.meta) != entry.tag):
            raise changed(self._uri, entry.path)
        stream = result.stream(_CHUNK_BYTES)
        while True:
            # A stall is noticed by the client, which counts silence and not the time that a chunk takes.
            with translating(self._uri, self._uri.scheme):
                chunk = await anext(stream, b"")
            if not chunk:
                return True
            await anyio.to_thread.run_sync(part.write, chunk, limiter=self._threads)
            wrote(len(chunk))

    async def _below_prefix(self, most_files: int) -> Listing:
        store = await self._opened()
        prefix = self._uri.path
        entries: list[Entry] = []
        complete = False
        with translating(self._uri, self._uri.scheme):
            pages = obstore.list(store, prefix=prefix or None, chunk_size=_PAGE_FILES)
            while len(entries) <= most_files:
                with anyio.fail_after(_ANSWER_TIMEOUT_S):
                    page = await anext(pages, None)
                if page is None:
                    complete = True
                    break
                entries.extend(
                    Entry(meta["path"], meta["path"][len(prefix) :].removeprefix("/"), meta["size"], _tag(meta))
                    for meta in page
                )
        return Listing(without_markers(entries), complete)

    async def _single(self) -> Entry:
        store = await self._opened()
        with translating(self._uri, self._uri.scheme), anyio.fail_after(_ANSWER_TIMEOUT_S):
            meta = await obstore.head_async(store, self._uri.path)
        return Entry(self._uri.path, self._uri.path.rpartition("/")[2], meta["size"], _tag(meta))

    async def _opened(self) -> Store:
        if self._store is None:
            opening = partial(open_store, self._uri, self._environ, stall_timeout_s=self._stall_timeout_s)
            self._store = await anyio.to_thread.run_sync(opening, limiter=self._threads)
        return self._store


def _tag(meta: obstore.ObjectMeta) -> str:
    # Some servers quote the tag in one answer and not in the other.
    return (meta["e_tag"] or "").removeprefix("W/").strip('"')
