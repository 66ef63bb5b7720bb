"""How long calls take: a histogram that is cheap to add to."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field

BOUNDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@dataclass(slots=True)
class Times:
    """The calls of one kind.

    Attributes:
        counts: of calls by the bounds, and beyond them.
        total: seconds of all.
        failed: how many of them failed.
    """

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    total: float = 0.0
    failed: int = 0

    def add(self, seconds: float, *, failed: bool) -> None:
        """Count a call."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds
        self.failed += failed

    def buckets(self) -> list[tuple[str, float]]:
        """Return the calls that took at most each bound, as Prometheus wants them."""
        reached, found = 0, []
        for bound, count in zip((*map(str, BOUNDS), "+Inf"), self.counts, strict=True):
            reached += count
            found.append((bound, float(reached)))
        return found
