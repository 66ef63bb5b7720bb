"""The prober: one task a replica that asks its health route and reports when the answer turns."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from types import TracebackType
from typing import Self

import anyio
from anyio.abc import TaskGroup

from modelport.control.health import Health, ProbeRules, advance, must_restart, next_probe_s
from modelport.core.replicas import Address
from modelport.doctor.evidence import NOT_HTTP, Exchange
from modelport.doctor.exchange import exchange, http_client

_LASTING_S = 0.1


@dataclass(frozen=True)
class ProbeTarget:
    """What to probe: one attempt of one replica."""

    name: str
    attempt: int
    address: Address
    route: str

    @property
    def url(self) -> str:
        """Return the URL of the health route."""
        return f"{self.address.base_url}{self.route}"


class Prober:
    """Probes the watched replicas; `health` is what they showed, `changed(owner)` is called when it turns."""

    def __init__(
        self, rules: ProbeRules, *, now: Callable[[], datetime], changed: Callable[[str], None] = lambda owner: None
    ) -> None:
        self.rules = rules
        self.changed = changed
        self._now = now
        self._health: dict[str, Health] = {}
        self._watched: dict[str, tuple[str, ProbeTarget, anyio.CancelScope]] = {}
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

    def health(self, name: str) -> Health | None:
        """Return what the probes of a watched replica showed, or None before the first."""
        return self._health.get(name)

    def trust(self, name: str, attempt: int) -> None:
        """Take a replica as healthy until its probes say otherwise: it was routed before this control plane began."""
        now = self._now()
        self._health[name] = Health(attempt, None, listening_time=now, healthy_time=now, healthy=True)

    def watch(self, owner: str, targets: Iterable[ProbeTarget], *, keep: frozenset[str] = frozenset()) -> None:
        """Probe exactly these replicas of `owner`; what is known of others is forgotten unless `keep` names them."""
        wanted = {target.name: target for target in targets}
        for name, (watched_owner, target, scope) in list(self._watched.items()):
            if watched_owner == owner and wanted.get(name) != target:
                scope.cancel()
                del self._watched[name]
                if name not in wanted and name not in keep:
                    self._health.pop(name, None)
        for name, target in wanted.items():
            if name not in self._watched:
                scope = anyio.CancelScope()
                self._watched[name] = (owner, target, scope)
                self._tasks.start_soon(self._probe_for_ever, owner, target, scope)

    async def _probe_for_ever(self, owner: str, target: ProbeTarget, scope: anyio.CancelScope) -> None:
        with scope:
            known = self._health.get(target.name)
            trusted = known is not None and known.attempt == target.attempt
            health = known if known is not None and trusted else Health(target.attempt, self._now())
            self._health[target.name] = health
            while True:
                accepted = anyio.Event()

                def accept(health: Health = health, accepted: anyio.Event = accepted) -> None:
                    accepted.set()
                    if not health.listening:
                        # Known before the answer: a server that loads its model while callers wait does listen.
                        self._health[target.name] = replace(
                            health, silent_since=None, listening_time=health.listening_time or self._now()
                        )
                        self.changed(owner)

                probe = await self._ask(target, accept)
                before, health = health, advance(health, probe, accepted=accepted.is_set(), rules=self.rules)
                self._health[target.name] = health
                if self._turned(before, health):
                    self.changed(owner)
                await anyio.sleep(next_probe_s(health, self.rules))

    def _turned(self, before: Health, after: Health) -> bool:
        return _visible(before) != _visible(after) or must_restart(after, self._now(), self.rules)

    async def _ask(self, target: ProbeTarget, accept: Callable[[], None]) -> Exchange:
        """Ask the health route once; `accept` is called when the connection is."""
        rules = self.rules
        connected = anyio.Event()

        async def accept_what_lasts() -> None:
            # A published port of Docker is open before anything listens behind it; such a connection ends at once.
            await connected.wait()
            await anyio.sleep(_LASTING_S)
            accept()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(accept_what_lasts)
            probe = await exchange(
                self._client, "GET", target.url, now=self._now, timeout_s=rules.timeout_s, on_connect=connected.set
            )
            tasks.cancel_scope.cancel()
        if probe.status is not None or probe.error == NOT_HTTP:
            accept()
        return probe


def _visible(health: Health) -> tuple[object, ...]:
    last = health.transcript[-1] if health.transcript else None
    return health.healthy, health.listening, last and (last.status, last.error)
