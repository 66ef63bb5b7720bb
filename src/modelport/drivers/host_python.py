"""The Python of this machine as a root file system: an environment and no more of the machine than it needs to run.

Everything keeps its absolute path, for scripts and libraries of an environment name each other by theirs.
Functions block for as long as a disk takes; call them in a thread.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from modelport.core.errors import EnvironmentBuildFailed
from modelport.drivers.archive_stream import Entry, File, Folder, Link
from modelport.drivers.shared_libraries import SharedLibraries, read_elf

# What no model needs of the standard library, or what needs a screen or a compiler.
_LEFT_OUT = {"site-packages", "dist-packages", "test", "idlelib", "turtledemo", "ensurepip", "lib2to3", "tkinter"}
_LEFT_OUT_STARTS = ("config-", "_tkinter.")
_PROBE_S = 60
_PROBE = "import json, sys; print(json.dumps([sys.executable, [path for path in sys.path if path]]))"

CERTIFICATES = PurePosixPath("/etc/ssl/certs/ca-certificates.crt")
_CERTIFICATE_FILES = (
    str(CERTIFICATES),
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
_ETC = {
    "passwd": b"root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534:nobody:/tmp:/sbin/nologin\n",
    "group": b"root:x:0:\nnogroup:x:65534:\n",
    "nsswitch.conf": b"passwd: files\ngroup: files\nhosts: files dns\n",
}


def root_file_system(environment: Path) -> Iterator[Entry]:
    """Yield what an image of the virtual environment in this folder consists of.

    Raises:
        EnvironmentBuildFailed: its interpreter does not run.
    """
    executable, folders = _probe(environment / "bin" / "python")
    tree = _Tree()
    yield from _surroundings()
    yield from tree.folder(environment)
    for folder in folders:
        yield from tree.folder(folder, standard_library=True)
    yield from tree.file(executable)
    for library in SharedLibraries().closure(tree.programs):
        yield from tree.file(library)


def _probe(python: Path) -> tuple[Path, list[Path]]:
    """Return the path of the interpreter and the folders that hold its standard library."""
    try:
        # Without `site` its path names the standard library alone.
        done = subprocess.run(
            [python, "-I", "-S", "-c", _PROBE], capture_output=True, text=True, timeout=_PROBE_S, check=True
        )
        executable, path = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise EnvironmentBuildFailed(
            f"The interpreter `{python}` does not run: {error}", hint="Install the environment anew"
        ) from error
    return Path(executable), [Path(entry) for entry in path if Path(entry).is_dir()]


class _Tree:
    """Entries of the image so far. Links that lead out of a folder keep where they lead to, which comes along."""

    def __init__(self) -> None:
        self.programs: list[Path] = []
        self._seen: set[str] = set()

    def folder(self, top: Path, *, standard_library: bool = False) -> Iterator[Entry]:
        for name, folders, files in os.walk(top):
            directory = Path(name)
            if standard_library:
                for names in (folders, files):
                    names[:] = [one for one in names if one not in _LEFT_OUT and not one.startswith(_LEFT_OUT_STARTS)]
            yield Folder(PurePosixPath(directory))
            for linked in (one for one in folders if (directory / one).is_symlink()):
                yield from self._linked_folder(directory / linked, top)
            for file in files:
                yield from self.file(directory / file)

    def _linked_folder(self, link: Path, top: Path) -> Iterator[Entry]:
        target = link.resolve()
        yield Link(PurePosixPath(link), str(target))
        if not target.is_relative_to(top.resolve()):
            yield from self.folder(target)

    def file(self, path: Path) -> Iterator[Entry]:
        """Yield the file, and where it is a link, the file that this leads to too."""
        name = os.path.normpath(path)
        if name in self._seen:
            return
        self._seen.add(name)
        target = Path(os.path.realpath(path))
        if not target.is_file():  # a link to nothing, a socket
            return
        if str(target) != name:
            yield Link(PurePosixPath(name), str(target))
            yield from self.file(target)
            return
        if (".so" in target.name or os.access(target, os.X_OK)) and read_elf(target):
            self.programs.append(target)
        yield File(PurePosixPath(name), target)


def _surroundings() -> Iterator[Entry]:
    for name, content in _ETC.items():
        yield File(PurePosixPath("/etc") / name, content)
    if certificates := next((Path(path) for path in _CERTIFICATE_FILES if Path(path).is_file()), None):
        yield File(CERTIFICATES, certificates)
    yield Folder(PurePosixPath("/tmp"), 0o1777)
    for name in ("dev", "proc", "sys", "mnt"):
        yield Folder(PurePosixPath("/") / name)
