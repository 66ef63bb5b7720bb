"""The preparation of a version: its image pinned or its libraries installed, its artifacts copied, all recorded.

Nothing starts before that.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import anyio
import anyio.to_thread

from modelport.artifacts.base import Artifact, ArtifactStore, Progress
from modelport.control.runtimes import Runtimes, described, find_framework
from modelport.control.status import prepared
from modelport.core.conditions import ConditionType, Truth, set_condition
from modelport.core.errors import Aborted, ArtifactNotFound, DeadlineExceeded, Error, Unavailable
from modelport.core.resources import Version, VersionStatus
from modelport.drivers.base import Driver
from modelport.store.store import Store, Tx

_LOOK_S = 0.3
# The process driver pins a folder to its copy in the artifact cache; its digest is the folder's name.
_CACHED_IMAGE = re.compile(r"/trees/([0-9a-f]{64})(?:/|$)")


class Preparation:
    """Pins and copies; gives up as soon as the version is no longer wanted."""

    def __init__(
        self,
        *,
        store: Store,
        driver: Driver,
        artifacts: ArtifactStore,
        runtimes: Runtimes,
        deadline_s: float,
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._driver = driver
        self._artifacts = artifacts
        self._runtimes = runtimes
        self._deadline_s = deadline_s
        self._now = now

    async def prepare(self, version: Version) -> Version:
        """Return the version with image and artifacts recorded, or as it is now when it is no longer wanted.

        Raises:
            Error: the image cannot be pinned, the libraries cannot be installed or the artifacts cannot be copied,
                and retrying would not help.
            Unavailable: it may work later.
        """
        change: Callable[[VersionStatus], VersionStatus] | None = None
        with anyio.CancelScope() as scope:
            async with _beside(partial(self._cancel_when_unwanted, version, scope)):
                try:
                    change = await (self._install(version) if version.spec.runtime else self._pin(version))
                except Unavailable as error:
                    waited = (self._now() - version.create_time).total_seconds()
                    if waited > self._deadline_s:
                        raise DeadlineExceeded(f"{error.message}; tried for {waited:.0f} s") from error
                    raise
        if scope.cancelled_caught or change is None:
            return await self._store.read(lambda tx: tx.get(Version, version.name))
        return await self._update(version, change)

    async def model_dir(self, version: Version) -> PurePosixPath | None:
        """Return the folder of a version's artifacts; copy them again should the cache have lost them."""
        if not version.status.artifact:
            return None
        artifact = self._artifacts.open(version.status.artifact)
        if artifact is None:
            artifact = await self._artifacts.fetch(version.spec.deployment_uri)
            if artifact.digest != version.status.artifact:
                raise ArtifactNotFound(
                    f"The artifacts of `{version.name}` are gone from the cache,"
                    f" and `{version.spec.deployment_uri}` holds others now",
                    hint="Create a new version from the new artifacts",
                )
        return PurePosixPath(artifact.path)

    async def prune(self) -> None:
        """Remove cached trees and environments that no version uses.

        Young ones stay: a version may be about to record them.
        """
        versions = await self._store.read(lambda tx: tx.all(Version))
        keep = {version.status.artifact for version in versions}
        keep |= {match[1] for version in versions if (match := _CACHED_IMAGE.search(version.status.image))}
        await self._artifacts.prune(frozenset(keep - {""}))
        await self._driver.prune(frozenset(version.status.image for version in versions if version.spec.runtime))

    async def _pin(self, version: Version) -> Callable[[VersionStatus], VersionStatus]:
        image, artifact = await self._driver.pin(version.spec.container.image), None
        if version.spec.deployment_uri:
            await self._note(version, ConditionType.IMAGE_PINNED, Truth.TRUE, image)
            artifact = await self._fetch(version)
        return partial(_recorded, image=image, artifact=artifact, now=self._now())

    async def _install(self, version: Version) -> Callable[[VersionStatus], VersionStatus]:
        # The model's files come first: they may have to tell which libraries are wanted.
        artifact = await self._fetch(version)
        names = await anyio.to_thread.run_sync(_names, artifact.path)
        framework = find_framework(version, names)
        libraries = described(version, framework, self._runtimes.catalogue)
        await self._note(version, ConditionType.IMAGE_PINNED, Truth.FALSE, f"installing {libraries}")
        image = await self._driver.environment(await self._runtimes.environment(version, framework))
        return partial(
            _recorded, image=image, artifact=artifact, framework=framework or "", installed=libraries, now=self._now()
        )

    async def _fetch(self, version: Version) -> Artifact:
        latest: deque[Progress] = deque(maxlen=1)

        async def report() -> None:
            while True:
                await anyio.sleep(1)
                if latest:
                    done = latest[-1]
                    text = f"{done.files} of {done.total_files} files, {done.bytes} of {done.total_bytes} bytes"
                    await self._note(version, ConditionType.ARTIFACTS_COPIED, Truth.FALSE, text)

        async with _beside(report):
            return await self._artifacts.fetch(version.spec.deployment_uri, progress=latest.append)

    async def _cancel_when_unwanted(self, version: Version, scope: anyio.CancelScope) -> None:
        while True:
            await anyio.sleep(_LOOK_S)
            now = await self._store.read(lambda tx: tx.find(Version, version.name))
            if now is None or now.uid != version.uid or now.cancelled:
                scope.cancel()

    async def _note(self, version: Version, type: ConditionType, status: Truth, message: str) -> None:
        def note(old: VersionStatus) -> VersionStatus:
            conditions = set_condition(old.conditions, type, status, now=self._now(), message=message)
            return replace(old, conditions=conditions)

        await self._update(version, note)

    async def _update(self, version: Version, change: Callable[[VersionStatus], VersionStatus]) -> Version:
        def update(tx: Tx) -> Version:
            fresh = tx.get(Version, version.name)
            if fresh.uid != version.uid:
                raise Aborted(f"`{version.name}` was replaced meanwhile")
            return tx.update(replace(fresh, status=change(fresh.status)))

        return await self._store.write(update)


def _recorded(
    status: VersionStatus,
    *,
    image: str,
    artifact: Artifact | None,
    now: datetime,
    framework: str = "",
    installed: str = "",
) -> VersionStatus:
    copied = f"{artifact.files} files, {artifact.bytes} bytes" if artifact else "none asked for"
    return prepared(
        status,
        image=image,
        artifact=artifact.digest if artifact else "",
        copied=copied,
        framework=framework,
        installed=installed,
        now=now,
    )


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@asynccontextmanager
async def _beside(task: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Run a task while the body runs; errors of the body leave as they are, not in a group."""
    failure: Error | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(task)
        try:
            yield
        except Error as error:
            failure = error
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure
