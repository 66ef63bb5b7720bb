"""The workspace: a driver, a cache and a folder that belong to one check and are gone with it."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from modelport.artifacts.cache import ArtifactCache
from modelport.build import build_artifacts, build_driver, build_runtimes
from modelport.control.runtimes import Runtimes
from modelport.core.errors import EngineUnreachable
from modelport.drivers.base import Driver
from modelport.engine_socket import engine_socket
from modelport.settings import Settings

_PATHS = ("/", "file://")


@dataclass(frozen=True)
class Workspace:
    """What a check runs on."""

    driver: Driver
    artifacts: ArtifactCache
    runtimes: Runtimes
    directory: Path


@asynccontextmanager
async def workspace(settings: Settings, image: str, *, driver: str, egress: bool) -> AsyncIterator[Workspace]:
    """Make a workspace whose driver can run `image`; nothing in it is seen by a running platform, or sees one.

    Args:
        settings: limits and the engine's socket; of the data directory, only environments are shared.
        image: a folder is run by the process driver where `driver` is auto, anything else by an engine; empty for a
            version of files, which an engine runs where there is one.
        driver: auto, docker, process or fake.
        egress: whether a container may open connections to the outside.

    Raises:
        EngineUnreachable: the image needs an engine, and none was found.
    """
    name = driver
    engine = engine_socket(settings.docker_host, os.environ)
    if name == "auto":
        name = "process" if image.startswith(_PATHS) or not (image or engine) else "docker"
    if name == "docker" and engine is None:
        raise EngineUnreachable(
            "No container engine was found", hint="Start Docker or Podman, or name its socket in DOCKER_HOST"
        )
    async with AsyncExitStack() as stack:
        # Short, for sockets may lie below it.
        temporary = tempfile.TemporaryDirectory(prefix="mp-check-", ignore_cleanup_errors=True)
        directory = Path(stack.enter_context(temporary))
        # Environments take long to build, and what they are called says all that is in them: they are shared.
        update = {"data_dir": directory, "driver": name, "environment_dir": settings.environments}
        own = settings.model_copy(update=update)
        artifacts = build_artifacts(own)
        installation = f"check-{secrets.token_hex(4)}"
        network = ""
        if name == "docker" and engine is not None and not egress:
            from modelport.drivers.docker_networks import internal_network

            network = await stack.enter_async_context(internal_network(engine, f"modelport-{installation}"))
        made = build_driver(own, installation, artifacts, network=network)
        stack.push_async_callback(made.close)
        yield Workspace(made, artifacts, build_runtimes(own, artifacts), directory)
