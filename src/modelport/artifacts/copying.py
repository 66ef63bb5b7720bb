"""One copy from a source into its place under way: what is missing, eight files at a time, and how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, TypeVarTuple

import anyio
import anyio.to_thread

from modelport.artifacts import disk
from modelport.artifacts.base import ArtifactLimits, Progress
from modelport.artifacts.failures import changed
from modelport.artifacts.sources import Source
from modelport.artifacts.tree import Entry, Listing, refused
from modelport.artifacts.uri import ArtifactUri
from modelport.core.errors import Error

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_FILES_AT_ONCE = 8
_REPORT_PERIOD_S = 0.1


class Meter:
    """Counts files and bytes, and reports at most ten times a second, and at the end."""

    def __init__(
        self,
        listing: Listing,
        limits: ArtifactLimits,
        report: Callable[[Progress], None] | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.files = 0
        self.bytes = 0
        self.most_bytes = limits.bytes
        self._total_files = len(listing.entries)
        self._total_bytes = listing.bytes
        self._report = report
        self._clock = clock
        self._last = float("-inf")

    def add(self, *, files: int = 0, size: int = 0) -> None:
        """Count, and report when it is time."""
        self.files += files
        self.bytes += size
        if self._clock() - self._last >= _REPORT_PERIOD_S:
            self.show()

    def show(self) -> None:
        """Report now."""
        self._last = self._clock()
        if self._report is not None:
            total_bytes = max(self._total_bytes, self.bytes)
            self._report(Progress(self.files, self.bytes, self._total_files, total_bytes))


class Copy:
    """Brings `holder` to hold every file of `listing`; files that are there from an earlier attempt are kept."""

    def __init__(
        self,
        uri: ArtifactUri,
        source: Source,
        listing: Listing,
        holder: Path,
        meter: Meter,
        threads: anyio.CapacityLimiter,
    ) -> None:
        self._uri = uri
        self._source = source
        self._listing = listing
        self._files = disk.files_of(holder)
        self._parts = holder / "parts"
        self._meter = meter
        self._threads = threads

    def missing_bytes(self) -> int:
        """Return how much is still to be written. Blocking."""
        return sum(entry.size or 0 for entry in self._listing.entries if not self._present(entry))

    async def run(self) -> list[disk.Content]:
        """Copy what is missing and return what there is.

        Raises:
            Error: the first thing that went wrong with the source.
            OSError: the cache's disk failed.
        """
        contents: list[disk.Content] = []
        failures: list[Error | OSError] = []
        at_once = anyio.CapacityLimiter(_FILES_AT_ONCE)

        async def one(number: int, entry: Entry) -> None:
            async with at_once:
                try:
                    content = await self._one(entry, self._parts / f"{number}.part")
                except (Error, OSError) as failure:
                    failures.append(failure)
                    copies.cancel_scope.cancel()
                    return
            if content is not None:
                contents.append(content)
                self._meter.add(files=1)

        await self._thread(self._clean_parts)
        async with anyio.create_task_group() as copies:
            for number, entry in enumerate(self._listing.entries):
                copies.start_soon(one, number, entry)
        if failures:
            raise failures[0]
        await self._thread(disk.remove, self._parts)
        self._meter.show()
        return contents

    async def _one(self, entry: Entry, path: Path) -> disk.Content | None:
        target = self._files / entry.path
        if await self._thread(self._present, entry):
            digest = await self._thread(disk.file_digest, target)
            self._meter.add(size=entry.size or 0)
            return disk.Content(entry.path, entry.size or 0, digest)
        part = await self._thread(disk.Part, path, target)
        received = 0

        def wrote(size: int) -> None:
            nonlocal received
            received += size
            self._meter.add(size=size)
            if entry.size is not None and received > entry.size:
                raise changed(self._uri, entry.path)
            if self._meter.bytes > self._meter.most_bytes:
                raise refused(
                    self._uri, [f"`{self._uri}` has more than {self._meter.most_bytes:,} bytes, which is the limit"]
                )

        try:
            if not await self._source.copy(entry, part, wrote):
                return None
            if entry.size is not None and received != entry.size:
                raise changed(self._uri, entry.path)
            return disk.Content(entry.path, part.size, await self._thread(part.finish))
        finally:
            with anyio.CancelScope(shield=True):
                await self._thread(part.abandon)

    def _present(self, entry: Entry) -> bool:
        return entry.size is not None and disk.size_on_disk(self._files / entry.path) == entry.size

    def _clean_parts(self) -> None:
        disk.remove(self._parts)
        self._parts.mkdir(parents=True)
        self._files.mkdir(exist_ok=True)

    async def _thread(self, call: Callable[[*Ts], T], *args: *Ts) -> T:
        return await anyio.to_thread.run_sync(call, *args, limiter=self._threads)
