"""The Python of this machine as a root file system: complete, readable for everybody, and nothing of a user's in it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import time
import venv
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path, PurePosixPath

import pytest

from modelport.core.errors import EnvironmentBuildFailed
from modelport.drivers.archive_stream import Entry, File, Folder, Link, pack
from modelport.drivers.host_python import root_file_system
from modelport.drivers.shared_libraries import SharedLibraries, read_elf

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a root file system of Linux")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / ".venv"
    venv.create(folder, with_pip=False, symlinks=True)
    return folder


@pytest.fixture(scope="module")
def entries(environment: Path) -> dict[PurePosixPath, Entry]:
    return {entry.path: entry for entry in root_file_system(environment)}


def packed(*entries: Entry) -> tarfile.TarFile:
    return tarfile.open(fileobj=BytesIO(b"".join(pack(entries))))


def test_every_link_leads_to_something_that_comes_along(entries: dict[PurePosixPath, Entry]) -> None:
    links = [entry for entry in entries.values() if isinstance(entry, Link)]

    assert links
    for link in links:
        assert PurePosixPath(os.path.normpath(link.path.parent / link.target)) in entries, link


def test_the_interpreter_and_the_standard_library_lie_where_they_are(
    environment: Path, entries: dict[PurePosixPath, Entry]
) -> None:
    assert PurePosixPath(environment / "bin" / "python") in entries
    assert PurePosixPath(environment / "pyvenv.cfg") in entries
    assert PurePosixPath(os.path.realpath(sys.executable)) in entries
    assert PurePosixPath(os.__file__) in entries
    assert any("lib-dynload/_ssl" in str(path) for path in entries)


def test_what_else_is_installed_on_this_machine_stays_here(
    environment: Path, entries: dict[PurePosixPath, Entry]
) -> None:
    foreign = [path for path in entries if "site-packages" in path.parts and not path.is_relative_to(environment)]

    assert foreign == []
    assert not [path for path in entries if {"test", "tkinter", "idlelib"} & set(path.parts)]
    assert [path for path in entries if path.parent == PurePosixPath("/etc")] == [
        PurePosixPath("/etc/passwd"),
        PurePosixPath("/etc/group"),
        PurePosixPath("/etc/nsswitch.conf"),
    ]


def test_an_environment_without_an_interpreter_says_so(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentBuildFailed, match="does not run"):
        list(root_file_system(tmp_path))


def linked(program: Path) -> set[str]:
    """Return what the loader itself says that a program is linked with."""
    told = subprocess.run(["ldd", program], capture_output=True, text=True, check=True, timeout=30).stdout
    return {os.path.realpath(path) for path in re.findall(r"(/\S+) \(0x", told)}


def programs() -> Iterator[Path]:
    yield Path(os.path.realpath(sys.executable))
    yield from (path for path in sorted(Path(os.__file__).parent.glob("lib-dynload/*.so"))[:40])


def test_libraries_are_those_that_the_loader_finds() -> None:
    found = SharedLibraries()
    for program in programs():
        closure = {os.path.realpath(path) for path in found.closure([program])}

        assert linked(program) <= closure, program


@pytest.mark.parametrize("content", [b"", b"\x7fELF", b"\x7fELF\x02\x01" + b"\xff" * 80, b"#!/bin/sh\n"])
def test_a_file_that_is_no_whole_program_needs_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file.so").write_bytes(content)

    assert read_elf(tmp_path / "file.so") is None
    assert read_elf(tmp_path / "missing.so") is None
    assert list(SharedLibraries().closure([tmp_path / "file.so"])) == []


def test_an_archive_holds_what_lies_above_each_entry_and_belongs_to_root(tmp_path: Path) -> None:
    script = tmp_path / "run"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o700)
    os.utime(script, (1, 1_000_000_000.5))
    long = PurePosixPath("/opt", "a" * 90, "b" * 90, "text")

    with packed(
        Folder(PurePosixPath("/tmp"), 0o1777),
        File(PurePosixPath("/tmp/x/run"), script),
        Link(PurePosixPath("/run"), "/tmp/x/run"),
        File(long, b"\xff" * 700),
        Folder(PurePosixPath("/tmp")),
    ) as archive:
        seen = [(one.name, oct(one.mode), one.uid, one.mtime) for one in archive]
        assert seen[:3] == [("tmp", "0o1777", 0, 0), ("tmp/x", "0o755", 0, 0), ("tmp/x/run", "0o755", 0, 1_000_000_000)]
        assert [name for name, *_ in seen[3:]] == [
            "run",
            *(str(one)[1:] for one in reversed(long.parents[:-1])),
            str(long)[1:],
        ]
        assert archive.getmember("run").linkname == "/tmp/x/run"
        file = archive.extractfile(str(long)[1:])
        assert file is not None
        assert file.read() == b"\xff" * 700


def test_large_files_are_sent_in_pieces_of_bounded_size(tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(os.urandom(1024) * 5 * 1024 + b"end")

    pieces = list(pack([File(PurePosixPath("/large"), large), File(PurePosixPath("/small"), b"x")]))

    assert max(map(len, pieces)) < 2.1 * 1024**2
    with tarfile.open(fileobj=BytesIO(b"".join(pieces))) as archive:
        file = archive.extractfile("large")
        assert file is not None
        assert file.read() == large.read_bytes()
        assert archive.getnames() == ["large", "small"]


def test_a_file_that_shrinks_meanwhile_breaks_the_archive_off(tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(bytes(4 * 1024**2))
    pieces = pack([File(PurePosixPath("/large"), large)])
    next(pieces)
    os.truncate(large, 1024)

    with pytest.raises(OSError, match="shorter"):
        list(pieces)


def test_nothing_is_made_before_it_is_sent(environment: Path) -> None:
    start = time.monotonic()
    next(pack(root_file_system(environment)))

    assert time.monotonic() - start < 5
