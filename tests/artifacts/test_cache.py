"""The cache over every store: what is copied, what is refused, what is found again and what is removed."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import anyio
import pytest
from blockbuster import blockbuster_ctx

from modelport.artifacts.base import Artifact, ArtifactLimits, Progress
from modelport.core.errors import ArtifactNotFound, ArtifactRefused, InvalidArgument
from tests.artifacts.conftest import MakeCache
from tests.artifacts.servers import Bucket

pytestmark = pytest.mark.anyio


def contents(artifact: Artifact) -> dict[str, bytes]:
    return {str(p.relative_to(artifact.path)): p.read_bytes() for p in artifact.path.rglob("*") if p.is_file()}


def leftovers(cache: Path) -> list[str]:
    return sorted(str(path.relative_to(cache / "incoming")) for path in (cache / "incoming").rglob("*"))


async def test_a_folder_is_copied_whole(bucket: Bucket, make_cache: MakeCache, tmp_path: Path) -> None:
    bucket.put("m/model.bin", b"x" * 300_000)
    bucket.put("m/sub/deep/ü b%20c+d.txt", b"text")
    bucket.put("m/empty", b"")
    bucket.put("mm/other", b"not this one")

    artifact = await make_cache(bucket.environ).fetch(f"{bucket.root}/m")

    assert contents(artifact) == {"model.bin": b"x" * 300_000, "sub/deep/ü b%20c+d.txt": b"text", "empty": b""}
    assert (artifact.files, artifact.bytes) == (3, 300_004)
    assert leftovers(tmp_path / "cache") == []


async def test_one_file_becomes_a_tree_of_one_file(bucket: Bucket, make_cache: MakeCache) -> None:
    bucket.put("m/model.bin", b"weights")

    artifact = await make_cache(bucket.environ).fetch(f"{bucket.root}/m/model.bin")

    assert contents(artifact) == {"model.bin": b"weights"}


async def test_a_whole_bucket_can_be_named(bucket: Bucket, make_cache: MakeCache) -> None:
    bucket.put("model.bin", b"weights")

    artifact = await make_cache(bucket.environ).fetch(bucket.root)

    assert contents(artifact) == {"model.bin": b"weights"}


async def test_what_is_not_there_is_told(bucket: Bucket, make_cache: MakeCache) -> None:
    bucket.put("m/model.bin", b"weights")

    for name in ("none", "none/", "m/model", "m/model.bin.old"):
        with pytest.raises(ArtifactNotFound) as caught:
            await make_cache(bucket.environ).fetch(f"{bucket.root}/{name}")
        assert f"{bucket.root}/{name}" in caught.value.message
        assert caught.value.hint


# The emulator of Google's store answers 500 here, where the service itself answers 404.
@pytest.mark.parametrize("store", ["folder", "s3", pytest.param("azure", marks=pytest.mark.slow)])
async def test_a_missing_bucket_is_told(store: str, make_cache: MakeCache, request: pytest.FixtureRequest) -> None:
    bucket: Bucket = request.getfixturevalue(store)

    with pytest.raises(ArtifactNotFound):
        await make_cache(bucket.environ).fetch(f"{bucket.root}none/m")


async def test_limits_are_checked_before_anything_is_copied(
    bucket: Bucket, make_cache: MakeCache, tmp_path: Path
) -> None:
    for number in range(4):
        bucket.put(f"m/{number}", b"12345")

    with pytest.raises(ArtifactRefused) as caught:
        await make_cache(bucket.environ, limits=ArtifactLimits(files=3, bytes=19)).fetch(f"{bucket.root}/m")

    assert [violation.description for violation in caught.value.violations] == [
        f"`{bucket.root}/m` has 4 files; at most 3",
        f"`{bucket.root}/m` has 20 bytes; at most 19",
    ]
    assert not (tmp_path / "cache").exists()


async def test_the_digest_depends_on_paths_and_contents_alone(
    bucket: Bucket, make_cache: MakeCache, tmp_path: Path
) -> None:
    twin = tmp_path / "twin"
    (twin / "sub").mkdir(parents=True)
    for name, body in {"a": b"1", "sub/b": b"2"}.items():
        bucket.put(f"m/{name}", body)
        (twin / name).write_bytes(body)
    cache = make_cache(bucket.environ)
    artifact = await cache.fetch(f"{bucket.root}/m")

    assert await cache.fetch(str(twin)) == artifact
    (twin / "a").rename(twin / "c")
    assert (await cache.fetch(str(twin))).digest != artifact.digest
    (twin / "c").rename(twin / "a")
    (twin / "a").write_bytes(b"3")
    assert (await cache.fetch(str(twin))).digest != artifact.digest


async def test_a_changed_source_is_copied_again(bucket: Bucket, make_cache: MakeCache) -> None:
    cache = make_cache(bucket.environ)
    bucket.put("m/a", b"old")
    old = await cache.fetch(f"{bucket.root}/m")
    bucket.put("m/a", b"new")
    new = await cache.fetch(f"{bucket.root}/m")

    assert contents(old) == {"a": b"old"}
    assert contents(new) == {"a": b"new"}


async def test_a_tree_is_read_only_and_readable_for_everybody(folder: Bucket, make_cache: MakeCache) -> None:
    folder.put("m/secret/key", b"k")
    (Path(folder.root) / "m/secret/key").chmod(0o700)
    (Path(folder.root) / "m/secret").chmod(0o700)
    before = os.umask(0o077)
    try:
        artifact = await make_cache().fetch(f"{folder.root}/m")
    finally:
        os.umask(before)

    modes = {p.name: stat.S_IMODE(p.lstat().st_mode) for p in (artifact.path, *artifact.path.rglob("*"))}
    assert modes == {"files": 0o555, "secret": 0o555, "key": 0o444}
    assert stat.S_IMODE(artifact.path.parent.stat().st_mode) == 0o755


async def test_a_tree_is_opened_by_its_digest_alone(folder: Bucket, make_cache: MakeCache, tmp_path: Path) -> None:
    folder.put("m/a", b"1")
    cache = make_cache()
    artifact = await cache.fetch(f"{folder.root}/m")

    assert cache.open(artifact.digest) == artifact
    assert make_cache().open(artifact.digest) == artifact
    for wrong in ("0" * 64, "", "..", f"../trees/{artifact.digest}", artifact.digest.upper(), artifact.digest + "\n"):
        assert cache.open(wrong) is None


async def test_pruning_removes_what_is_not_kept(folder: Bucket, make_cache: MakeCache, tmp_path: Path) -> None:
    cache = make_cache()
    for name in "ab":
        folder.put(f"{name}/sub/file", name.encode() * 1000)
    kept, dropped = [await cache.fetch(f"{folder.root}/{name}") for name in "ab"]

    freed = await cache.prune(frozenset({kept.digest}))

    assert freed == 1000
    assert cache.open(kept.digest) == kept
    assert cache.open(dropped.digest) is None
    assert not dropped.path.exists()
    assert leftovers(tmp_path / "cache") == []
    assert await cache.fetch(f"{folder.root}/b") == dropped
    assert contents(dropped) == {"sub/file": b"b" * 1000}


async def test_pruning_an_empty_cache_frees_nothing(make_cache: MakeCache) -> None:
    assert await make_cache().prune(frozenset()) == 0


async def test_pruning_never_follows_a_link(folder: Bucket, make_cache: MakeCache, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir(mode=0o500)
    (precious / "file").write_bytes(b"1")
    folder.put("image/main.py", b"pass")
    (Path(folder.root) / "image/link").symlink_to(precious)
    cache = make_cache()
    await cache.keep_folder(Path(folder.root) / "image")

    await cache.prune(frozenset())

    assert (precious / "file").read_bytes() == b"1"
    assert stat.S_IMODE(precious.stat().st_mode) == 0o500


async def test_a_young_tree_survives_pruning(folder: Bucket, make_cache: MakeCache) -> None:
    folder.put("m/a", b"1")
    now = 1_000_000.0
    cache = make_cache(young_s=60, now=lambda: now)
    artifact = await cache.fetch(f"{folder.root}/m")
    now += 59
    assert await cache.prune(frozenset()) == 0
    # A second fetch makes it young again: somebody else may want it now.
    await cache.fetch(f"{folder.root}/m")
    now += 59
    assert await cache.prune(frozenset()) == 0
    now += 1
    assert await cache.prune(frozenset()) == 1
    assert cache.open(artifact.digest) is None


async def test_abandoned_copies_are_pruned_after_a_day(make_cache: MakeCache, tmp_path: Path) -> None:
    cache = make_cache()
    for name, age_s in (("old", 25 * 3600), ("fresh", 23 * 3600)):
        holder = tmp_path / "cache/incoming" / name
        (holder / "files").mkdir(parents=True)
        past = holder.stat().st_mtime - age_s
        os.utime(holder, (past, past))

    await cache.prune(frozenset())

    assert leftovers(tmp_path / "cache") == ["fresh", "fresh/files"]


async def test_two_fetches_at_once_copy_once(folder: Bucket, make_cache: MakeCache) -> None:
    folder.put("m/a", b"x" * 3_000_000)
    cache = make_cache()
    seen: list[Progress] = []
    found: list[Artifact] = []

    async def fetch() -> None:
        found.append(await cache.fetch(f"{folder.root}/m", progress=seen.append))

    async with anyio.create_task_group() as fetches:
        for _ in range(4):
            fetches.start_soon(fetch)

    assert len(found) == 4
    assert len(set(found)) == 1
    assert sum(progress.files for progress in seen) == 1
    assert cache._locks == {}


async def test_progress_is_told_seldom_and_at_the_end(folder: Bucket, make_cache: MakeCache) -> None:
    for number in range(200):
        folder.put(f"m/{number}", b"12345")
    seen: list[Progress] = []
    started = anyio.current_time()

    await make_cache().fetch(f"{folder.root}/m", progress=seen.append)

    assert seen[-1] == Progress(files=200, bytes=1000, total_files=200, total_bytes=1000)
    assert [p.bytes for p in seen] == sorted(p.bytes for p in seen)
    assert len(seen) <= 2 + 10 * (anyio.current_time() - started)


@pytest.mark.parametrize(
    "uri", ["", "model", "gcs://b/x", "s3://bucket/../x", "file:///../../etc", "file://other/etc", "gs://b\n/x"]
)
async def test_a_malformed_uri_changes_nothing(uri: str, make_cache: MakeCache, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument):
        await make_cache().fetch(uri)

    assert not (tmp_path / "cache").exists()


async def test_a_cancelled_copy_leaves_no_tree_and_can_go_on(folder: Bucket, make_cache: MakeCache) -> None:
    for number in range(5):
        folder.put(f"m/{number}", b"x" * 3_000_000)
    cache = make_cache()
    with anyio.CancelScope() as scope:
        await cache.fetch(f"{folder.root}/m", progress=lambda progress: scope.cancel())

    assert scope.cancelled_caught
    assert await cache.prune(frozenset()) == 0
    assert (await cache.fetch(f"{folder.root}/m")).files == 5


async def test_nothing_blocks_the_event_loop(bucket: Bucket, make_cache: MakeCache, tmp_path: Path) -> None:
    bucket.put("m/a", b"1" * 100_000)
    (tmp_path / "image").mkdir()
    (tmp_path / "image/main.py").write_bytes(b"pass")
    cache = make_cache(bucket.environ)

    with blockbuster_ctx():
        await cache.fetch(f"{bucket.root}/m", progress=lambda progress: None)
        await cache.keep_folder(tmp_path / "image")
        freed = await cache.prune(frozenset())

    assert freed == 100_004
