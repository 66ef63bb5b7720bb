"""Image folders of the process driver."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from modelport.artifacts.base import ArtifactLimits
from modelport.core.errors import ArtifactNotFound, ArtifactRefused, InvalidArgument
from tests.artifacts.conftest import MakeCache

pytestmark = pytest.mark.anyio


@pytest.fixture
def image(tmp_path: Path) -> Path:
    folder = tmp_path / "image"
    (folder / "venv/bin").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "main.py").write_text("print('hello')")
    (folder / "start").write_text("#!/bin/sh\n")
    (folder / "start").chmod(0o750)
    (folder / "venv/bin/python").symlink_to("/usr/bin/python3")
    (folder / "venv/lib64").symlink_to("lib")
    return folder


async def test_links_modes_and_empty_folders_are_kept(image: Path, make_cache: MakeCache) -> None:
    kept = await make_cache().keep_folder(image)

    assert (kept.path / "venv/bin/python").readlink() == Path("/usr/bin/python3")
    assert (kept.path / "venv/lib64").readlink() == Path("lib")
    assert (kept.path / "main.py").read_text() == "print('hello')"
    modes = {
        name: stat.S_IMODE((kept.path / name).stat().st_mode) for name in ("main.py", "start", "empty", "venv/bin")
    }
    assert modes == {"main.py": 0o444, "start": 0o555, "empty": 0o555, "venv/bin": 0o555}
    assert (kept.files, kept.bytes) == (4, 24)


async def test_a_kept_folder_is_found_and_pruned_as_an_artifact(
    image: Path, make_cache: MakeCache, tmp_path: Path
) -> None:
    cache = make_cache()
    kept = await cache.keep_folder(image)

    assert cache.open(kept.digest) == kept
    assert await cache.keep_folder(image) == kept
    assert await cache.prune(frozenset({kept.digest})) == 0
    assert await cache.prune(frozenset()) == 24
    assert cache.open(kept.digest) is None
    assert list((tmp_path / "cache/incoming").iterdir()) == []


async def test_git_and_compiled_python_are_left_out(image: Path, make_cache: MakeCache) -> None:
    before = await make_cache().keep_folder(image)
    for folder in (".git", "__pycache__", "venv/__pycache__"):
        (image / folder).mkdir()
        (image / folder / "x").write_bytes(b"1")

    assert await make_cache().keep_folder(image) == before


async def test_the_digest_covers_contents_modes_and_links(image: Path, make_cache: MakeCache) -> None:
    cache = make_cache()
    digests = [(await cache.keep_folder(image)).digest]

    (image / "main.py").write_text("print('hullo')")
    digests.append((await cache.keep_folder(image)).digest)
    (image / "main.py").chmod(0o755)
    digests.append((await cache.keep_folder(image)).digest)
    (image / "venv/lib64").unlink()
    (image / "venv/lib64").symlink_to("lib32")
    digests.append((await cache.keep_folder(image)).digest)
    (image / "empty").rmdir()
    digests.append((await cache.keep_folder(image)).digest)

    assert len(set(digests)) == 5


async def test_a_file_and_a_link_of_the_same_text_differ(tmp_path: Path, make_cache: MakeCache) -> None:
    for name in ("file", "link"):
        (tmp_path / name).mkdir()
    (tmp_path / "file/a").write_text("b")
    (tmp_path / "link/a").symlink_to("b")
    cache = make_cache()

    assert (await cache.keep_folder(tmp_path / "file")).digest != (await cache.keep_folder(tmp_path / "link")).digest


async def test_a_folder_over_its_limits_is_refused_with_numbers(image: Path, make_cache: MakeCache) -> None:
    with pytest.raises(ArtifactRefused) as caught:
        await make_cache().keep_folder(image, limits=ArtifactLimits(files=3, bytes=23))

    assert [violation.description for violation in caught.value.violations] == [
        f"`{image}` has 4 files; at most 3",
        f"`{image}` has 24 bytes; at most 23",
    ]


async def test_names_that_artifacts_may_not_have_are_fine_in_an_image(image: Path, make_cache: MakeCache) -> None:
    for name in (b"back\\slash", b"line\nfeed", b"\xff"):
        (image / os.fsdecode(name)).write_bytes(b"1")

    kept = await make_cache().keep_folder(image)

    assert {os.fsencode(path.name) for path in kept.path.iterdir()} > {b"back\\slash", b"line\nfeed", b"\xff"}


async def test_a_pipe_is_refused(image: Path, make_cache: MakeCache) -> None:
    os.mkfifo(image / "pipe")

    with pytest.raises(ArtifactRefused, match="`pipe` is neither"):
        await make_cache().keep_folder(image)


async def test_what_is_no_folder_is_told(image: Path, make_cache: MakeCache, tmp_path: Path) -> None:
    (tmp_path / "void").mkdir()
    for path in (image / "main.py", tmp_path / "none", tmp_path / "void"):
        with pytest.raises(ArtifactNotFound):
            await make_cache().keep_folder(path)
    with pytest.raises(InvalidArgument, match="lies outside"):
        await make_cache(local_roots=(tmp_path / "void",)).keep_folder(image)


async def test_a_folder_of_many_files_is_kept(tmp_path: Path, make_cache: MakeCache) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(100):
        (folder / str(number)).write_bytes(b"1")

    assert (await make_cache().keep_folder(folder)).files == 100
