"""Single files over HTTP, from a real server on loopback."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import anyio
import pytest

from modelport.artifacts.base import ArtifactLimits
from modelport.core.errors import (
    ArtifactNotFound,
    ArtifactRefused,
    ArtifactStoreUnavailable,
    ArtifactUnauthorized,
    InvalidArgument,
)
from tests.artifacts.conftest import MakeCache
from tests.ports import free_port

pytestmark = pytest.mark.anyio

Answer = Callable[[BaseHTTPRequestHandler], None]


class Site:
    """A web server with one answer for each path."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.answers: dict[str, Answer] = {}
        self.release = threading.Event()
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                site.requests.append(self.path)
                try:
                    site.answers.get(self.path, status(404))(self)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def status(code: int, **headers: str) -> Answer:
    return body(b"", code=code, **headers)


def body(data: bytes, *, code: int = 200, **headers: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(code)
        request.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(data)

    return answer


def chunks(*parts: bytes) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        for part in (*parts, b""):
            request.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))

    return answer


@pytest.fixture
def site() -> Iterator[Site]:
    server = Site()
    yield server
    server.close()


async def test_a_file_is_copied_under_its_name(site: Site, make_cache: MakeCache) -> None:
    site.answers["/a/my%20model.bin?sig=x%2Fy"] = body(b"weights", ETag='"1"')
    cache = make_cache()

    artifact = await cache.fetch(f"{site.url}/a/my%20model.bin?sig=x%2Fy")

    assert [(path.name, path.read_bytes()) for path in artifact.path.iterdir()] == [("my model.bin", b"weights")]
    assert (artifact.files, artifact.bytes) == (1, 7)


async def test_a_file_that_the_server_tags_is_not_read_twice(site: Site, make_cache: MakeCache) -> None:
    site.answers["/m"] = body(b"weights", ETag='"1"')
    cache = make_cache()
    first = await cache.fetch(f"{site.url}/m")
    site.requests.clear()

    assert await cache.fetch(f"{site.url}/m") == first
    assert len(site.requests) == 1


async def test_a_file_without_a_tag_is_read_each_time(site: Site, make_cache: MakeCache) -> None:
    site.answers["/m"] = body(b"old")
    cache = make_cache()
    await cache.fetch(f"{site.url}/m")
    site.answers["/m"] = body(b"new")

    assert (await cache.fetch(f"{site.url}/m")).path.joinpath("m").read_bytes() == b"new"


async def test_a_file_of_unknown_size_is_copied(site: Site, make_cache: MakeCache) -> None:
    site.answers["/m"] = chunks(b"wei", b"ghts")

    artifact = await make_cache().fetch(f"{site.url}/m")

    assert artifact.path.joinpath("m").read_bytes() == b"weights"
    assert artifact.bytes == 7


async def test_a_file_of_unknown_size_is_bounded(site: Site, make_cache: MakeCache, tmp_path: Path) -> None:
    site.answers["/m"] = chunks(*[b"x" * 1_000_000] * 20)

    with pytest.raises(ArtifactRefused, match="more than 3,000,000 bytes"):
        await make_cache(limits=ArtifactLimits(bytes=3_000_000)).fetch(f"{site.url}/m")

    assert list((tmp_path / "cache/incoming").iterdir()) == []


async def test_a_file_that_is_too_large_is_refused_at_once(site: Site, make_cache: MakeCache) -> None:
    site.answers["/m"] = body(b"x" * 101)

    with pytest.raises(ArtifactRefused, match="has 101 bytes; at most 100"):
        await make_cache(limits=ArtifactLimits(bytes=100)).fetch(f"{site.url}/m")


async def test_a_redirect_is_followed(site: Site, make_cache: MakeCache) -> None:
    site.answers["/m"] = status(302, Location="/elsewhere")
    site.answers["/elsewhere"] = body(b"weights")

    artifact = await make_cache().fetch(f"{site.url}/m")

    assert artifact.path.joinpath("m").read_bytes() == b"weights"


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (401, ArtifactUnauthorized),
        (403, ArtifactUnauthorized),
        (404, ArtifactNotFound),
        (410, ArtifactNotFound),
        (429, ArtifactStoreUnavailable),
        (500, ArtifactStoreUnavailable),
    ],
)
async def test_an_answer_without_a_file_is_told(
    code: int, error: type[Exception], site: Site, make_cache: MakeCache
) -> None:
    site.answers["/m?sig=secret"] = status(code)

    with pytest.raises(error, match=str(code)) as caught:
        await make_cache().fetch(f"{site.url}/m?sig=secret")

    assert "secret" not in str(caught.value)


async def test_an_endless_redirect_is_told(site: Site, make_cache: MakeCache) -> None:
    site.answers["/m"] = status(302, Location="/m")

    with pytest.raises(ArtifactStoreUnavailable):
        await make_cache().fetch(f"{site.url}/m")


async def test_an_absent_server_is_told_within_seconds(make_cache: MakeCache) -> None:
    with anyio.fail_after(30), pytest.raises(ArtifactStoreUnavailable):
        await make_cache().fetch(f"http://127.0.0.1:{free_port()}/m")


async def test_a_connection_that_breaks_off_is_no_whole_file(site: Site, make_cache: MakeCache, tmp_path: Path) -> None:
    def broken(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "100")
        request.end_headers()
        request.wfile.write(b"half")
        request.close_connection = True

    site.answers["/m"] = broken

    with pytest.raises(ArtifactStoreUnavailable):
        await make_cache().fetch(f"{site.url}/m")

    assert not (tmp_path / "cache/trees").exists()


async def test_a_stalled_server_is_given_up(site: Site, make_cache: MakeCache) -> None:
    def stalled(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "100")
        request.end_headers()
        request.wfile.write(b"half")
        request.close_connection = True
        request.wfile.flush()
        site.release.wait()

    site.answers["/m"] = stalled

    with anyio.fail_after(30), pytest.raises(ArtifactStoreUnavailable):
        await make_cache(stall_timeout_s=0.3).fetch(f"{site.url}/m")


@pytest.mark.parametrize("host", ["exa mple.com", "xn--\u0080", "\u2603" * 300, "a..b", "[v1.x]"])
async def test_a_host_that_is_no_name_is_refused_or_unreachable(host: str, make_cache: MakeCache) -> None:
    with pytest.raises((InvalidArgument, ArtifactStoreUnavailable)):
        await make_cache().fetch(f"http://{host}/m")
