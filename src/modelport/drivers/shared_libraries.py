"""Shared libraries: what ELF files need of others, found as the dynamic loader of Linux would find it.

Files are read, never run. Functions block for as long as a disk takes; call them in a thread.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

_MAGIC = b"\x7fELF"
_64_BIT = 2
_LITTLE_ENDIAN = 1
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NEEDED, _DT_STRTAB, _DT_STRSZ, _DT_RPATH, _DT_RUNPATH = 1, 5, 10, 15, 29

# Where the loader looks at last, with or without a cache.
_USUAL = ("/lib64", "/usr/lib64", "/lib", "/usr/lib")
# Opened by name while a program runs, so that no file names them.
_OPENED_LATER = ("libgcc_s.so.1", "libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2")


@dataclass(frozen=True)
class Elf:
    """What matters of an ELF file.

    Attributes:
        machine: number of the processor's architecture.
        needed: names of the libraries that it is linked with.
        search: folders that it names for them, before all others.
        interpreter: path of the loader; empty for what is no program.
    """

    machine: int
    needed: tuple[str, ...] = ()
    search: tuple[Path, ...] = ()
    interpreter: str = ""


def read_elf(path: Path) -> Elf | None:
    """Return what an ELF file of 64 bits needs; None for any other file."""
    try:
        with path.open("rb") as file:
            return _read(file, path.resolve().parent)
    except (OSError, struct.error, ValueError, StopIteration):  # gone, not to be read, or cut short
        return None


class SharedLibraries:
    """The libraries of this machine."""

    def closure(self, files: Iterable[Path]) -> Iterator[Path]:
        """Yield the path of each library and loader that the files need, and that those need, once.

        Paths are as the loader would try them: they may be links. What is not there is left out: a wheel may load it
        by a path of its own.
        """
        seen: set[Path] = set()
        waiting = list(files)
        while waiting:
            elf = read_elf(waiting.pop())
            if elf is None:
                continue
            names = (*elf.needed, *_OPENED_LATER) if elf.interpreter else elf.needed
            found = [library for name in names if (library := self._find(name, elf))]
            if elf.interpreter:
                found.append(Path(elf.interpreter))
            for library in found:
                if library not in seen:
                    seen.add(library)
                    waiting.append(library)
                    yield library

    def _find(self, name: str, elf: Elf) -> Path | None:
        folders = (*elf.search, *self._folders.get(name, ()), *(Path(folder) for folder in _USUAL))
        for folder in folders:
            candidate = folder / name
            if (other := read_elf(candidate)) and other.machine == elf.machine:
                return candidate
        return None

    @cached_property
    def _folders(self) -> Mapping[str, tuple[Path, ...]]:
        """Folders by name of the library, from the loader's own cache."""
        program = shutil.which("ldconfig", path="/sbin:/usr/sbin:/usr/local/sbin")
        if program is None:
            return {}
        done = subprocess.run([program, "-p"], capture_output=True, text=True, check=False)
        folders: dict[str, tuple[Path, ...]] = {}
        for line in done.stdout.splitlines():
            name, arrow, path = line.strip().rpartition(" => ")
            if arrow:
                soname = name.partition(" ")[0]
                folders[soname] = (*folders.get(soname, ()), Path(path).parent)
        return folders


def _read(file: BinaryIO, origin: Path) -> Elf | None:
    ident = file.read(16)
    if len(ident) < 16 or ident[:4] != _MAGIC or ident[4] != _64_BIT:
        return None
    order = "<" if ident[5] == _LITTLE_ENDIAN else ">"
    _, machine, _, _, headers, _, _, _, size, count, *_ = struct.unpack(f"{order}HHIQQQIHHHHHH", file.read(48))
    file.seek(headers)
    table = file.read(size * count)
    segments = [struct.unpack_from(f"{order}IIQQQQ", table, index * size) for index in range(count)]
    dynamic, interpreter = b"", ""
    for kind, _, offset, _, _, length in segments:
        if kind in (_PT_DYNAMIC, _PT_INTERP):
            file.seek(offset)
            content = file.read(length)
            if kind == _PT_DYNAMIC:
                dynamic = content
            else:
                interpreter = content.rstrip(b"\0").decode()
    tags = list(struct.iter_unpack(f"{order}qQ", dynamic[: len(dynamic) // 16 * 16]))
    values = dict(tags)
    if _DT_STRTAB not in values:
        return Elf(machine, interpreter=interpreter)
    # The table is named by its address in memory; the segment that is loaded there says where it is in the file.
    address = values[_DT_STRTAB]
    start = next(
        offset + address - begin
        for kind, _, offset, begin, _, length in segments
        if kind == _PT_LOAD and begin <= address < begin + length
    )
    file.seek(start)
    texts = file.read(values.get(_DT_STRSZ, 0))
    needed = tuple(_text(texts, value) for tag, value in tags if tag == _DT_NEEDED)
    run_path = values.get(_DT_RUNPATH, values.get(_DT_RPATH))
    search = _search(_text(texts, run_path), origin) if run_path is not None else ()
    return Elf(machine, needed, search, interpreter)


def _text(texts: bytes, start: int) -> str:
    return texts[start : texts.index(b"\0", start)].decode(errors="surrogateescape")


def _search(text: str, origin: Path) -> tuple[Path, ...]:
    expanded = (part.replace("${ORIGIN}", str(origin)).replace("$ORIGIN", str(origin)) for part in text.split(":"))
    return tuple(Path(os.path.normpath(part)) for part in expanded if part.startswith("/"))
