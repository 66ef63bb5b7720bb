"""Single calls of the engine's API for which its client has no method, over the client's own session."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiodocker
import aiohttp

_LIBPOD = "v4.0.0/libpod"  # Podman's own API; later versions still answer it
_TAR = {"content-type": "application/x-tar"}
_UNHURRIED = aiohttp.ClientTimeout(total=None, sock_connect=5)


async def settle_version(client: aiodocker.Docker) -> None:
    """Let the client know which version of the API it speaks; by itself it asks what takes Podman most of a second."""
    if client.api_version == "auto":
        async with client.session.get(f"{client.docker_host}/_ping") as response:
            version = response.headers.get("Api-Version", "")
        if version:
            client.api_version = f"v{version}"
        else:
            await client.version()


@asynccontextmanager
async def calling(
    client: aiodocker.Docker,
    method: str,
    path: str,
    params: Mapping[str, str] | Sequence[tuple[str, str]] | None = None,
    *,
    libpod: bool = False,
    archive: AsyncIterator[bytes] | None = None,
) -> AsyncIterator[aiohttp.ClientResponse]:
    """Send one request and give its answer; with `libpod`, one of Podman's own.

    With an `archive`, a tar file, it may take as long as it takes.

    Raises:
        aiodocker.DockerError: the engine refused.
        aiohttp.ClientError: it cannot be reached.
    """
    await settle_version(client)
    version = _LIBPOD if libpod else client.api_version
    url = f"{client.docker_host}/{version}/{path}"
    sent: dict[str, Any] = {"data": archive, "headers": _TAR, "timeout": _UNHURRIED} if archive is not None else {}
    async with client.session.request(method, url, params=params, **sent) as response:
        if response.status >= 400:
            raise aiodocker.DockerError(response.status, (await response.text())[:1000])
        yield response
