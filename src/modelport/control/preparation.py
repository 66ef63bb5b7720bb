"""The preparation of a version: its image pinned, its artifacts copied, both recorded before anything starts."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import PurePosixPath
from typing import Any

import anyio

from modelport.artifacts.base import Artifact, ArtifactStore, Progress
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
        deadline_s: float,
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._driver = driver
        self._artifacts = artifacts
        self._deadline_s = deadline_s
        self._now = now

    async def prepare(self, version: Version) -> Version:
        """Return the version with image and artifacts recorded, or as it is now when it is no longer wanted.

        Raises:
            Error: the image cannot be pinned or the artifacts cannot be copied, and retrying would not help.
            Unavailable: it may work later.
        """
        image, artifact = "", None
        with anyio.CancelScope() as scope:
            async with _beside(partial(self._cancel_when_unwanted, version, scope)):
                try:
                    image = await self._driver.pin(version.spec.container.image)
                    if version.spec.deployment_uri:
                        await self._note(version, ConditionType.IMAGE_PINNED, Truth.TRUE, image)
                        artifact = await self._fetch(version)
                except Unavailable as error:
                    waited = (self._now() - version.create_time).total_seconds()
                    if waited > self._deadline_s:
                        raise DeadlineExceeded(f"{error.message}; tried for {waited:.0f} s") from error
                    raise
        if scope.cancelled_caught:
            return await self._store.read(lambda tx: tx.get(Version, version.name))
        return await self._record(version, image, artifact)

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
        """Remove cached trees that no version uses. Young ones stay: a version may be about to record them."""
        versions = await self._store.read(lambda tx: tx.all(Version))
        keep = {version.status.artifact for version in versions}
        keep |= {match[1] for version in versions if (match := _CACHED_IMAGE.search(version.status.image))}
        await self._artifacts.prune(frozenset(keep - {""}))

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

    async def _record(self, version: Version, image: str, artifact: Artifact | None) -> Version:
        copied = f"{artifact.files} files, {artifact.bytes} bytes" if artifact else "none asked for"
        digest = artifact.digest if artifact else ""
        return await self._update(
            version, lambda old: prepared(old, image=image, artifact=digest, copied=copied, now=self._now())
        )

    async def _update(self, version: Version, change: Callable[[VersionStatus], VersionStatus]) -> Version:
        def update(tx: Tx) -> Version:
            fresh = tx.get(Version, version.name)
            if fresh.uid != version.uid:
                raise Aborted(f"`{version.name}` was replaced meanwhile")
            return tx.update(replace(fresh, status=change(fresh.status)))

        return await self._store.write(update)


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
