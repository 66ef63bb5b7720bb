"""Folders of this machine: what they may hold, and where they may lie."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from modelport.artifacts.base import ArtifactLimits, Progress
from modelport.artifacts.cache import ArtifactCache
from modelport.core.errors import (
    ArtifactNotFound,
    ArtifactRefused,
    ArtifactStoreUnavailable,
    InvalidArgument,
    NoSpace,
)
from tests.artifacts.conftest import MakeCache
from tests.conftest import missing

pytestmark = pytest.mark.anyio


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.bin").write_bytes(b"weights")
    return folder


async def test_a_link_inside_of_the_folder_is_copied_as_what_it_names(root: Path, make_cache: MakeCache) -> None:
    (root / "v1").mkdir()
    (root / "v1/a").write_bytes(b"1")
    (root / "latest").symlink_to("v1")
    (root / "same").symlink_to(root / "model.bin")

    artifact = await make_cache().fetch(str(root))

    assert sorted(str(path.relative_to(artifact.path)) for path in artifact.path.rglob("*") if path.is_file()) == [
        "latest/a",
        "model.bin",
        "same",
        "v1/a",
    ]
    assert not any(path.is_symlink() for path in artifact.path.rglob("*"))


async def test_the_uri_itself_may_be_a_link(root: Path, make_cache: MakeCache, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(root)

    assert (await make_cache().fetch(str(tmp_path / "current"))).files == 1


@pytest.mark.parametrize("target", ["/etc/passwd", "/etc", "../outside", "gone", "loop"])
async def test_a_link_that_leaves_the_folder_is_refused_by_name(
    target: str, root: Path, make_cache: MakeCache, tmp_path: Path
) -> None:
    (tmp_path / "outside").mkdir()
    (root / "sub").mkdir()
    (root / "sub/loop").symlink_to("loop")
    (root / "sub/loop").unlink()
    (root / "sub/link").symlink_to(target if target != "loop" else "link")

    with pytest.raises(ArtifactRefused, match="sub/link"):
        await make_cache().fetch(str(root))


async def test_a_link_to_a_folder_above_is_refused(root: Path, make_cache: MakeCache) -> None:
    (root / "a/b").mkdir(parents=True)
    (root / "a/b/up").symlink_to(root / "a")

    with pytest.raises(ArtifactRefused, match="leads back"):
        await make_cache().fetch(str(root))


async def test_what_is_no_file_is_refused(root: Path, make_cache: MakeCache) -> None:
    os.mkfifo(root / "pipe")
    with anyio.fail_after(20), pytest.raises(ArtifactRefused, match="`pipe` is a named pipe"):
        await make_cache().fetch(str(root))
    with anyio.fail_after(20), pytest.raises(ArtifactRefused, match="named pipe"):
        await make_cache().fetch(str(root / "pipe"))

    (root / "pipe").unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "s"))
        with pytest.raises(ArtifactRefused, match="`s` is a socket"):
            await make_cache().fetch(str(root))


async def test_a_name_with_a_line_feed_or_backslash_is_refused(root: Path, make_cache: MakeCache) -> None:
    (root / "a\nb").write_bytes(b"")
    (root / "c\\d").write_bytes(b"")
    (root / os.fsdecode(b"\xff")).write_bytes(b"")

    with pytest.raises(ArtifactRefused) as caught:
        await make_cache().fetch(str(root))

    assert len(caught.value.violations) == 3
    assert "\n" not in caught.value.message
    caught.value.message.encode()


async def test_folders_that_go_on_and_on_are_refused(root: Path, make_cache: MakeCache) -> None:
    (root / "/".join("d" * 210)).mkdir(parents=True)

    for fetch in (make_cache().fetch(str(root)), make_cache().keep_folder(root)):
        with pytest.raises(ArtifactRefused, match="more than 200 folders inside of one another"):
            await fetch


async def test_an_empty_folder_is_not_found(tmp_path: Path, make_cache: MakeCache) -> None:
    (tmp_path / "empty/sub").mkdir(parents=True)

    with pytest.raises(ArtifactNotFound, match="has no files"):
        await make_cache().fetch(str(tmp_path / "empty"))


async def test_only_local_roots_may_be_read(root: Path, make_cache: MakeCache, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "link").symlink_to(root)
    cache = make_cache(local_roots=(other,))

    for uri in (str(root), str(other / "link"), f"{tmp_path}/otherwise", str(tmp_path)):
        with pytest.raises((InvalidArgument, ArtifactNotFound)):
            await cache.fetch(uri)
    with pytest.raises(InvalidArgument, match="lies outside of the folders") as caught:
        await cache.fetch(str(root))
    assert str(other) in caught.value.message


@pytest.mark.parametrize("uri", ["/proc/self", "/sys", "/dev", "/dev/zero", "/", "/proc/self/root/etc"])
async def test_what_the_kernel_makes_up_is_not_read(uri: str, make_cache: MakeCache) -> None:
    limits = ArtifactLimits(files=1, bytes=1)
    with anyio.fail_after(20), pytest.raises((InvalidArgument, ArtifactRefused)):
        await make_cache(limits=limits).fetch(uri)


async def test_the_data_directory_is_not_copied(root: Path, make_cache: MakeCache, tmp_path: Path) -> None:
    cache = make_cache(forbidden=(root,))
    artifact_path = tmp_path / "cache/trees"
    artifact_path.mkdir(parents=True)

    for uri in (root, root / "model.bin", tmp_path, artifact_path):
        with pytest.raises(InvalidArgument, match="does not copy"):
            await cache.fetch(str(uri))


async def test_a_file_replaced_by_a_link_after_listing_is_not_followed(
    root: Path, make_cache: MakeCache, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_bytes(b"secret!")
    for number in range(100):
        (root / f"{number:03}").write_bytes(b"x" * 100_000)

    def replace(progress: Progress) -> None:
        if not (root / "model.bin").is_symlink():
            (root / "model.bin").unlink()
            (root / "model.bin").symlink_to(tmp_path / "secret")

    with pytest.raises((ArtifactStoreUnavailable, ArtifactRefused)):
        await make_cache().fetch(str(root), progress=replace)

    assert not (tmp_path / "cache/trees").exists()


async def test_a_file_that_grows_during_the_copy_is_a_changed_source(
    root: Path, make_cache: MakeCache, tmp_path: Path
) -> None:
    (root / "model.bin").write_bytes(b"x" * 5_000_000)

    def grow(progress: Progress) -> None:
        with (root / "model.bin").open("ab") as file:
            file.write(b"y")

    with pytest.raises(ArtifactStoreUnavailable, match="changed while it was copied"):
        await make_cache().fetch(str(root), progress=grow)


def test_an_unreadable_file_is_unauthorized(root: Path, tmp_path: Path) -> None:
    (root / "model.bin").chmod(0o000)
    code = (
        "import anyio, os, sys; from pathlib import Path\n"
        "from modelport.artifacts.base import ArtifactLimits\n"
        "from modelport.artifacts.cache import ArtifactCache\n"
        "from modelport.core.errors import ArtifactUnauthorized\n"
        "async def main():\n"
        "    cache = ArtifactCache(Path(sys.argv[2]), ArtifactLimits(), {}, (Path('/'),))\n"
        "    os.getuid() or os.setuid(65534)\n"  # Root may read everything.
        "    try: await cache.fetch(sys.argv[1])\n"
        "    except ArtifactUnauthorized as error: print(error.message, '|', error.hint)\n"
        "anyio.run(main)\n"
    )
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o777 if folder == tmp_path else 0o755)

    done = subprocess.run(
        [sys.executable, "-c", code, root, tmp_path / "cache"], capture_output=True, text=True, check=False
    )

    assert done.stderr == ""
    assert "may not be read" in done.stdout
    assert "chmod" in done.stdout


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of two megabytes."""
    mounted = tmp_path / "disk"
    mounted.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(mounted)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        missing("mounting a small disk takes root")
    yield mounted
    subprocess.run(["umount", "-l", mounted], check=True)


