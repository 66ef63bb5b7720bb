"""What a cache can copy from: one Protocol, and the source of each scheme."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import anyio

from modelport.artifacts.disk import Part
from modelport.artifacts.local import LocalPlaces, LocalSource
from modelport.artifacts.remote import RemoteSource
from modelport.artifacts.tree import Entry, Listing
from modelport.artifacts.uri import ArtifactUri
from modelport.artifacts.web import WebSource


class Source(Protocol):
    """One URI. Both verbs raise the errors that `ArtifactStore.fetch` declares; OSError comes from the part's disk."""

    async def list(self, most_files: int) -> Listing:
        """Return every file, or stop after `most_files` with an incomplete listing. Never an empty listing."""
        ...

    async def copy(self, entry: Entry, part: Part, wrote: Callable[[int], None]) -> bool:
        """Write the contents into `part`, calling `wrote` in the event loop after each chunk; it may raise.

        Returns False where the entry turns out to be a mark for an empty folder and no file.
        """
        ...


@dataclass(frozen=True)
class Surroundings:
    """What sources need to know of the machine."""

    environ: Mapping[str, str]
    places: LocalPlaces
    threads: anyio.CapacityLimiter
    stall_timeout_s: float


def open_source(uri: ArtifactUri, at: Surroundings) -> Source:
    """Return the source that `uri` names; nothing is read yet."""
    return _SOURCES[uri.scheme](uri, at)


def _remote(uri: ArtifactUri, at: Surroundings) -> Source:
    return RemoteSource(uri, at.environ, threads=at.threads, stall_timeout_s=at.stall_timeout_s)


def _web(uri: ArtifactUri, at: Surroundings) -> Source:
    return WebSource(uri, threads=at.threads, stall_timeout_s=at.stall_timeout_s)


def _local(uri: ArtifactUri, at: Surroundings) -> Source:
    return LocalSource(uri, Path(uri.path), at.places, threads=at.threads)


_SOURCES: dict[str, Callable[[ArtifactUri, Surroundings], Source]] = {
    "file": _local,
    "gs": _remote,
    "s3": _remote,
    "az": _remote,
    "http": _web,
    "https": _web,
}
