"""Gathers the facts of containers, images and their machine; remembers of a container only what cannot change.

Nothing here raises for what cannot be seen: such a fact is None.
"""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiodocker
import aiohttp
import anyio
import anyio.to_thread

from modelport.core.facts import EntryFile, HostFacts, ImageFacts, ReplicaFacts
from modelport.drivers import cgroups, docker_facts, host_facts
from modelport.drivers.container_exec import look_through_engine
from modelport.drivers.container_proc import Inside, RunningContainer, group_of, is_here, look_inside
from modelport.drivers.docker_calls import calling, settle_version
from modelport.drivers.docker_entry import container_entry
from modelport.drivers.docker_facts import Engine
from modelport.drivers.oom_watch import OomWatch

Json = Mapping[str, Any]

_PODMAN = "Libpod-API-Version"  # a header that only Podman sends
_DEADLINE_S = 10
_MOST_KNOWN = 256
# Asking the engine starts a program in the container: not ten times a second.
_ENGINE_LOOK_EVERY_S = 2.0
_NOT_TOLD = (aiodocker.DockerError, aiohttp.ClientError, OSError, TimeoutError, ValueError, LookupError, TypeError)

_log = logging.getLogger(__name__)


@dataclass
class _Known:
    """What was found out about one container; `here`: whether it runs on this machine, None before that is known."""

    entry: EntryFile | None = None
    image: ImageFacts | None = None
    here: bool | None = None
    inside: Inside | None = None
    looked_at: float = 0.0


