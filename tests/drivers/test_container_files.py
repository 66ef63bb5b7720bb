"""Files of a container in the layers of its image, and the one that its command line starts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from modelport.core.facts import EntryFile
from modelport.drivers.container_files import find_file, layers
from modelport.drivers.entry_file import candidates, read_entry


@pytest.fixture
def roots(tmp_path: Path) -> tuple[Path, Path]:
    """An image as Debian's: /bin is a link, python3 a chain of links; the upper layer changed two files."""
    lower, upper = tmp_path / "lower", tmp_path / "upper"
    for folder in (lower / "usr/bin", lower / "etc", upper / "usr/bin", upper / "app"):
        folder.mkdir(parents=True)
    (lower / "bin").symlink_to("usr/bin")
    (lower / "usr/bin/python3").symlink_to("python3.11")
    (lower / "usr/bin/python3.11").write_bytes(b"\x7fELF" + b"\0" * 1000)
    (lower / "usr/bin/python3.11").chmod(0o755)
    (lower / "usr/bin/python").symlink_to("/etc/alternatives")
    (lower / "etc/alternatives").symlink_to("../bin/python3")
    (lower / "etc/changed").write_text("old")
    (upper / "etc").mkdir()
    (upper / "etc/changed").write_text("new")
    (lower / "loop").symlink_to("loop")
    (lower / "out").symlink_to("../../../../../../../../../../../../etc/changed")
    (upper / "app/start.sh").write_bytes(b"#!/bin/sh\r\nexec x\r\n")
    (upper / "app/start.sh").chmod(0o644)
    return upper, lower


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/etc/changed", b"new"),
        ("/usr/bin/python3.11", b"\x7fEL"),
        ("/usr/bin/python3", b"\x7fEL"),
        ("/bin/python3", b"\x7fEL"),
        ("/usr/bin/python", b"\x7fEL"),
        ("/app/../etc/./changed", b"new"),
        ("/out", b"new"),
    ],
)
def test_a_file_is_found_through_layers_and_links(roots: tuple[Path, Path], path: str, content: bytes) -> None:
    found = find_file(roots, path)
    assert found is not None
    assert found.head(3) == content


@pytest.mark.parametrize("path", ["/nothing", "/loop", "/etc/changed/below", "/bin/nothing", "/loop/x"])
def test_what_is_not_there_is_none(roots: tuple[Path, Path], path: str) -> None:
    assert find_file(roots, path) is None


def test_what_an_upper_layer_removed_is_gone(roots: tuple[Path, Path]) -> None:
    try:
        os.mknod(roots[0] / "usr/bin/python3.11", 0o020000, 0)
    except PermissionError:
        pytest.skip("only root may make a device")
    assert find_file(roots, "/usr/bin/python3") is None


@pytest.mark.parametrize(
    ("driver", "expected"),
    [
        ({"Name": "overlay2", "Data": {"UpperDir": "/u", "LowerDir": "/a:/b"}}, ("/u", "/a", "/b")),
        ({"Name": "overlay", "Data": {"UpperDir": "/u"}}, ("/u",)),
        ({"Name": "vfs", "Data": {"UpperDir": "/u"}}, ()),
        ({"Name": "overlay2", "Data": None}, ()),
        (None, ()),
    ],
)
def test_layers_are_listed_from_the_top(driver: object, expected: tuple[str, ...]) -> None:
    assert layers({"GraphDriver": driver}) == tuple(Path(path) for path in expected)


@pytest.mark.parametrize(
    ("program", "path", "working_dir", "expected"),
    [
        ("python3", "/opt/bin:/usr/bin", "/app", ["/opt/bin/python3", "/usr/bin/python3"]),
        ("/start.sh", "/usr/bin", "/app", ["/start.sh"]),
        ("./start.sh", "/usr/bin", "/app", ["/app/start.sh"]),
        ("bin/run", None, "", ["/bin/run"]),
        ("x", "bin::/y", "/app", ["/app/bin/x", "/app/x", "/y/x"]),
        ("", None, "/", []),
    ],
)
def test_a_program_is_looked_for_as_the_kernel_does(
    program: str, path: str | None, working_dir: str, expected: list[str]
) -> None:
    assert candidates(program, path=path, working_dir=working_dir) == expected


def test_without_a_path_the_usual_folders_are_searched() -> None:
    assert "/usr/local/bin/x" in candidates("x", path=None, working_dir="/")


@pytest.mark.parametrize(
    ("program", "paths", "expected"),
    [
        (
            "python3",
            ["/nothing/python3", "/bin/python3"],
            EntryFile("/bin/python3", True, 0o755, "\x7fELF" + "\0" * 252),
        ),
        ("start.sh", ["/app/start.sh"], EntryFile("/app/start.sh", True, 0o644, "#!/bin/sh\r\nexec x\r\n")),
        ("x", ["/app/start.sh", "/bin/python3"], EntryFile("/bin/python3", True, 0o755, "\x7fELF" + "\0" * 252)),
        ("/app", ["/app"], EntryFile("/app", False)),
        ("gunicorn", ["/bin/gunicorn"], EntryFile("gunicorn", False)),
    ],
)
def test_the_entry_is_the_first_that_can_be_executed(
    roots: tuple[Path, Path], program: str, paths: list[str], expected: EntryFile
) -> None:
    assert read_entry(program, paths, roots) == expected
