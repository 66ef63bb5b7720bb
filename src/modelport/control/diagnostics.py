"""Diagnostics: follows every version that is being created, and says what is wrong as soon as that is certain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import PurePosixPath
from types import TracebackType
from typing import Self

import anyio
from anyio.abc import TaskGroup

from modelport.artifacts.base import Artifact, ArtifactStore
from modelport.control.artifact_tree import artifact_tree
from modelport.control.fleet import Fleet
from modelport.control.health import Health
from modelport.control.investigation import Circumstances, Investigation
from modelport.control.plan import Verdict
from modelport.control.probe import Prober
from modelport.core.errors import Error
from modelport.core.replicas import Replica, ReplicaState
from modelport.core.resources import Version
from modelport.core.version_replicas import replica_names
from modelport.doctor.conclusive import Patience, conclusive, early_warning
from modelport.doctor.evidence import ArtifactTree, Evidence, Phase
from modelport.doctor.exchange import http_client
from modelport.doctor.redaction import redacted
from modelport.doctor.spec_facts import spec_facts
from modelport.drivers.base import Driver

_LOOK_S = 0.5
# Longer than in a check: whoever checks waits for the answer, a version that is being created may take its time.
_PATIENCE = Patience(settled_s=6.0)
_LAST_LOOK_S = 15.0


@dataclass
class _Followed:
    """A version that is being created: the replica that is looked at, and what was concluded so far."""

    replica: str
    investigation: Investigation
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    verdict: Verdict | None = None
    warning: str = ""


class Diagnostics:
    """One task for each version that is being created; `changed(owner)` is called when what it says has changed."""

    def __init__(
        self,
        driver: Driver,
        fleet: Fleet,
        prober: Prober,
        artifacts: ArtifactStore,
        *,
        now: Callable[[], datetime],
        changed: Callable[[str], None] = lambda owner: None,
    ) -> None:
        self.changed = changed
        self._driver = driver
        self._fleet = fleet
        self._prober = prober
        self._artifacts = artifacts
        self._now = now
        self._followed: dict[str, _Followed] = {}  # by uid
        self._tasks: TaskGroup

    async def __aenter__(self) -> Self:
        self._client = http_client()
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self._tasks.cancel_scope.cancel()
        try:
            return await self._tasks.__aexit__(kind, error, traceback)
        finally:
            await self._client.aclose()

    def verdict(self, version: Version) -> Verdict | None:
        """Return why waiting for a version longer cannot help, or None."""
        followed = self._followed.get(version.uid)
        return followed.verdict if followed else None

    def warning(self, version: Version) -> str:
        """Return what looks wrong with a version that is being created, in a few words, or nothing."""
        followed = self._followed.get(version.uid)
        return followed.warning if followed else ""

    def follow(self, version: Version) -> None:
        """Follow the first replica of a version that is not healthy; a version that is followed already stays so."""
        if version.uid in self._followed:
            return
        name = self._suspect(version)
        if name is None:
            return
        followed = self._followed[version.uid] = self._begin(version, name)
        self._tasks.start_soon(self._follow, version, followed)

    def forget(self, version: Version) -> None:
        """Stop following a version, and forget what was seen of it."""
        if followed := self._followed.pop(version.uid, None):
            followed.scope.cancel()

    async def evidence(self, version: Version, verdict: Verdict) -> Evidence:
        """Return all that is known of a version that failed. What cannot be had any more is left out."""
        phase = Phase(verdict.phase)
        suspect, followed = self._suspect(version), self._followed.get(version.uid)
        if followed is None or suspect not in (None, followed.replica):
            followed = self._begin(version, suspect or replica_names(version)[0])
        name, investigation = followed.replica, followed.investigation
        if phase in (Phase.START, Phase.LISTEN, Phase.HEALTH):
            with anyio.move_on_after(_LAST_LOOK_S):
                replica, health = self._seen(version, name)
                await investigation.look(replica)
                await investigation.sweep(replica, health, at_once=True)
        circumstances = investigation.circumstances
        with anyio.move_on_after(_LAST_LOOK_S):
            circumstances = replace(
                circumstances,
                host=await self._driver.host_facts(),
                image=await self._driver.image_facts(version.status.image) if version.status.image else None,
                artifacts=await self._tree(version),
            )
        investigation.circumstances = circumstances
        evidence = investigation.evidence(phase, self._seen(version, name)[1])
        return redacted(
            replace(
                evidence,
                elapsed_s=(self._now() - version.create_time).total_seconds(),
                error=verdict.reason,
                error_reason=verdict.error_reason,
                hint=verdict.hint,
            )
        )

    def _begin(self, version: Version, replica: str) -> _Followed:
        circumstances = self._circumstances(version)
        return _Followed(
            replica,
            Investigation(replica, circumstances, driver=self._driver, client=self._client, now=self._now),
        )

    async def _follow(self, version: Version, followed: _Followed) -> None:
        investigation = followed.investigation
        with followed.scope:
            while True:
                replica, health = self._seen(version, followed.replica)
                try:
                    await investigation.look(replica)
                    if health is None or not health.healthy:
                        await investigation.sweep(replica, health)
                    self._judge(version, followed, replica, health)
                except Error:
                    pass  # an engine that is away; the next look tells
                await anyio.sleep(_LOOK_S)

    def _judge(self, version: Version, followed: _Followed, replica: Replica | None, health: Health | None) -> None:
        phase = Phase.LISTEN if health is None or not health.listening else Phase.HEALTH
        evidence = followed.investigation.evidence(phase, health)
        warning = "" if health is not None and health.healthy else early_warning(evidence)
        if warning != followed.warning:
            followed.warning = warning
            self.changed(str(version.name))
        if replica is None or replica.state is not ReplicaState.RUNNING or (health is not None and health.healthy):
            return  # how often it may end, and whether it is well, is decided elsewhere
        concluded = conclusive(replace(evidence, exits=()), _PATIENCE)
        if concluded is not None and followed.verdict is None:
            followed.verdict = Verdict(concluded, warning or "waiting longer cannot help")
            self.changed(str(version.name))

    def _suspect(self, version: Version) -> str | None:
        """Return the first replica that is there and not healthy; the first of all where all are well."""
        there = [name for name in replica_names(version) if name in self._fleet.of(str(version.name))]
        ill = [name for name in there if not ((health := self._prober.health(name)) and health.healthy)]
        return next(iter(ill), None) or next(iter(there), None)

    def _seen(self, version: Version, name: str) -> tuple[Replica | None, Health | None]:
        replica = self._fleet.of(str(version.name)).get(name)
        health = self._prober.health(name)
        return replica, health if health is not None and replica and health.attempt == replica.attempt else None

    def _circumstances(self, version: Version) -> Circumstances:
        artifact = self._artifact(version)
        storage_uri = self._driver.storage_uri(PurePosixPath(artifact.path)) if artifact else ""
        spec = spec_facts(version, port=version.spec.container.port, storage_uri=storage_uri)
        return Circumstances(str(version.name), self._driver.name, spec)

    def _artifact(self, version: Version) -> Artifact | None:
        return self._artifacts.open(version.status.artifact) if version.status.artifact else None

    async def _tree(self, version: Version) -> ArtifactTree | None:
        artifact = self._artifact(version)
        if artifact is None:
            return None
        mounted_at = self._driver.storage_uri(PurePosixPath(artifact.path))
        return await artifact_tree(version.spec.deployment_uri, artifact, mounted_at)
