"""The gateway: the data plane that routes predictions to replicas.

The whole table is published each time: atomic, idempotent, no deltas to lose.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
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


@dataclass(frozen=True)
class RequestError:
    """A request that failed, as the gateway saw it. A time of `None`: the request did not come that far.

    Attributes:
        time: when it came in.
        request_id: sent back as `x-request-id`; the client's own where it sent one, else the replica's own.
        http_status: what was answered; 0 where the client left before there was an answer.
        reason: of the gateway's own answers; empty where a replica or the control plane answered with this status.
        version: that it was routed to; empty where it was not routed.
        path: bounded, without the query.
        replica: that it was last sent to.
        retries: connections tried again.
        received_s: the client took to send head and, where the gateway waited for it, body.
        queued_s: waited for a free replica.
        connected_s: took to connect.
        answered_s: the replica took up to the head of its answer.
        total_s: from the first byte of the request to the last of the answer.
        ended_by: how it ended, in HAProxy's letters.
    """

    time: datetime
    request_id: str
    http_status: int
    reason: str = ""
    version: str = ""
    method: str = ""
    path: str = ""
    replica: str = ""
    retries: int = 0
    received_s: float | None = None
    queued_s: float | None = None
    connected_s: float | None = None
    answered_s: float | None = None
    total_s: float | None = None
    ended_by: str = ""


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

    async def recent_errors(self) -> tuple[RequestError, ...]:
        """Return the last requests that failed, oldest first: those it refused itself and those answered with >= 500.

        Bounded: the oldest are forgotten. A control plane that starts finds them; a data plane that starts has none.

        Raises:
            GatewayUnavailable: it does not answer now.
        """
        ...

    def status(self) -> GatewayStatus:
        """Return what was last seen, without asking."""
        ...
