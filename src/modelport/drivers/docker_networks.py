"""Internal networks of an engine: what joins one can be reached from this machine and reaches nothing outside."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiodocker
import aiodocker.networks
import aiohttp
import anyio

from modelport.core.errors import FailedPrecondition
from modelport.drivers.docker_errors import translating

_CALL = aiohttp.ClientTimeout(total=30, sock_connect=5)


@asynccontextmanager
async def internal_network(host: str, name: str) -> AsyncIterator[str]:
    """Make a network without a way out, and remove it in the end; give its name.

    Containers that are still in it by then are cut off. Ports that they publish do not work there:
    `DockerDriver(network=name, publish=False)` reaches them at their own addresses.

    Args:
        host: URL of the engine.
        name: of the network; on one engine there must be none of this name.

    Raises:
        FailedPrecondition: the engine cannot make one, or has one of this name.
        EngineUnreachable: it may work later.
    """
    async with aiodocker.Docker(url=host, timeout=_CALL) as client:
        network = await _create(client, host, name)
        try:
            yield name
        finally:
            with anyio.CancelScope(shield=True):
                await _remove(network, host, name)


async def _create(client: aiodocker.Docker, host: str, name: str) -> aiodocker.networks.DockerNetwork:
    # A name that is taken: 409 from Docker, 500 from Podman.
    statuses = dict.fromkeys((400, 403, 409, 500), FailedPrecondition)
    with translating(host, statuses, doing=f"make network `{name}`"):
        return await client.networks.create(
            {"Name": name, "Driver": "bridge", "Internal": True, "CheckDuplicate": True}
        )


async def _remove(network: aiodocker.networks.DockerNetwork, host: str, name: str) -> None:
    with translating(host, {403: FailedPrecondition, 409: FailedPrecondition}, doing=f"remove network `{name}`"):
        try:
            for container in (await network.show()).get("Containers") or {}:
                await network.disconnect({"Container": container, "Force": True})
            await network.delete()
        except aiodocker.DockerError as error:
            if error.status != 404:
                raise