def cache_on(disk: Path, **options: object) -> ArtifactCache:
    return ArtifactCache(disk / "cache", ArtifactLimits(), {}, (Path("/"),), **options)  # type: ignore[arg-type]


async def test_a_tree_larger_than_the_disk_is_refused_before_it_is_copied(root: Path, small_disk: Path) -> None:
    (root / "model.bin").write_bytes(b"x" * 3_000_000)

    seen: list[Progress] = []

    with pytest.raises(NoSpace, match=r"needs 3,000,000 bytes more; its disk has [\d,]+ free") as caught:
        await cache_on(small_disk).fetch(str(root), progress=seen.append)

    assert seen == []
    assert caught.value.metadata["needed_bytes"] == "3000000"
    assert list((small_disk / "cache/incoming").iterdir()) == []


async def test_a_disk_that_fills_up_meanwhile_is_left_clean(root: Path, small_disk: Path) -> None:
    for number in range(10):
        (root / str(number)).write_bytes(b"x" * 150_000)
    cache = cache_on(small_disk)

    def fill(progress: Progress) -> None:
        if not (small_disk / "filler").exists():
            with (small_disk / "filler").open("wb", buffering=0) as filler:
                try:
                    while filler.write(b"f" * 4096):
                        pass
                except OSError:
                    pass

    with pytest.raises(NoSpace):
        await cache.fetch(str(root), progress=fill)

    assert list((small_disk / "cache/incoming").iterdir()) == []
    assert not (small_disk / "cache/trees").exists()
    (small_disk / "filler").unlink()
    assert (await cache.fetch(str(root))).files == 11


async def test_an_image_folder_larger_than_the_disk_is_refused(root: Path, small_disk: Path) -> None:
    (root / "model.bin").write_bytes(b"x" * 3_000_000)

    with pytest.raises(NoSpace):
        await cache_on(small_disk).keep_folder(root)

    assert list((small_disk / "cache/incoming").iterdir()) == []
