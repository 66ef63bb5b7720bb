import io
import os
import tarfile
from pathlib import Path

import pytest

from modelport.core.errors import EngineUnreachable, ImageBuildFailed, ImageNotFound
from modelport.sdk.images import build, fetch, pack, repository
from tests.engines.fixtures import BASE_IMAGE


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def packed(folder: Path) -> bytes:
    target = io.BytesIO()
    pack(folder, target)
    return target.getvalue()


def names(folder: Path) -> set[str]:
    with tarfile.open(fileobj=io.BytesIO(packed(folder))) as archive:
        return {entry.name for entry in archive if not entry.isdir()}


def test_dockerignore_rules_start_at_the_root_and_the_last_match_wins(tmp_path: Path) -> None:
    rules = "# comment\nsecret\n*.log\n**/cache\n!keep.log\n/data/*\n!data/kept\nDockerfile\n"
    files = ["secret", "a.log", "keep.log", "sub/secret", "sub/a.log", "sub/cache/x", "data/gone", "data/kept"]
    write(tmp_path, {**dict.fromkeys(files, ""), "Dockerfile": "", ".dockerignore": rules})

    assert names(tmp_path) == {
        ".dockerignore",
        "Dockerfile",
        "keep.log",
        "sub/secret",
        "sub/a.log",
        "data/kept",
    }


def test_the_context_depends_on_nothing_but_names_modes_and_bytes(tmp_path: Path) -> None:
    first = write(tmp_path / "first", {"Dockerfile": "FROM x", "b/c": "1", "a": "2"})
    second = write(tmp_path / "second", {"a": "2", "b/c": "1", "Dockerfile": "FROM x"})
    os.utime(second / "a", (0, 0))

    assert packed(first) == packed(second)
    (second / "a").chmod(0o755)
    assert packed(first) != packed(second)


def test_links_are_kept_as_links_and_sockets_left_out(tmp_path: Path) -> None:
    write(tmp_path, {"Dockerfile": ""})
    (tmp_path / "link").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "fifo")

    with tarfile.open(fileobj=io.BytesIO(packed(tmp_path))) as archive:
        assert archive.getnames() == ["Dockerfile", "link"]
        assert archive.getmember("link").linkname == "/etc/passwd"


@pytest.mark.parametrize(("name", "tag"), [("My_Model", "my-model"), ("a__", "a"), ("___", "image"), ("iris", "iris")])
def test_repositories_are_what_engines_allow(name: str, tag: str) -> None:
    assert repository(name) == tag


def test_an_engine_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    with pytest.raises(EngineUnreachable, match=r"none\.sock"):
        build(write(tmp_path, {"Dockerfile": ""}), "x", engine=f"unix://{tmp_path}/none.sock")


@pytest.fixture(params=["podman", "docker"])
def engine(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(f"{request.param}_engine")
    return url


@pytest.mark.engine
@pytest.mark.slow
def test_a_folder_becomes_an_image_named_by_its_content(engine: str, tmp_path: Path) -> None:
    folder = write(tmp_path, {"Dockerfile": "ARG BASE\nFROM ${BASE}\nCOPY . /ctx\nRUN echo done > /made\n"})
    lines: list[str] = []

    first = build(folder, "Some_Model", engine=engine, build_args={"BASE": BASE_IMAGE}, on_line=lines.append)
    again = build(folder, "Some_Model", engine=engine, build_args={"BASE": BASE_IMAGE})
    (folder / "more").write_text("x")
    other = build(folder, "Some_Model", engine=engine, build_args={"BASE": BASE_IMAGE})

    assert first == again != other
    assert first.tag.startswith("localhost/some-model:")
    assert first.engine in ("podman", "docker")
    assert any("RUN echo done" in line for line in lines)
    fetch(first.tag, engine=engine)


@pytest.mark.engine
@pytest.mark.slow
def test_a_build_that_fails_ends_with_its_last_lines(engine: str, tmp_path: Path) -> None:
    folder = write(tmp_path, {"Dockerfile": f"FROM {BASE_IMAGE}\nRUN echo the cause && exit 7\n"})

    with pytest.raises(ImageBuildFailed, match="the cause"):
        build(folder, "x", engine=engine)
    (folder / "Dockerfile").write_text("NONSENSE")
    with pytest.raises(ImageBuildFailed):
        build(folder, "x", engine=engine)


@pytest.mark.engine
@pytest.mark.slow
def test_an_image_that_cannot_be_had_is_not_found(engine: str) -> None:
    with pytest.raises(ImageNotFound, match=r"registry\.invalid"):
        fetch("registry.invalid/absent:1", engine=engine)
