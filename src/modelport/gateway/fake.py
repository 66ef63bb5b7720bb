"""A gateway in this process: keeps the table, checks it as the real one does, and routes nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import anyio
from anyio.abc import TaskStatus

from modelport.core.errors import GatewayUnavailable, SlotsExhausted
from modelport.core.routes import RouteTable
from modelport.gateway.base import GatewayStatus, RequestError
from modelport.gateway.tables import canonical

_REMEMBERED = 1000


class FakeGateway:
    """Implements `gateway.base.Gateway`; `published`, `set_in_flight` and `fail` are for who tests with it."""

    def __init__(self, *, slots: int = 1024) -> None:
        self._slots = slots
        self._running = False
        self._table = RouteTable()
        self._digest = ""
        self._in_flight: dict[str, int] = {}
        self._known: set[str] = set()
        self._errors: deque[RequestError] = deque(maxlen=_REMEMBERED)
        self.published: list[RouteTable] = []

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Accept tables until cancelled."""
        self._running = True
        task_status.started()
        try:
            await anyio.sleep_forever()
        finally:
            self._running = False

    async def adopted(self) -> RouteTable:
        """Return the last table."""
        self._require_running()
        return self._table

    async def publish(self, table: RouteTable) -> None:
        """Take the table; an equal one is not recorded again in `published`."""
        wanted = canonical(table)
        self._require_running()
        if len(wanted.routes) > self._slots:
            raise SlotsExhausted(
                f"The gateway has {self._slots} slots, and {len(wanted.routes)} live versions need more",
                hint="Delete versions, or start with more slots (MODELPORT_SLOTS)",
            )
        if wanted != self._table or not self._digest:
            self._table = wanted
            self.published.append(table)
        self._digest = table.digest
        routed = {server.name for route in wanted.routes for server in route.servers}
        # A server that left is known for as long as it has requests.
        self._known = routed | {name for name in self._known if self._in_flight.get(name)}

    async def in_flight(self) -> Mapping[str, int]:
        """Return what `set_in_flight` set, and 0 for the others."""
        self._require_running()
        return {name: self._in_flight.get(name, 0) for name in self._known}

    def set_in_flight(self, server: str, count: int) -> None:
        """Pretend that this many requests are under way on the server."""
        self._in_flight[server] = count

    async def recent_errors(self) -> tuple[RequestError, ...]:
        """Return what `fail` was given."""
        self._require_running()
        return tuple(self._errors)

    def fail(self, error: RequestError) -> None:
        """Pretend that this request has failed."""
        self._errors.append(error)

    def status(self) -> GatewayStatus:
        """Return whether it runs, and the last digest."""
        return GatewayStatus(self._running, "fake", self._digest, "" if self._running else "not started")

    def _require_running(self) -> None:
        if not self._running:
            raise GatewayUnavailable("The gateway does not run", hint="Start it with `run`")