class DockerObserver:
    """Looks closely at what one engine runs.

    Args:
        host: URL of the engine.
        client: gives the connection, which may be another one after a close.
    """

    def __init__(self, host: str, client: Callable[[], aiodocker.Docker]) -> None:
        self._host = host
        self._client = client
        self.cpus: float | None = None  # of the engine's machine, once it was asked
        self._engine: Engine | None = None
        self._known: dict[str, _Known] = {}
        self._watch = OomWatch()

    def close(self) -> None:
        """Let go of descriptors."""
        self._watch.close()
        self._known.clear()
        self._engine = None

    def forget(self, container: str) -> None:
        """Forget a container that was removed."""
        self._watch.forget(container)
        self._known.pop(container, None)

    async def container(self, inspected: Json) -> ReplicaFacts:
        """Return what is known of a container, and seen in it where it runs."""
        identity = str(inspected["Id"])
        known = self._known.setdefault(identity, _Known())
        if len(self._known) > _MOST_KNOWN:
            del self._known[next(iter(self._known))]
        engine, inside = None, None
        with anyio.move_on_after(_DEADLINE_S):
            engine = await self._ask_engine()
            if running := docker_facts.running_container(inspected):
                inside = await self._inside(running, known, engine)
            known.image = known.image or await self._image(inspected)
            known.entry = known.entry or await self._entry(inspected)
        if inside and inside.usage.oom_kills:
            self._watch.note(identity, inside.usage.oom_kills)
        return docker_facts.replica_facts(
            inspected,
            image=known.image,
            entry=known.entry,
            inside=inside,
            watched_kills=await self.kills(identity),
            reports_oom=engine is not None and engine.reports_oom,
        )

    async def kills(self, container: str) -> int | None:
        """Return how many processes were killed for memory as our own watch saw it; None where there is none."""
        if container not in self._watch:
            return None
        return await anyio.to_thread.run_sync(self._watch.kills, container)

    async def image(self, image: str) -> ImageFacts | None:
        """Return what an image says about itself; None where it is not here."""
        with _unless_it_fails(), anyio.move_on_after(_DEADLINE_S):
            return docker_facts.image_facts(image, await self._client().images.inspect(image))
        return None

    async def host(self, driver: str) -> HostFacts:
        """Return what the containers run on."""
        found = HostFacts(driver=driver, attributes={"engine": self._host})
        info: Json = {}
        with _unless_it_fails(), anyio.move_on_after(_DEADLINE_S):
            await settle_version(self._client())
            info = await self._client().system.info()
            self.cpus = float(info["NCPU"]) if info.get("NCPU") else None
            version = await self._client().version()
            found = docker_facts.host_facts(driver, version, info, {"engine": self._host})
        if not info:
            return found
        if not self._is_of_this_machine(info):
            return replace(found, gpu_runtime=docker_facts.knows_gpus(info) or None)
        storage = Path(info.get("DockerRootDir") or "/")
        return replace(
            found,
            disk_free_bytes=await anyio.to_thread.run_sync(host_facts.disk_free, storage),
            gpus=await anyio.to_thread.run_sync(host_facts.gpus),
            gpu_runtime=docker_facts.knows_gpus(info) or await anyio.to_thread.run_sync(host_facts.has_gpu_runtime),
        )

    async def prepare(self, created: Json) -> None:
        """Watch over the memory of a container that is about to start, where the engine would not tell.

        Podman can set a container up and wait with its program: what runs out of memory at once is seen too.
        """
        identity = str(created["Id"])
        with _unless_it_fails(f"the memory of container {identity[:12]} is not watched"), anyio.fail_after(_DEADLINE_S):
            if not self._is_local or not created["HostConfig"].get("Memory"):
                return
            engine = await self._ask_engine()
            if engine is None or engine.reports_oom:
                return
            async with calling(self._client(), "POST", f"containers/{identity}/init", libpod=True):
                pass
            inspected = await self._client().containers.container(identity).show()
            container = RunningContainer(identity, int(inspected["State"]["Pid"]), None)
            if not await anyio.to_thread.run_sync(self._start_watch, container):
                raise LookupError(f"no control group of process {container.pid} that can be watched")

    def _start_watch(self, container: RunningContainer) -> bool:
        if container.id in self._watch:
            return True
        group = group_of(container)
        return group is not None and self._watch.watch(container.id, group)

    def _look(self, container: RunningContainer, known: _Known, watch: bool) -> Inside | None:
        if not is_here(container):
            return None
        known.here = True
        if watch:
            self._start_watch(container)
        return look_inside(container)

    async def _inside(self, container: RunningContainer, known: _Known, engine: Engine | None) -> Inside | None:
        watch = engine is not None and not engine.reports_oom
        inside = await anyio.to_thread.run_sync(self._look, container, known, watch)
        if inside or known.here:
            return inside
        now = anyio.current_time()
        if known.inside is None or now - known.looked_at >= _ENGINE_LOOK_EVERY_S:
            podman = engine is not None and engine.podman
            known.inside = await look_through_engine(self._client(), container.id, podman=podman)
            known.looked_at = now
        return known.inside

    async def _ask_engine(self) -> Engine | None:
        """Return what the engine is, without the questions that take Podman most of a second."""
        if self._engine is None:
            with _unless_it_fails():
                async with self._client().session.get(f"{self._client().docker_host}/_ping") as response:
                    podman = _PODMAN in response.headers
                groups = await anyio.to_thread.run_sync(cgroups.host_version) if self._is_local else None
                if podman and groups is None:
                    groups = docker_facts.cgroup_version(await self._client().system.info())
                self._engine = Engine(podman, groups)
        return self._engine

    async def _image(self, inspected: Json) -> ImageFacts | None:
        with _unless_it_fails():
            image = await self._client().images.inspect(str(inspected["Image"]))
            return docker_facts.image_facts(str(inspected["Config"].get("Image", "")), image)
        return None

    async def _entry(self, inspected: Json) -> EntryFile | None:
        with _unless_it_fails():
            return await container_entry(self._client(), inspected, local=self._is_local)
        return None

    def _is_of_this_machine(self, info: Json) -> bool:
        ours = (platform.node(), platform.release())
        return self._is_local and (info.get("Name"), info.get("KernelVersion")) == ours

    @property
    def _is_local(self) -> bool:
        # A virtual machine may still be behind the socket.
        return self._host.startswith("unix://")


@contextmanager
def _unless_it_fails(warning: str = "") -> Iterator[None]:
    """Leave out what the engine cannot or will not tell, or tells in a form of its own; say so where it matters."""
    try:
        yield
    except _NOT_TOLD as error:
        if warning:
            _log.warning("%s: %s", warning, str(error) or type(error).__name__)
