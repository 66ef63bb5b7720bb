"""The gateway on HAProxy: publishes tables, confirms them by reading back, and keeps the process running."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping

import anyio
from anyio.abc import TaskStatus

from modelport.core.errors import Error, GatewayRejected, GatewayUnavailable, SlotsExhausted
from modelport.core.routes import RouteTable
from modelport.gateway import tables
from modelport.gateway.base import GatewayStatus, RequestError
from modelport.gateway.config import ROUTES_MAP, SLOTS_MAP, SPLITS_MAP, GatewayConfig
from modelport.gateway.journal import RING, read_journal
from modelport.gateway.readback import ProcessInfo, read_installed, read_load
from modelport.gateway.runtime import AdminSocket
from modelport.gateway.supervise import Supervisor
from modelport.gateway.tables import Installed

_log = logging.getLogger(__name__)

_TIDY_PERIOD_S = 1.0
_MAX_PAUSE_S = 1.0
_MAKE_ROOM_TRIES = 5
_MAKE_ROOM_PAUSE_S = 0.05
# One that dies as soon as it starts must not keep a core busy with starting it.
_SHORT_LIFE_PAUSE_S = 0.1
# Rows of `show stat`: 4 is servers, 2 is whole backends.
_SERVER_ROWS = 4
_ALL_ROWS = 6


class HAProxyGateway:
    """Implements `gateway.base.Gateway`. One object drives one HAProxy; another one may take over at any time."""

    def __init__(self, config: GatewayConfig) -> None:
        self._config = config
        self._admin = AdminSocket(config.admin_socket)
        self._supervisor = Supervisor(config, self._admin)
        # One conversation that changes something at a time.
        self._lock = anyio.Lock()
        self._process: ProcessInfo | None = None
        self._message = "not started"
        # What HAProxy held when it was last read back; None when that is not known.
        self._installed: Installed | None = None
        # What was last published, or found in an adopted HAProxy: it is published again when HAProxy has died.
        self._table: RouteTable | None = None
        # The same in the caller's own spelling, for its digest, which is worked out only when asked for.
        self._published: RouteTable | None = None

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Adopt or start HAProxy and keep it running, for ever; see the contract."""
        async with self._lock:
            process = await self._begin()
        task_status.started()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._tidy_for_ever)
            while True:
                since = anyio.current_time()
                await self._supervisor.wait_until_dead(process)
                _log.error("HAProxy (pid %d) has died; starting it again", process.pid)
                lived_s = anyio.current_time() - since
                process = await self._begin_again(pause=0 if lived_s > _MAX_PAUSE_S else _SHORT_LIFE_PAUSE_S)

    async def adopted(self) -> RouteTable:
        """Return what HAProxy serves now."""
        return tables.routed(await self._read())

    async def publish(self, table: RouteTable) -> None:
        """Make HAProxy serve the table; see the contract."""
        wanted = tables.canonical(table)
        async with self._lock:
            self._require_running()
            if wanted != self._table or self._installed is None:
                await self._install(wanted)
                self._table = wanted
            self._published = table

    async def in_flight(self) -> Mapping[str, int]:
        """Return requests under way by server, those in a server's own queue included."""
        self._require_running()
        counts: Counter[str] = Counter()
        for load in read_load(await self._admin.ask(f"show stat -1 {_SERVER_ROWS} -1")).values():
            counts.update(load.servers)
        return dict(counts)

    async def recent_errors(self) -> tuple[RequestError, ...]:
        """Return what HAProxy remembers of requests that failed."""
        self._require_running()
        return read_journal(await self._admin.ask(f"show events {RING}"))

    async def terminate(self) -> None:
        """End the HAProxy of this directory, whoever started it: for `modelport shutdown`, not for a handover."""
        await self._supervisor.terminate()

    def status(self) -> GatewayStatus:
        """Return what was last seen."""
        if self._process is None:
            return GatewayStatus(running=False, version="", digest="", message=self._message)
        digest = self._published.digest if self._published else ""
        return GatewayStatus(True, self._process.version, digest, self._message)

    def _require_running(self) -> None:
        if self._process is None:
            raise GatewayUnavailable(f"HAProxy does not run: {self._message}", hint="It is started again by itself")

    async def _begin(self) -> ProcessInfo:
        """Start or adopt; the lock is held. A new process gets the last table at once."""
        self._installed = None
        if self._table is None and await self._supervisor.running():
            # Read before a process of another configuration is replaced: the new one must serve the same.
            found = await self._read()
            if tables.serves(found):
                self._table = tables.routed(found)
                self._published = self._table
        process = await self._supervisor.ensure()
        if self._table is not None:
            await self._install(self._table)
        self._process, self._message = process, ""
        return process

    async def _begin_again(self, *, pause: float) -> ProcessInfo:
        async with self._lock:
            self._process, self._installed, self._message = None, None, "has died; is being started again"
        while True:
            await anyio.sleep(pause)
            try:
                async with self._lock:
                    return await self._begin()
            except Error as error:
                # The control plane must not end for this: it would take the replicas' supervision with it.
                self._message = error.message
                _log.error("HAProxy cannot be started again: %s", error.message)
            pause = min(_MAX_PAUSE_S, pause * 2 or 0.1)

    async def _install(self, wanted: RouteTable) -> None:
        """Bring HAProxy to the (canonical) table and confirm it; the lock is held."""
        commands = await self._commands(wanted)
        said = await self._change(commands)
        if await self._commands(wanted):
            self._installed = None
            raise GatewayRejected(f"HAProxy does not serve the table that was published; it said: {said[:1000]!r}")

    async def _commands(self, wanted: RouteTable) -> list[str]:
        if self._installed is None:
            self._installed = await self._read()
        for _attempt in range(_MAKE_ROOM_TRIES):
            try:
                return tables.commands(self._installed, wanted, slots=self._config.slots)
            except SlotsExhausted:
                # Slots of versions that have left may be idle by now; HAProxy takes a moment to drop idle connections.
                await self._tidy()
                await anyio.sleep(_MAKE_ROOM_PAUSE_S)
        return tables.commands(self._installed, wanted, slots=self._config.slots)

    async def _read(self) -> Installed:
        routes, splits, slots, servers = [
            await self._admin.ask(question)
            for question in (
                f"show map {ROUTES_MAP}",
                f"show map {SPLITS_MAP}",
                f"show map {SLOTS_MAP}",
                "show servers state",
            )
        ]
        return read_installed(routes=routes, splits=splits, slots=slots, servers=servers)

    async def _tidy_for_ever(self) -> None:
        while True:
            await anyio.sleep(_TIDY_PERIOD_S)
            try:
                async with self._lock:
                    await self._tidy()
            except (GatewayUnavailable, GatewayRejected) as error:
                _log.warning("HAProxy could not be tidied: %s", error.message)

    async def _tidy(self) -> None:
        """Remove servers that have finished, and free slots without any; the lock is held."""
        if self._process is None or self._installed is None:
            return
        left = tables.leaving(self._installed)
        if left or self._installed.stale_splits():
            questions = [f"show stat {slot} {_ALL_ROWS} -1" for slot in left]
            loads = read_load(await self._admin.tell(questions))
            await self._change(tables.finished(self._installed, loads))
            # Only what is seen to be without servers is free: HAProxy may have refused to delete one.
            await self._change(tables.empty_slots(self._installed))

    async def _change(self, commands: list[str]) -> str:
        """Send commands and read back what has come of them; return what HAProxy said."""
        if not commands:
            return ""
        # Not known from here on until it was read back, whatever ends this call.
        self._installed = None
        said = await self._admin.tell(commands)
        self._installed = await self._read()
        return said
