"""The file that a command line starts: where it may lie, and what is there on this machine."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from modelport.core.facts import EntryFile
from modelport.drivers.container_files import FoundFile, find_file

HEAD_BYTES = 256

_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def candidates(program: str, *, path: str | None, working_dir: str) -> list[str]:
    """Return where the program may lie, in the order in which it is looked for; `path` is PATH, if it is set."""
    if not program:
        return []
    start = PurePosixPath("/", working_dir or "/")
    if "/" in program:
        return [str(start / program)]
    return [str(start / folder / program) for folder in (_DEFAULT_PATH if path is None else path).split(":")]


def read_entry(program: str, paths: Sequence[str], roots: Sequence[Path]) -> EntryFile:
    """Return the first of `paths` that can be executed, else the first that is there, else that there is none.

    Raises:
        OSError: this user may not look there.
    """
    first: tuple[str, FoundFile] | None = None
    for path in paths:
        found = find_file(roots, path)
        if found is None or stat.S_ISDIR(found.mode):
            continue
        if found.mode & 0o111:
            return described(path, found.mode, found.head(HEAD_BYTES))
        # As a shell does: go on looking for one that can be executed.
        first = first or (path, found)
    if first is None:
        return EntryFile(program, exists=False)
    path, found = first
    return described(path, found.mode, found.head(HEAD_BYTES))


def described(path: str, mode: int, head: bytes) -> EntryFile:
    """Return a file that is there."""
    return EntryFile(path, exists=True, mode=stat.S_IMODE(mode) & 0o777, head=head.decode("latin-1"))
