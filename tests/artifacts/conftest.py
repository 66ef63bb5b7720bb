"""The stores that artifacts are copied from in these tests, and a cache to copy them into."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from modelport.artifacts.base import ArtifactLimits
from modelport.artifacts.cache import ArtifactCache
from tests.artifacts import servers
from tests.artifacts.servers import Bucket, CrookedStore

MakeCache = Callable[..., ArtifactCache]
_numbers = itertools.count()


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    with servers.s3_server() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def gcs_endpoint() -> Iterator[str]:
    with servers.gcs_server() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def azure_endpoint(request: pytest.FixtureRequest) -> Iterator[str]:
    assert request.config.cache is not None
    with servers.azure_server(request.config.cache.mkdir("azurite")) as endpoint:
        yield endpoint


@pytest.fixture
def s3(s3_endpoint: str) -> Bucket:
    return servers.s3_bucket(s3_endpoint, f"bucket-{next(_numbers)}")


@pytest.fixture
def gcs(gcs_endpoint: str) -> Bucket:
    return servers.gcs_bucket(gcs_endpoint, f"bucket-{next(_numbers)}")


@pytest.fixture
def azure(azure_endpoint: str) -> Bucket:
    return servers.azure_bucket(azure_endpoint, f"container-{next(_numbers)}")


@pytest.fixture
def folder(tmp_path: Path) -> Bucket:
    root = tmp_path / "source"
    root.mkdir()

    def put(name: str, body: bytes) -> None:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)

    return Bucket(str(root), put)


@pytest.fixture(params=["folder", "s3", "gcs", pytest.param("azure", marks=pytest.mark.slow)])
def bucket(request: pytest.FixtureRequest) -> Bucket:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Bucket)
    return found


@pytest.fixture
def crooked() -> Iterator[CrookedStore]:
    store = CrookedStore()
    yield store
    store.close()


@pytest.fixture
def make_cache(tmp_path: Path) -> MakeCache:
    def make(
        environ: Mapping[str, str] | None = None, *, limits: ArtifactLimits | None = None, **options: object
    ) -> ArtifactCache:
        settings: dict[str, object] = {"stall_timeout_s": 5, "young_s": 0, "local_roots": (Path("/"),)} | options
        return ArtifactCache(tmp_path / "cache", limits or ArtifactLimits(), environ or {}, **settings)  # type: ignore[arg-type]

    return make
