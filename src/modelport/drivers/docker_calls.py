"""Single calls of the engine's API for which its client has no method, over the client's own session."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiodocker
import aiohttp

_LIBPOD = "v4.0.0/libpod"  # Podman's own API; later versions still answer it


@asynccontextmanager
async def calling(
    client: aiodocker.Docker,
    method: str,
    path: str,
    params: Mapping[str, str] | None = None,
    *,
    libpod: bool = False,
) -> AsyncIterator[aiohttp.ClientResponse]:
    """Send one request and give its answer; with `libpod`, one of Podman's own.

    Raises:
        aiodocker.DockerError: the engine refused.
        aiohttp.ClientError: it cannot be reached.
    """
    if client.api_version == "auto":
        await client.version()  # settles it
    version = _LIBPOD if libpod else client.api_version
    async with client.session.request(method, f"{client.docker_host}/{version}/{path}", params=params) as response:
        if response.status >= 400:
            raise aiodocker.DockerError(response.status, (await response.text())[:1000])
        yield response
