"""The trial: one replica, followed from its start until it is healthy or waiting longer cannot help."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import anyio
import httpx

from modelport.check.subject import CheckSettings
from modelport.control.health import Health
from modelport.control.investigation import Circumstances, Investigation
from modelport.control.probe import Prober, ProbeTarget
from modelport.core.errors import Error, Unavailable
from modelport.core.replicas import Address, Replica, ReplicaSpec, ReplicaState
from modelport.doctor.conclusive import Patience, conclusive
from modelport.doctor.evidence import Evidence, Phase
from modelport.drivers.base import Driver

# A look costs an engine some work: often at first, when most happens, then every half second.
_LOOK_S = 0.15
_LONGEST_LOOK_S = 0.5
# A log arrives a moment after the end of the program that wrote it.
_LAST_WORDS_S = 0.3


class Trial:
    """Follows one attempt of one replica; `evidence` is what is known so far."""

    def __init__(
        self,
        replica: ReplicaSpec,
        circumstances: Circumstances,
        driver: Driver,
        prober: Prober,
        client: httpx.AsyncClient,
        *,
        limits: CheckSettings,
        now: Callable[[], datetime],
    ) -> None:
        self.name = replica.name
        self.client = client
        self.investigation = Investigation(replica.name, circumstances, driver=driver, client=client, now=now)
        self._spec = replica
        self._driver = driver
        self._prober = prober
        self._limits = limits
        self._patience = Patience(listen_budget_s=limits.listen_budget_s, probe_timeout_s=limits.probe_timeout_s)
        self._replica: Replica | None = None

    @property
    def circumstances(self) -> Circumstances:
        """Return what was known before the start, and the port as it was decided."""
        return self.investigation.circumstances

    @property
    def address(self) -> Address:
        """Return where the replica is asked."""
        if self._replica is None or self._replica.address is None:
            raise Unavailable("The replica has no address")
        return self._replica.address

    async def start(self) -> None:
        """Start the replica. Raises what `Driver.ensure` raises."""
        self.investigation.restart_clock()
        await self._driver.ensure(self._spec)
        await self._look()

    async def until_healthy(self, on_status: Callable[[str], None]) -> Phase | None:
        """Wait; return None once it is healthy, else the step that failed."""
        while True:
            await self._look()
            health = self._health
            if health is not None and health.healthy:
                await self._look()
                return None
            if self._replica is None or self._replica.state is ReplicaState.EXITED:
                await self._hear_last_words()
                return Phase.START if health is None or health.listening_time is None else Phase.HEALTH
            seen = self.evidence(Phase.LISTEN if health is None or not health.listening else Phase.HEALTH)
            on_status("waiting until it is healthy" if seen.phase is Phase.HEALTH else "waiting until it listens")
            if (phase := conclusive(seen, self._patience)) is not None:
                return phase
            if seen.running_s > self._limits.startup_timeout_s:
                return seen.phase
            await self.investigation.sweep(self._replica, health)
            await anyio.sleep(min(_LONGEST_LOOK_S, _LOOK_S + seen.running_s / 10))

    async def alive(self) -> bool:
        """Look again; return whether the replica still runs."""
        await self._look()
        if self._replica is not None and self._replica.state is ReplicaState.RUNNING:
            return True
        await self._hear_last_words()
        return False

    async def sweep(self) -> None:
        """Ask the usual routes now, of which the OpenAPI document is one."""
        await self.investigation.sweep(self._replica, self._health, at_once=True)

    def evidence(self, phase: Phase) -> Evidence:
        """Return what is known so far."""
        return self.investigation.evidence(phase, self._health)

    @property
    def _health(self) -> Health | None:
        return self._prober.health(self.name)

    async def _look(self) -> None:
        try:
            found = [replica for replica in await self._driver.list() if replica.name == self.name]
        except Error:
            return  # an engine that is busy; the next look tells
        self._replica = found[0] if found else None
        replica = self._replica
        await self.investigation.look(replica)
        if replica is None or replica.state is not ReplicaState.RUNNING or replica.address is None:
            self._prober.watch(self._spec.owner, [], keep=frozenset({self.name}))
            return
        health_route = self.circumstances.spec.health_route
        target = ProbeTarget(self.name, self._spec.attempt, replica.address, health_route)
        self._prober.watch(self._spec.owner, [target], keep=frozenset({self.name}))

    async def _hear_last_words(self) -> None:
        await anyio.sleep(_LAST_WORDS_S)
        await self._look()
