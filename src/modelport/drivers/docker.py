"""The docker driver: runs replicas as containers of an engine that speaks the Docker Engine API (Docker, Podman)."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any

import aiodocker
import aiohttp
import anyio
import anyio.to_thread

from modelport.core.environments import Environment
from modelport.core.errors import EngineUnreachable, Error, ImageNotFound, ReplicaCannotStart
from modelport.core.facts import HostFacts, ImageFacts, ReplicaFacts
from modelport.core.replicas import LogLine, Replica, ReplicaSpec
from modelport.drivers import docker_facts, docker_spec
from modelport.drivers.base import DriverHealth, DriverState
from modelport.drivers.docker_calls import settle_version
from modelport.drivers.docker_environment import EnvironmentImages, EnvironmentSettings
from modelport.drivers.docker_errors import translating
from modelport.drivers.docker_images import is_image_name, pin_image
from modelport.drivers.docker_logs import archive_log, forget_archived, read_container_logs
from modelport.drivers.docker_observer import DockerObserver
from modelport.drivers.docker_spec import ContainerSettings
from modelport.drivers.docker_streams import container_events

_HEALTH_S = 5
_FACTS_S = 10
_NAME_S = 10
_INSPECT_TRIES = 4
# An engine on a loaded machine takes its time; one that takes longer than this does not work.
_CALL = aiohttp.ClientTimeout(total=120, sock_connect=5)


class DockerDriver:
    """See `drivers.base.Driver`. Needs no connection to be made; use it as a context manager to close its own.

    Args:
        host: `unix://…` or `tcp://…`.
        installation: id of this modelport; it leaves alone what others run on the same engine.
        log_dir: where logs of removed containers are kept.
        log_bytes: size at which a log rotates.
        log_files: log files kept for each replica.
        publish: reach replicas through a port on loopback; else at the container's own address.
        network: network that containers join; empty for the engine's default.
        stop_grace_s: time that a replica has to end when `ensure` replaces it.
        docker_config: where `docker login` keeps logins; they are sent along when an image is pulled.
        environments: how images of environments are made; by default beside the logs where it is out of this machine's
            own Python.
    """

    name = "docker"

    def __init__(
        self,
        host: str,
        *,
        installation: str,
        log_dir: Path,
        log_bytes: int = 10 * 1024**2,
        log_files: int = 3,
        publish: bool = True,
        network: str = "",
        stop_grace_s: float = 10,
        docker_config: Path = Path("~/.docker/config.json"),
        environments: EnvironmentSettings | None = None,
    ) -> None:
        self._host = host
        self._log_dir = log_dir
        self._stop_grace_s = stop_grace_s
        self._docker_config = docker_config.expanduser()
        self._environments = EnvironmentImages(
            host,
            environments or EnvironmentSettings(log_dir.parent / "environments"),
            installation=installation,
            docker_config=self._docker_config,
        )
        self._settings = ContainerSettings(
            installation, log_bytes=log_bytes, log_files=log_files, publish=publish, network=network
        )
        self._opened: aiodocker.Docker | None = None
        self._observer = DockerObserver(host, lambda: self._client)

    async def __aenter__(self) -> DockerDriver:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections to the engine; replicas run on."""
        self._observer.close()
        if self._opened is not None:
            await self._opened.close()
            self._opened = None

    async def health(self) -> DriverHealth:
        """Return whether the engine answers, and what it is."""
        try:
            with translating(self._host), anyio.fail_after(_HEALTH_S):
                if not await self._is_there():
                    return DriverHealth(
                        DriverState.UNDETECTED,
                        message=f"There is no container engine at `{self._host}`",
                        remedy="Start Docker or Podman's API service, or name its socket in DOCKER_HOST",
                    )
                await settle_version(self._client)
                version = await self._client.version()
        except Error as error:
            return DriverHealth(DriverState.UNHEALTHY, message=error.message, remedy=error.hint)
        except (TypeError, ValueError, KeyError) as error:  # what the client makes of an answer that is no engine's
            return DriverHealth(
                DriverState.UNHEALTHY,
                message=f"What answers at `{self._host}` is no container engine: {error}",
                remedy="Name the engine's socket in DOCKER_HOST",
            )
        name = docker_facts.engine_name(version)
        return DriverHealth(
            DriverState.HEALTHY,
            version=name,
            message="" if self._settings.init else "The engine has no init: replicas may ignore SIGTERM",
            remedy="" if self._settings.init else "Install `catatonit` for Podman, or `docker-init` for Docker",
            attributes={
                "engine": name.partition(" ")[0],
                "host": self._host,
                "api_version": str(version.get("ApiVersion", "")),
                "os": str(version.get("Os", "")),
                "architecture": str(version.get("Arch", "")),
                "init": "yes" if self._settings.init else "no",
            },
        )

    async def pin(self, image: str) -> str:
        """Return the id of what `image` means now."""
        return await pin_image(self._client, self._host, image, docker_config=self._docker_config)

    async def environment(self, environment: Environment) -> str:
        """Return the id of the image that has the environment."""
        return await self._environments.ensure(self._client, environment)

    async def prune(self, keep: frozenset[str]) -> None:
        """Remove images of environments that are neither in `keep` nor of the last day."""
        await self._environments.prune(self._client, keep)

    async def list(self) -> list[Replica]:
        """Return every replica of this installation."""
        filters = docker_spec.owned_filter(self._settings.installation)
        with translating(self._host, doing="list containers"):
            containers = await self._client.containers.list(all=True, filters=filters)
        replicas = []
        for container in containers:
            row = {key: container[key] for key in docker_spec.LISTED if key in container}
            if not docker_spec.needs_inspection(row):
                replicas.append(docker_spec.listed_replica(row))
            # It may have been removed since it was listed.
            elif inspected := await self._inspect_container(container.id):
                replica = docker_spec.inspected_replica(inspected)
                killed = bool(await self._observer.kills(container.id))
                if replica.exit and killed:
                    replica = replace(replica, exit=replace(replica.exit, oom_killed=True))
                replicas.append(replica)
        return replicas

    async def ensure(self, spec: ReplicaSpec) -> None:
        """Make the replica run; what an earlier call left half done is completed."""
        existing = await self._inspect(spec.name)
        if existing is not None and docker_spec.fulfils(existing, spec):
            if not docker_spec.is_unstarted(existing):
                return
            try:
                await self._start(spec, existing)
            except ReplicaCannotStart:
                # Podman chooses the host port at creation: it may have been taken meanwhile. A new one tells.
                await self._delete(str(existing["Id"]))
            else:
                return
        elif existing is not None:
            await self._remove(spec.name, existing, grace_s=self._stop_grace_s)
        created = await self._create(spec)
        if docker_spec.is_unstarted(created):
            await self._start(spec, created)

    async def stop(self, name: str, *, grace_s: float) -> None:
        """Stop and remove the container; its log goes to the archive."""
        if existing := await self._inspect(name):
            await self._remove(name, existing, grace_s=grace_s)

    async def logs(self, name: str, *, tail: int, follow: bool = False) -> AsyncIterator[LogLine]:
        """Yield archived lines, then those of the container that is there now."""
        if docker_spec.container_name(name, self._settings.installation) is None:
            return
        with translating(self._host, doing=f"read the log of replica `{name}`"):
            lines = read_container_logs(
                self._client, self._log_dir, name, lambda: self._inspect(name), tail=tail, follow=follow
            )
            async with aclosing(lines):
                async for line in lines:
                    yield line

    async def events(self) -> AsyncIterator[str]:
        """Yield names of replicas whose containers changed; raise EngineUnreachable when the engine goes away."""
        filters = docker_spec.owned_filter(self._settings.installation)
        with translating(self._host, doing="listen to events"):
            async with aclosing(container_events(self._client, filters)) as events:
                async for event in events:
                    if name := event.get("Actor", {}).get("Attributes", {}).get(docker_spec.REPLICA):
                        yield str(name)
        raise EngineUnreachable(f"The container engine at `{self._host}` ended its events")

    async def facts(self, name: str) -> ReplicaFacts | None:
        """Return what is seen inside the container: by way of /proc where it runs on this machine."""
        try:
            with translating(self._host), anyio.fail_after(_FACTS_S):
                inspected = await self._inspect(name)
        except Error:
            return None
        return await self._observer.container(inspected) if inspected else None

    async def image_facts(self, image: str) -> ImageFacts | None:
        """Return what an image that the engine has says about itself."""
        return await self._observer.image(image) if is_image_name(image) else None

    def storage_uri(self, model_dir: PurePosixPath) -> str:
        """Return where the artifacts are mounted."""
        return docker_spec.MODEL_DIR

    async def host_facts(self) -> HostFacts:
        """Return what the engine runs on."""
        return await self._observer.host(self.name)

    async def _is_there(self) -> bool:
        path = self._host.removeprefix("unix://")
        return path == self._host or await anyio.Path(path).exists()

    @property
    def _client(self) -> aiodocker.Docker:
        # Made at first use: it binds to the running event loop.
        if self._opened is None:
            self._opened = aiodocker.Docker(url=self._host, timeout=_CALL)
        return self._opened

    async def _inspect(self, name: str) -> dict[str, Any] | None:
        container = docker_spec.container_name(name, self._settings.installation)
        return await self._inspect_container(container) if container else None

    async def _inspect_container(self, container: str) -> dict[str, Any] | None:
        with translating(self._host, doing=f"inspect container `{container}`"):
            for attempt in range(_INSPECT_TRIES):
                try:
                    return await self._client.containers.container(container).show()
                except aiodocker.DockerError as error:
                    if error.status == 404:
                        return None
                    # Podman answers 500 about a container that it is just removing.
                    if error.status != 500 or attempt == _INSPECT_TRIES - 1:
                        raise
                await anyio.sleep(0.1)
        return None

    async def _create(self, spec: ReplicaSpec) -> dict[str, Any]:
        name = docker_spec.container_name(spec.name, self._settings.installation)
        if name is None:
            raise ReplicaCannotStart(f"`{spec.name}` cannot be the name of a container")
        # A name is taken by a container that is being made or removed: this call may work later.
        statuses = {404: ImageNotFound, 400: ReplicaCannotStart, 409: EngineUnreachable, 500: ReplicaCannotStart}
        with translating(self._host, statuses, doing=f"create replica `{spec.name}`"):
            if self._settings.cpus is None and spec.resources.cpus is not None:
                cpus = self._observer.cpus or float((await self._client.system.info())["NCPU"])
                self._settings = replace(self._settings, cpus=cpus)
            if found := await self._post_create(spec, name):
                return found
        created = await self._inspect(spec.name)
        if created is None:
            raise EngineUnreachable(f"The container of replica `{spec.name}` is gone right after its creation")
        if spec.resources.accelerators and not docker_spec.grants_accelerators(created):
            await self._delete(str(created["Id"]))
            raise ReplicaCannotStart(
                f"The container engine gives no GPU to replica `{spec.name}`, which asks for"
                f" {spec.resources.accelerators.count}",
                hint="Use Docker with the NVIDIA container toolkit",
            )
        return created

    async def _post_create(self, spec: ReplicaSpec, name: str) -> dict[str, Any] | None:
        """Create the container; return the one that has the name already, from another call or before a lost reply."""
        deadline = anyio.current_time() + _NAME_S
        while True:
            try:
                await self._client.containers.create(docker_spec.create_body(spec, self._settings), name=name)
            except aiodocker.DockerError as error:
                # Docker answers 409 to a name that is taken, Podman 500.
                if error.status in (409, 500) and (found := await self._inspect(spec.name)):
                    return found
                if error.status == 500 and self._settings.init:
                    await self._create_without_init(spec, name, error)
                    return None
                # Docker reserves the name a moment before the container can be seen.
                if error.status != 409 or anyio.current_time() > deadline:
                    raise
                await anyio.sleep(0.05)
            else:
                return None

    async def _create_without_init(self, spec: ReplicaSpec, name: str, first: aiodocker.DockerError) -> None:
        # Podman refuses with 500 where no init is installed. If it works without one, that was it.
        without = replace(self._settings, init=False)
        try:
            await self._client.containers.create(docker_spec.create_body(spec, without), name=name)
        except aiodocker.DockerError:
            raise first from None
        self._settings = without

    async def _start(self, spec: ReplicaSpec, created: dict[str, Any]) -> None:
        await self._observer.prepare(created)
        statuses = dict.fromkeys((400, 403, 404, 409, 500), ReplicaCannotStart)
        with translating(self._host, statuses, doing=f"start replica `{spec.name}`"):
            try:
                await self._client.containers.container(str(created["Id"])).start()
            except aiodocker.DockerError:
                # Another call may have started it at the same time.
                found = await self._inspect(spec.name)
                if found is None or docker_spec.is_unstarted(found):
                    raise

    async def _remove(self, name: str, inspected: dict[str, Any], *, grace_s: float) -> None:
        container = self._client.containers.container(str(inspected["Id"]))
        with translating(self._host, doing=f"stop replica `{name}`"):
            try:
                if inspected["State"].get("Running"):
                    await container.stop(t=math.ceil(grace_s))
                await archive_log(
                    self._client,
                    self._log_dir,
                    name,
                    inspected,
                    log_bytes=self._settings.log_bytes,
                    log_files=self._settings.log_files,
                )
            except aiodocker.DockerError as error:
                if error.status != 404:
                    raise
        await self._delete(str(inspected["Id"]))
        await forget_archived(self._log_dir, name, inspected)

    async def _delete(self, container: str) -> None:
        self._observer.forget(container)
        with translating(self._host, doing=f"remove container `{container}`"):
            try:
                await self._client.containers.container(container).delete(force=True, v=True)
            except aiodocker.DockerError as error:
                # 404: it is gone. 409: its removal is under way.
                if error.status not in (404, 409):
                    raise
