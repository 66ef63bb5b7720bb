"""The artifact store: copies what `deploymentUri` names into a content-addressed cache, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class ArtifactLimits:
    """Largest artifact tree: number of files (1000 in the original service) and bytes."""

    files: int = 1000
    bytes: int = 10 * 1024**3


@dataclass(frozen=True)
class Artifact:
    """A copied tree: `digest` is over paths and contents, `path` is the read-only folder in the cache."""

    digest: str
    path: Path
    files: int
    bytes: int


@dataclass(frozen=True)
class Progress:
    """How far a copy is."""

    files: int
    bytes: int
    total_files: int
    total_bytes: int


class ArtifactStore(Protocol):
    """Fetch and keep. Every verb may be retried after a crash and resumes what was copied."""

    async def fetch(self, uri: str, *, progress: Callable[[Progress], None] | None = None) -> Artifact:
        """Copy the tree into the cache (temp, verify, rename) and return it; a known tree is not copied twice.

        Raises:
            InvalidArgument: the scheme is unknown, the URI malformed, or a local path lies where it may not.
            ArtifactNotFound, ArtifactUnauthorized, ArtifactRefused, NoSpace: asking again would give the same answer.
            ArtifactStoreUnavailable: it may work later.
        """
        ...

    def open(self, digest: str) -> Artifact | None:
        """Return a tree that is in the cache, or None."""
        ...

    async def prune(self, keep: frozenset[str]) -> int:
        """Remove cached trees whose digest is not in `keep`; return the number of bytes freed.

        Trees fetched within the last minutes are spared: nobody may have stored yet that they are needed.
        """
        ...
