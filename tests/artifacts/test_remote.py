"""What object stores do wrong, and what survives it."""

from __future__ import annotations

import sys
from pathlib import Path

import anyio
import pytest
from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends

from modelport.core.errors import (
    ArtifactNotFound,
    ArtifactRefused,
    ArtifactStoreUnavailable,
    ArtifactUnauthorized,
)
from tests.artifacts.conftest import MakeCache
from tests.artifacts.servers import Bucket, CrookedStore, s3_environ
from tests.ports import free_port

pytestmark = pytest.mark.anyio


async def test_a_prefix_of_many_pages_is_listed_whole(s3: Bucket, make_cache: MakeCache) -> None:
    backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
    for number in range(1003):
        backend.put_object(s3.root.removeprefix("s3://"), f"m/{number}", b"")

    with pytest.raises(ArtifactRefused, match=r"has 1,003 files; at most 1,000"):
        await make_cache(s3.environ).fetch(f"{s3.root}/m")


@pytest.mark.parametrize("key", ["m/../../etc/cron.d/x", "m//x", "m/./x"])
async def test_a_key_that_leaves_the_root_is_refused_by_name(key: str, s3: Bucket, make_cache: MakeCache) -> None:
    s3.put("m/a", b"1")
    s3.put(key, b"1")

    with pytest.raises(ArtifactRefused) as caught:
        await make_cache(s3.environ).fetch(f"{s3.root}/m")

    assert key in caught.value.message


async def test_keys_that_no_folder_can_hold_are_refused_together(
    crooked: CrookedStore, make_cache: MakeCache, tmp_path: Path
) -> None:
    crooked.objects = {"m/a": b"1", "m/a/b": b"1", "m/c\\d": b"1", "m/" + "x" * 300: b"1"}

    with pytest.raises(ArtifactRefused) as caught:
        await make_cache(crooked.environ).fetch("s3://bucket/m")

    told = " ".join(violation.description for violation in caught.value.violations)
    assert "`a` is a file and a folder at once" in told
    assert "has a backslash" in told
    assert "has a name of 300 bytes" in told
    assert crooked.reads == []
    assert not (tmp_path / "cache").exists()


async def test_marks_of_folders_are_ignored(s3: Bucket, make_cache: MakeCache) -> None:
    for key in ("m/", "m/empty/", "m/full/"):
        s3.put(key, b"")
    s3.put("m/full/a", b"1")

    artifact = await make_cache(s3.environ).fetch(f"{s3.root}/m")

    assert [str(path.relative_to(artifact.path)) for path in artifact.path.rglob("*")] == ["full", "full/a"]


async def test_a_prefix_of_nothing_but_marks_is_not_found(s3: Bucket, make_cache: MakeCache, tmp_path: Path) -> None:
    for key in ("m/", "m/empty/"):
        s3.put(key, b"")

    with pytest.raises(ArtifactNotFound):
        await make_cache(s3.environ).fetch(f"{s3.root}/m")

    assert list((tmp_path / "cache/incoming").iterdir()) == []


@pytest.mark.parametrize("status", [401, 403])
async def test_refused_credentials_are_told(status: int, crooked: CrookedStore, make_cache: MakeCache) -> None:
    crooked.status = status

    with pytest.raises(ArtifactUnauthorized) as caught:
        await make_cache(crooked.environ).fetch("s3://bucket/m")

    assert "AWS_ACCESS_KEY_ID" in caught.value.hint


async def test_a_failing_store_may_work_later(crooked: CrookedStore, make_cache: MakeCache) -> None:
    crooked.objects = {"m/a": b"1"}
    crooked.status = 503
    cache = make_cache(crooked.environ)

    with pytest.raises(ArtifactStoreUnavailable):
        await cache.fetch("s3://bucket/m")

    crooked.status = 0
    assert (await cache.fetch("s3://bucket/m")).files == 1


@pytest.mark.parametrize("scheme", ["s3", "gs", "az"])
async def test_an_absent_store_is_told_within_seconds(scheme: str, make_cache: MakeCache) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    environ = s3_environ(endpoint) | {
        "STORAGE_EMULATOR_HOST": endpoint,
        "AZURE_STORAGE_ENDPOINT": endpoint,
        "AZURE_STORAGE_ACCOUNT": "account",
        "AZURE_STORAGE_KEY": "a2V5",
    }

    with anyio.fail_after(30), pytest.raises(ArtifactStoreUnavailable) as caught:
        await make_cache(environ).fetch(f"{scheme}://bucket/m")

    assert caught.value.status().code.retryable


