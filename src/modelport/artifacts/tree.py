"""Decides what a copied tree may look like: paths that stay inside, no collisions, limits; pure."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from modelport.artifacts.base import ArtifactLimits
from modelport.core.errors import ArtifactRefused, Violation

MAX_DEPTH = 200
_MAX_PATH_BYTES = 1024
_MAX_NAME_BYTES = 255
_VIOLATIONS_SHOWN = 20


@dataclass(frozen=True)
class Entry:
    """One file at its source.

    Attributes:
        key: what the source calls it, verbatim.
        path: where it goes, relative to the root of the tree.
        size: bytes; None where the source tells only at the end.
        tag: changes whenever the contents do (an entity tag, or times and inode); empty where the source has none.
    """

    key: str
    path: str
    size: int | None
    tag: str


@dataclass(frozen=True)
class Listing:
    """All files of a tree, by path. `complete` is False where listing stopped far above the limit."""

    entries: tuple[Entry, ...]
    complete: bool = True

    @property
    def bytes(self) -> int:
        """Return the bytes of all files whose size is known."""
        return sum(entry.size or 0 for entry in self.entries)

    @property
    def identified(self) -> bool:
        """Return whether an equal listing means equal contents."""
        return all(entry.tag and entry.size is not None for entry in self.entries)


def listing_key(uri: str, listing: Listing) -> str:
    """Return the name of a copy under way: the same source in the same state has the same name."""
    digest = hashlib.sha256(uri.encode("utf-8", "surrogateescape"))
    for entry in sorted(listing.entries, key=lambda entry: entry.path):
        digest.update(f"\0{entry.path}\0{entry.size}\0{entry.tag}".encode())
    return digest.hexdigest()


def path_problem(path: str) -> str | None:
    """Return why `path` may not become a file below the root, or None."""
    if path.startswith("/"):
        return "is absolute"
    if any("\ud800" <= character <= "\udfff" for character in path):
        return "is not UTF-8"
    if any(unicodedata.category(character) == "Cc" for character in path):
        return "has a control character"
    if "\\" in path:
        return "has a backslash"
    if len(path.encode()) > _MAX_PATH_BYTES:
        return f"has {len(path.encode()):,} bytes; at most {_MAX_PATH_BYTES:,}"
    for name in path.split("/"):
        if name == "":
            return "has an empty segment"
        if name in (".", ".."):
            return f"has the segment `{name}`"
        if len(name.encode()) > _MAX_NAME_BYTES:
            return f"has a name of {len(name.encode()):,} bytes; at most {_MAX_NAME_BYTES}"
    return None


def without_markers(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Drop the empty objects by which consoles of object stores mark folders: the root, and prefixes of others."""
    kept = [entry for entry in entries if entry.path]
    folders = _folders(entry.path for entry in kept)
    return tuple(entry for entry in kept if entry.size != 0 or entry.path not in folders)


def check_listing(uri: object, listing: Listing, limits: ArtifactLimits) -> None:
    """Refuse a tree that is too large or that no folder can hold, with everything that is wrong with it.

    Raises:
        ArtifactRefused: with one violation for each broken rule.
    """
    problems = [*_limit_problems(uri, listing, limits), *_path_problems(listing.entries)]
    if not problems:
        return
    shown = problems[:_VIOLATIONS_SHOWN]
    if len(problems) > len(shown):
        shown.append(f"{len(problems) - len(shown):,} more problems")
    raise refused(uri, shown)


def refused(uri: object, problems: Sequence[str]) -> ArtifactRefused:
    """Return the error for a tree with these problems."""
    return ArtifactRefused(
        "; ".join(problems),
        hint="Leave out what the container does not load, or rename the files",
        violations=tuple(Violation("deploymentUri", problem) for problem in problems),
        uri=str(uri),
    )


def _limit_problems(uri: object, listing: Listing, limits: ArtifactLimits) -> list[str]:
    problems = []
    files = len(listing.entries)
    if files > limits.files or not listing.complete:
        more = "" if listing.complete else "more than "
        problems.append(f"`{uri}` has {more}{files:,} files; at most {limits.files:,}")
    if listing.bytes > limits.bytes:
        problems.append(f"`{uri}` has {listing.bytes:,} bytes; at most {limits.bytes:,}")
    return problems


def _path_problems(entries: Sequence[Entry]) -> list[str]:
    problems = [
        f"The name {entry.key!r} {problem}" for entry in entries if (problem := path_problem(entry.path)) is not None
    ]
    folders = _folders(entry.path for entry in entries)
    seen: set[str] = set()
    for entry in entries:
        if entry.path in seen:
            problems.append(f"The name `{entry.path}` occurs twice")
        if entry.path in folders:
            problems.append(f"The name `{entry.path}` is a file and a folder at once")
        seen.add(entry.path)
    return problems


def _folders(paths: Iterable[str]) -> set[str]:
    folders: set[str] = set()
    for path in paths:
        parent = path.rpartition("/")[0]
        while parent and parent not in folders:
            folders.add(parent)
            parent = parent.rpartition("/")[0]
    return folders
