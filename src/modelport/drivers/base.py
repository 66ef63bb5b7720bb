"""The driver: starts and stops replicas on one substrate.

A driver keeps no memory of its own: what runs is found by listing, ownership by label, identity by computed name.
Every verb is idempotent and safe to retry after a lost reply.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Protocol

from modelport.core.environments import Environment
from modelport.core.facts import HostFacts, ImageFacts, ReplicaFacts
from modelport.core.replicas import LogLine, Replica, ReplicaSpec


class DriverState(StrEnum):
    """UNDETECTED: the substrate is not there; UNHEALTHY: there, but it does not work; HEALTHY."""

    UNDETECTED = "UNDETECTED"
    UNHEALTHY = "UNHEALTHY"
    HEALTHY = "HEALTHY"


@dataclass(frozen=True)
class DriverHealth:
    """What is known of the substrate; `remedy` says what to do when it is not healthy."""

    state: DriverState
    version: str = ""
    message: str = ""
    remedy: str = ""
    attributes: dict[str, str] = field(default_factory=dict)


class Driver(Protocol):
    """Nine verbs that run replicas, three that look closely, and a close.

    `list()` is the truth; `events()` is a hint that may lose entries. What looks closely never raises: a fact that
    cannot be had is None.
    """

    name: str

    async def health(self) -> DriverHealth:
        """Return whether the substrate can run replicas now. Never raises."""
        ...

    async def pin(self, image: str) -> str:
        """Return an immutable reference to what `image` means now, fetching it when it is not there.

        Raises:
            ImageNotFound, ImageUnauthorized, NoSpace: asking again would give the same answer.
            EngineUnreachable: it may work later.
        """
        ...

    async def environment(self, environment: Environment) -> str:
        """Return an immutable reference to an image that has an environment; build it where there is none yet.

        `python` in a replica's command is then the environment's own, as pinned and installed.

        Raises:
            EnvironmentBuildFailed: something cannot be installed; ends with the installer's last lines.
            EngineUnreachable, NoSpace: it may work later.
        """
        ...

    async def prune(self, keep: frozenset[str]) -> None:
        """Remove environments that `environment` built and whose reference is not in `keep`.

        Those that were asked for within the last day stay: a version may be about to need one, or need it again.
        """
        ...

    async def list(self) -> list[Replica]:
        """Return every replica of this installation, running or dead. Raises EngineUnreachable."""
        ...

    async def ensure(self, spec: ReplicaSpec) -> None:
        """Make the replica run; return before it is ready.

        The same name with the same digest and attempt exists, running or dead: nothing happens. Another digest or a
        lower attempt: the old one is stopped first (its logs are kept) and the new one takes its name.

        Raises:
            ReplicaCannotStart, ImageNotFound: asking again would give the same answer.
            EngineUnreachable: it may work later.
        """
        ...

    async def stop(self, name: str, *, grace_s: float) -> None:
        """SIGTERM, wait up to `grace_s`, SIGKILL, remove; keep its logs. A missing replica is no error."""
        ...

    def logs(self, name: str, *, tail: int, follow: bool = False) -> AsyncIterator[LogLine]:
        """Yield the last `tail` lines over all attempts of this name, oldest first, dead and removed ones included.

        With `follow`, go on with new lines until the consumer stops. An unknown name yields nothing.
        """
        ...

    def events(self) -> AsyncIterator[str]:
        """Yield names of replicas that changed. Lossy and endless; ends or raises only when the substrate goes away."""
        ...

    async def facts(self, name: str) -> ReplicaFacts | None:
        """Return what is seen inside the replica now, of a dead one what is still known; None where there is none.

        Cheap enough to be asked ten times a second. Never raises.
        """
        ...

    async def image_facts(self, image: str) -> ImageFacts | None:
        """Return what an image that is here says about itself; None where it is not here. Never raises."""
        ...

    def storage_uri(self, model_dir: PurePosixPath) -> str:
        """Return where a replica finds what lies in `model_dir` on this machine: the value of AIP_STORAGE_URI."""
        ...

    async def host_facts(self) -> HostFacts:
        """Return what replicas run on. Never raises."""
        ...

    async def close(self) -> None:
        """Let go of connections; replicas run on. The driver may be used again."""
        ...
