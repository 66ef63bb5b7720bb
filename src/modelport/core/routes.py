"""The routing table: which replicas answer for which version, and how a model's traffic is split.

A table is consistent by construction: a split that names a version without a route cannot be built.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

from modelport.core.replicas import Address


@dataclass(frozen=True)
class Limits:
    """What the gateway enforces for one version.

    Attributes:
        concurrency: requests at one time on one replica; the rest wait in the version's queue.
        queue: requests that may wait; one more is answered 429 with Retry-After.
        queue_timeout_s: longest wait in the queue.
        timeout_s: longest silence of the replica (until its first byte, and between two).
        request_bytes: largest declared request body.
        response_bytes: largest declared response body.
    """

    concurrency: int = 64
    queue: int = 256
    queue_timeout_s: float = 30.0
    timeout_s: float = 60.0
    request_bytes: int = 10 * 1024 * 1024
    response_bytes: int = 10 * 1024 * 1024


@dataclass(frozen=True, order=True)
class Server:
    """One routed replica; `name` is unique in the whole table."""

    name: str
    address: Address


@dataclass(frozen=True)
class VersionRoute:
    """One live version: full name, the container's predict path, its healthy replicas (none: 503), its limits."""

    version: str
    predict_path: str
    servers: tuple[Server, ...]
    limits: Limits = Limits()


@dataclass(frozen=True)
class Split:
    """A model's traffic: (full version name, percent) pairs that sum to 100. The default version alone has 100."""

    model: str
    shares: tuple[tuple[str, int], ...]

    def __post_init__(self) -> None:
        if any(share < 0 for _, share in self.shares) or sum(share for _, share in self.shares) != 100:
            raise ValueError(f"the shares of `{self.model}` must be 0 to 100 and sum to 100: {self.shares}")

    def buckets(self) -> tuple[str, ...]:
        """Return the version of each of the 100 buckets."""
        return tuple(version for version, share in self.shares for _ in range(share))


@dataclass(frozen=True)
class RouteTable:
    """Everything that the gateway routes; equal tables have equal digests."""

    routes: tuple[VersionRoute, ...] = ()
    splits: tuple[Split, ...] = ()

    def __post_init__(self) -> None:
        versions = [route.version for route in self.routes]
        servers = [server.name for route in self.routes for server in route.servers]
        if len(set(versions)) != len(versions) or len(set(servers)) != len(servers):
            raise ValueError("a version or a server stands twice in the table")
        if len({split.model for split in self.splits}) != len(self.splits):
            raise ValueError("a model has two splits")
        known = set(versions)
        for split in self.splits:
            if missing := [version for version, share in split.shares if version not in known]:
                raise ValueError(f"the split of `{split.model}` names versions without a route: {missing}")

    @cached_property
    def digest(self) -> str:
        """Return the identity of the table, for comparison only."""
        content = repr((sorted(map(repr, self.routes)), sorted(map(repr, self.splits))))
        return hashlib.sha256(content.encode()).hexdigest()[:16]
