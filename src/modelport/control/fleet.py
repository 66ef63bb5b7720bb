"""The fleet: the replicas that the driver sees, kept fresh by its events and by listing every second."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType

import anyio
from anyio.abc import TaskStatus

from modelport.core.errors import Unavailable
from modelport.core.replicas import Replica
from modelport.drivers.base import Driver

_log = logging.getLogger(__name__)


class Fleet:
    """What was last seen of all replicas. While the substrate does not answer, the last sight stays."""

    def __init__(
        self, driver: Driver, *, period_s: float = 1.0, changed: Callable[[str], None] = lambda owner: None
    ) -> None:
        self.changed = changed
        self.error = ""
        self._driver = driver
        self._period_s = period_s
        self._replicas: dict[str, Replica] = {}
        self._lock = anyio.Lock()
        self._wake = anyio.Event()

    def of(self, owner: str) -> Mapping[str, Replica]:
        """Return the replicas of one version by name, running or dead."""
        return MappingProxyType({r.name: r for r in self._replicas.values() if r.owner == owner})

    def owners(self) -> frozenset[str]:
        """Return the versions that have replicas."""
        return frozenset(r.owner for r in self._replicas.values())

    def names(self) -> frozenset[str]:
        """Return the names of all replicas."""
        return frozenset(self._replicas)

    async def refresh(self) -> None:
        """List now; tell `changed` the owner of every replica that is not as it was. Raises EngineUnreachable."""
        async with self._lock:
            before = self._replicas
            self._replicas = {r.name: r for r in await self._driver.list()}
            self.error = ""
        for name in before.keys() | self._replicas.keys():
            old, new = before.get(name), self._replicas.get(name)
            if old != new:
                self.changed((new or old).owner)  # type: ignore[union-attr]

    async def run(self, *, task_status: TaskStatus[None]) -> None:
        """Keep the sight fresh for ever; started after the first successful listing."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._listen)
            first = True
            while True:
                self._wake = anyio.Event()
                try:
                    await self.refresh()
                except Unavailable as error:
                    if error.message != self.error:
                        _log.warning("%s; replicas are taken as last seen", error.message)
                    self.error = error.message
                else:
                    if first:
                        task_status.started()
                        first = False
                with anyio.move_on_after(self._period_s):
                    await self._wake.wait()

    async def _listen(self) -> None:
        while True:
            try:
                async for _name in self._driver.events():
                    self._wake.set()
            except Unavailable:
                pass  # refresh() has reported it
            await anyio.sleep(self._period_s)