async def test_a_stalled_store_is_given_up_and_the_copy_goes_on_later(
    crooked: CrookedStore, make_cache: MakeCache
) -> None:
    crooked.objects = {"m/a": b"1" * 100, "m/b": b"2" * 100}
    crooked.stalled = {"m/b"}
    cache = make_cache(crooked.environ, stall_timeout_s=0.3)

    with anyio.fail_after(30), pytest.raises(ArtifactStoreUnavailable):
        await cache.fetch("s3://bucket/m")

    crooked.stalled = set()
    crooked.release.set()
    assert (await cache.fetch("s3://bucket/m")).bytes == 200
    assert crooked.reads.count("m/a") == 1


@pytest.mark.parametrize("size", [3, 5])
async def test_an_object_of_another_size_than_listed_is_a_changed_source(
    size: int, crooked: CrookedStore, make_cache: MakeCache
) -> None:
    crooked.objects = {"m/a": b"1" * size}
    crooked.truncated = {"m/a"}

    with pytest.raises(ArtifactStoreUnavailable, match="changed while it was copied: `a` is not what was listed"):
        await make_cache(crooked.environ).fetch("s3://bucket/m")


async def test_an_object_replaced_during_the_copy_is_a_changed_source(
    crooked: CrookedStore, make_cache: MakeCache, tmp_path: Path
) -> None:
    crooked.objects = {"m/a": b"1" * 100, **{f"m/b{n}": b"2" for n in range(30)}}
    crooked.stalled = {"m/a"}
    cache = make_cache(crooked.environ)
    failed = []

    async def fetch() -> None:
        with pytest.raises(ArtifactStoreUnavailable, match="changed while it was copied"):
            await cache.fetch("s3://bucket/m")
        failed.append(True)

    # Eight copies run at once; all of them wait, so that the ninth object can be replaced before it is read.
    crooked.stalled = set(sorted(crooked.objects)[:8])
    last = sorted(crooked.objects)[-1]
    async with anyio.create_task_group() as fetches:
        fetches.start_soon(fetch)
        with anyio.fail_after(20):
            while len(crooked.reads) < 8:
                await anyio.sleep(0.01)
        crooked.objects[last] = b"3"
        crooked.release.set()
    assert failed

    assert (await cache.fetch("s3://bucket/m")).files == 31
    assert len(list((tmp_path / "cache/incoming").iterdir())) == 0


async def test_a_killed_copy_goes_on_without_reading_finished_files_again(
    crooked: CrookedStore, make_cache: MakeCache, tmp_path: Path
) -> None:
    crooked.objects = {f"m/{number:02}": bytes([number]) * 1000 for number in range(20)}
    crooked.stalled = {"m/19"}
    code = (
        "import anyio, json, sys; from pathlib import Path\n"
        "from modelport.artifacts.base import ArtifactLimits\n"
        "from modelport.artifacts.cache import ArtifactCache\n"
        "cache = ArtifactCache(Path(sys.argv[1]), ArtifactLimits(), json.loads(sys.argv[2]), (Path('/'),))\n"
        "anyio.run(cache.fetch, 's3://bucket/m')\n"
    )
    environ = str(dict(crooked.environ)).replace("'", '"')
    command = [sys.executable, "-c", code, str(tmp_path / "cache"), environ]
    async with await anyio.open_process(command, stdout=None, stderr=None) as process:
        with anyio.fail_after(20):
            while len(list((tmp_path / "cache/incoming").glob("*/files/*"))) < 19 or "m/19" not in crooked.reads:
                assert process.returncode is None
                await anyio.sleep(0.02)
        process.kill()
    crooked.stalled = set()
    crooked.release.set()
    crooked.reads.clear()

    artifact = await make_cache(crooked.environ).fetch("s3://bucket/m")

    assert crooked.reads == ["m/19"]
    assert artifact.files == 20
    assert {path.read_bytes() for path in artifact.path.iterdir()} == set(crooked.objects.values())
    assert list((tmp_path / "cache/incoming").iterdir()) == []


async def test_a_known_tree_is_not_read_twice(crooked: CrookedStore, make_cache: MakeCache) -> None:
    crooked.objects = {"m/a": b"1", "m/b": b"2"}
    first = await make_cache(crooked.environ).fetch("s3://bucket/m")
    crooked.reads.clear()

    assert await make_cache(crooked.environ).fetch("s3://bucket/m") == first
    assert crooked.reads == []


async def test_a_copy_of_an_earlier_state_does_not_stay_on_the_disk(
    crooked: CrookedStore, make_cache: MakeCache, tmp_path: Path
) -> None:
    crooked.objects = {"m/a": b"1" * 100, "m/b": b"2" * 100}
    crooked.stalled = {"m/b"}
    cache = make_cache(crooked.environ, stall_timeout_s=0.2)
    for body in (b"3", b"4", b"5"):
        crooked.objects["m/a"] = body
        with pytest.raises(ArtifactStoreUnavailable):
            await cache.fetch("s3://bucket/m")

    assert len(list((tmp_path / "cache/incoming").iterdir())) == 1
