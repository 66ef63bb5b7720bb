"""Which models must go before another is loaded. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Held:
    """A model in memory: its bytes, when it was last asked (any clock), and whether a request is with it now."""

    name: str
    size: int
    last_used: float
    in_use: bool


def to_evict(held: Iterable[Held], wanted: int, budget: int) -> tuple[str, ...] | None:
    """Return the names of those that make room for `wanted` bytes within `budget`, least recently used first.

    None where there is not enough room without one that is in use. Where nothing is left to evict, and nothing is in
    use either, a model that is larger than the budget is let in alone: its size was a guess.
    """
    models = list(held)
    excess = sum(one.size for one in models) + wanted - budget
    idle = sorted((one for one in models if not one.in_use), key=lambda one: one.last_used)
    names: list[str] = []
    for one in idle:
        if excess <= 0:
            break
        excess -= one.size
        names.append(one.name)
    if excess > 0 and len(idle) < len(models):
        return None
    return tuple(names)
