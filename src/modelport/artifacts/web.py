"""Copies the one file that an http:// or https:// URL names.

Archives are not unpacked, and addresses of private networks are allowed: in a self-hosted installation they are
where models usually are.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import anyio.to_thread
import httpx

from modelport.artifacts.disk import Part
from modelport.artifacts.failures import changed, translating
from modelport.artifacts.tree import Entry, Listing
from modelport.artifacts.uri import FIELD, ArtifactUri
from modelport.core.errors import InvalidArgument, Violation

_CONNECT_TIMEOUT_S = 2.0
_CONNECT_RETRIES = 2
_CHUNK_BYTES = 1024**2


class WebSource:
    """One file, streamed; its size is that of Content-Length, or known at the end."""

    def __init__(self, uri: ArtifactUri, *, threads: anyio.CapacityLimiter, stall_timeout_s: float) -> None:
        self._uri = uri
        self._threads = threads
        self._timeout = httpx.Timeout(stall_timeout_s, connect=_CONNECT_TIMEOUT_S)
        try:
            self._url = httpx.URL(uri.text)
        except httpx.InvalidURL as error:
            message = f"`{uri}` is no URL: {error}"
            raise InvalidArgument(message, violations=(Violation(FIELD, message),)) from error

    async def list(self, most_files: int) -> Listing:
        """Return the file with the size and tag that the server states."""
        # Not HEAD: signed URLs often allow GET alone.
        async with self._response() as response:
            return Listing((self._entry(response),))

    async def copy(self, entry: Entry, part: Part, wrote: Callable[[int], None]) -> bool:
        """Stream the file into `part`, after making sure that it is still the listed one."""
        async with self._response() as response:
            if self._entry(response) != entry:
                raise changed(self._uri, entry.path)
            chunks = aiter(response.aiter_bytes(_CHUNK_BYTES))
            while True:
                with translating(self._uri, self._uri.scheme):
                    chunk = await anext(chunks, b"")
                if not chunk:
                    return True
                await anyio.to_thread.run_sync(part.write, chunk, limiter=self._threads)
                wrote(len(chunk))

    @asynccontextmanager
    async def _response(self) -> AsyncIterator[httpx.Response]:
        transport = httpx.AsyncHTTPTransport(retries=_CONNECT_RETRIES)
        async with httpx.AsyncClient(transport=transport, timeout=self._timeout, follow_redirects=True) as client:
            # Compressed on the way, the size would be another.
            request = client.build_request("GET", self._url, headers={"Accept-Encoding": "identity"})
            with translating(self._uri, self._uri.scheme):
                response = await client.send(request, stream=True)
            try:
                with translating(self._uri, self._uri.scheme):
                    response.raise_for_status()
                yield response
            finally:
                with anyio.CancelScope(shield=True):
                    await response.aclose()

    def _entry(self, response: httpx.Response) -> Entry:
        length = response.headers.get("Content-Length", "")
        encoded = response.headers.get("Content-Encoding", "identity") != "identity"
        return Entry(
            key=self._uri.path,
            path=self._uri.path.rpartition("/")[2],
            size=int(length) if length.isdigit() and not encoded else None,
            tag=response.headers.get("ETag") or response.headers.get("Last-Modified", ""),
        )
