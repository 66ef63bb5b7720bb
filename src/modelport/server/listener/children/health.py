"""What is known of a model server's health, and what becomes of it by what was seen. Pure.

A server that answers its health path with anything but 200, or is not there, is unready at once. One that does not
answer in time may only be busy: it is unready after some such looks in a row. One that has answered nothing at all for
longer than any request to it may take is of no use to anybody.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

import orjson

from modelport.core.errors import ModelServerDown
from modelport.server.exchange import Response

_LATE_IN_A_ROW = 3  # looks without an answer in time after which a server is not taken for busy any more


class Phase(StrEnum):
    """Where a server is in its life."""

    STARTING = "starting"  # not ready once since its start
    READY = "ready"
    UNREADY = "unready"  # it was ready, runs, and is not ready now
    DOWN = "down"  # it does not run


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at a server's health has shown.

    Attributes:
        why: what is wrong; empty: it is ready.
        late: it was reached, and has not answered in time.
        answered: it has answered, whatever that was.
    """

    why: str = ""
    late: bool = False
    answered: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """How a server stands.

    Attributes:
        phase: where it is in its life.
        why: what is wrong; empty where it is ready.
        late: looks in a row that were not answered in time.
        heard: when it last answered a look, on a monotonic clock; at first, when it was started.
        ready_since: when it became ready after its last start, or None.
    """

    phase: Phase
    why: str
    late: int = 0
    heard: float = 0.0
    ready_since: float | None = None

    @property
    def takes_requests(self) -> bool:
        """Return whether requests are sent to it: whatever its health says, once it was ready it may answer them."""
        return self.phase in (Phase.READY, Phase.UNREADY)

    def refusal(self, server: str) -> ModelServerDown:
        """Return the error for a request that is not sent."""
        return ModelServerDown(f"The model server `{server}` is {self.phase}: {self.why}")


def started(now: float) -> Standing:
    """Return how a server stands that has just been started."""
    return Standing(Phase.STARTING, "it has just been started", heard=now)


def down(why: str) -> Standing:
    """Return how a server stands that has ended."""
    return Standing(Phase.DOWN, why)


def after(standing: Standing, look: Look, now: float) -> Standing:
    """Return how a server stands after a look at it."""
    if not look.why:
        since = now if standing.ready_since is None else standing.ready_since
        return Standing(Phase.READY, "", heard=now, ready_since=since)
    late = standing.late + 1 if look.late else 0
    standing = replace(standing, late=late, heard=now if look.answered else standing.heard)
    if standing.phase is Phase.STARTING:
        return replace(standing, why=look.why)
    if standing.phase is Phase.READY and 0 < late < _LATE_IN_A_ROW:
        return standing
    return replace(standing, phase=Phase.UNREADY, why=look.why)


def silent_s(standing: Standing, answered: float, now: float) -> float:
    """Return for how long a server that was ready, and is not, has answered nothing.

    Args:
        standing: how it stands.
        answered: when it last answered a request.
        now: on the same clock.
    """
    return now - max(standing.heard, answered) if standing.phase is Phase.UNREADY else 0.0


def report(standings: Iterable[tuple[str, Standing]], starting: str = "") -> Response:
    """Return the answer of the health route: 200, or which servers are not ready, and why.

    Args:
        standings: of the servers by name.
        starting: what the listener itself is still about; empty: nothing.
    """
    unready = {name: f"{one.phase}: {one.why}" for name, one in standings if one.phase is not Phase.READY}
    if not unready and not starting:
        return Response(200, b'{"status":"ready"}')
    body = {"status": "not ready", **({"listener": starting} if starting else {}), "servers": unready}
    return Response(503, orjson.dumps(body), headers={b"retry-after": b"1"})
