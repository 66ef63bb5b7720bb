"""The investigation: one replica on its way to health, followed closely enough to say why it does not get there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

import httpx

from modelport.control.health import Health
from modelport.control.witness import Witness
from modelport.core.facts import HostFacts, ImageFacts
from modelport.core.replicas import Address, Exit, Replica, ReplicaState
from modelport.doctor.evidence import ArtifactTree, Evidence, Exchange, Phase, SpecFacts
from modelport.doctor.sweep import sweep
from modelport.drivers.base import Driver

_SWEEP_EVERY_S = 2.0
_FIRST_SWEEP_S = 0.5
_OTHER_PORTS = 3


@dataclass(frozen=True)
class Circumstances:
    """What is known before a replica starts."""

    version: str
    driver: str
    spec: SpecFacts
    host: HostFacts = field(default_factory=HostFacts)
    image: ImageFacts | None = None
    artifacts: ArtifactTree | None = None


class Investigation:
    """Looks when it is told to; `evidence` is what it knows."""

    def __init__(
        self,
        name: str,
        circumstances: Circumstances,
        *,
        driver: Driver,
        client: httpx.AsyncClient,
        now: Callable[[], datetime],
    ) -> None:
        self.circumstances = circumstances
        self._name = name
        self._driver = driver
        self._client = client
        self._now = now
        self._started = now()
        self._witness = Witness(driver, name, now=now)
        self._exits: dict[int, Exit] = {}
        self._message = ""
        self._attempt = 0
        self._ended_s: float | None = None
        self._swept: tuple[Exchange, ...] = ()
        self._sweep_at_s = _FIRST_SWEEP_S

    @property
    def running_s(self) -> float:
        """Return how long the last attempt has run, or ran."""
        return self._ended_s if self._ended_s is not None else (self._now() - self._started).total_seconds()

    def restart_clock(self) -> None:
        """Say that the replica is being started now."""
        self._started = self._now()

    async def look(self, replica: Replica | None) -> None:
        """Look once more at the replica as the driver lists it."""
        if replica is not None and replica.attempt != self._attempt:
            if self._attempt:
                self.restart_clock()
            self._attempt, self._ended_s, self._sweep_at_s = replica.attempt, None, _FIRST_SWEEP_S
        running = replica is not None and replica.state is ReplicaState.RUNNING
        if replica is not None:
            self._message = replica.message
            self._learn_port(replica)
            if replica.exit is not None:
                self._ended_s = self.running_s
                self._exits[replica.attempt] = replica.exit
        await self._witness.look(running=running)

    async def sweep(self, replica: Replica | None, health: Health | None, *, at_once: bool = False) -> None:
        """Ask the usual routes where they are due: on the port, and on others that are open and within reach."""
        if not at_once and self.running_s < self._sweep_at_s:
            return
        self._sweep_at_s = self.running_s + _SWEEP_EVERY_S
        swept: list[Exchange] = []
        for address in self._open_addresses(replica, health):
            swept += await sweep(self._client, address, spec=self.circumstances.spec, now=self._now)
        self._swept = tuple(swept) or self._swept

    async def new_log(self) -> str:
        """Return what was printed since the last call of this method."""
        return await self._witness.new_log()

    def evidence(self, phase: Phase, health: Health | None) -> Evidence:
        """Return what is known so far."""
        seen, known = self._witness.sighting, self.circumstances
        return Evidence(
            version=known.version,
            phase=phase,
            driver=known.driver,
            now=self._now(),
            elapsed_s=(self._now() - self._started).total_seconds(),
            error=self._message,
            spec=known.spec,
            host=known.host,
            image=known.image,
            artifacts=known.artifacts,
            exits=tuple(self._exits[attempt] for attempt in sorted(self._exits)),
            log=seen.log,
            running_s=self.running_s,
            listening_s=self._since_start(health.listening_time) if health else None,
            healthy_s=self._since_start(health.healthy_time) if health else None,
            quiet_s=seen.quiet_s,
            facts=seen.facts,
            usage=seen.usage,
            health=health.transcript if health else (),
            sweep=self._swept,
        )

    def _learn_port(self, replica: Replica) -> None:
        """Note the port of a plain process: who starts one chooses it."""
        known = self.circumstances
        if known.driver != "docker" and replica.address is not None and replica.address.port != known.spec.port:
            self.circumstances = replace(known, spec=replace(known.spec, port=replica.address.port))

    def _since_start(self, time: datetime | None) -> float | None:
        return max(0.0, (time - self._started).total_seconds()) if time else None

    def _open_addresses(self, replica: Replica | None, health: Health | None) -> list[Address]:
        found = []
        if health is not None and health.listening and replica is not None and replica.address is not None:
            found.append(replica.address)
        facts = self._witness.sighting.facts
        if facts is None or not facts.address or replica is None or replica.state is not ReplicaState.RUNNING:
            return found
        reachable = {
            socket.port
            for socket in facts.sockets or ()
            # A plain process shares this machine's loopback; a container has one of its own.
            if not socket.loopback or facts.address.startswith("127.")
        }
        others = sorted(reachable - {self.circumstances.spec.port})
        return found + [Address(facts.address, port) for port in others[:_OTHER_PORTS]]
