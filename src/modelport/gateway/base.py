"""The gateway: the data plane that routes predictions to replicas.

The whole table is published each time: atomic, idempotent, no deltas to lose.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from anyio.abc import TaskStatus

from modelport.core.routes import RouteTable


@dataclass(frozen=True)
class GatewayStatus:
    """What is known of the data plane: `digest` of the table that it confirmed last, or empty."""

    running: bool
    version: str
    digest: str
    message: str = ""


class Gateway(Protocol):
    """Implemented by `haproxy` (real) and `fake` (in process)."""

    async def run(self, *, task_status: TaskStatus[None]) -> None:
        """Adopt the running data plane or start one, keep it running, for ever.

        `task_status.started()` is called when it accepts connections. When it dies it is started again and the last
        table is published anew. Cancelling this leaves the data plane running: predictions outlive the control plane.
        """
        ...

    async def adopted(self) -> RouteTable:
        """Return the table that the data plane serves now, read back from it (empty after a fresh start)."""
        ...

    async def publish(self, table: RouteTable) -> None:
        """Make the data plane serve `table`, and return when it has confirmed that. Equal table: nothing is sent.

        Adds before it removes; servers that leave finish the requests they have (see `in_flight`).

        Raises:
            SlotsExhausted: more live versions than slots; the old table stays.
            GatewayUnavailable: it does not answer now.
            GatewayRejected: it refused, or confirmed something else.
        """
        ...

    async def in_flight(self) -> Mapping[str, int]:
        """Return the number of requests under way on each server known to the data plane, leaving ones included."""
        ...

    def status(self) -> GatewayStatus:
        """Return what was last seen, without asking."""
        ...
