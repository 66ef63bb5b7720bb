"""The models in memory: one is loaded when it is first asked for, and the one least recently used makes room for it.

A model that a request is with is never evicted; a request for a model that finds no room waits until there is.
"""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from modelport.core.errors import Error, ModelCannotBeLoaded, ResourceExhausted
from modelport.server import memory_limit
from modelport.server.exchange import Handler
from modelport.server.metrics import Metrics
from modelport.server.multi_model.catalogue import size_on_disk
from modelport.server.multi_model.eviction import Held, to_evict
from modelport.server.notices import notice

_RETRY_S = 10.0  # until a model that could not be loaded is tried again
_PATIENCE_S = 30.0  # for room in memory


@dataclass(frozen=True)
class Opened:
    """A model that is ready: what answers its requests, and what ends it."""

    handler: Handler
    close: Callable[[], None]


Open = Callable[[str, Path], Coroutine[Any, Any, Opened]]


@dataclass(slots=True)
class _Resident:
    opened: Opened
    size: int
    last_used: float
    users: int = 0


@dataclass(frozen=True, slots=True)
class _Failure:
    error: Error
    until: float


@dataclass(slots=True)
class Residents:
    """Holds models by name.

    Attributes:
        models: where each of them is.
        open: loads one and warms it up.
        budget: bytes that all of them together may have.
        max_waiting: most requests that wait for a model to be loaded.
        clock: seconds.
        metrics: count what is loaded and evicted.
    """

    models: Mapping[str, Path]
    open: Open
    budget: int
    max_waiting: int
    clock: Callable[[], float] = time.monotonic
    metrics: Metrics = field(default_factory=Metrics)
    _held: dict[str, _Resident] = field(default_factory=dict)
    _sizes: dict[str, int] = field(default_factory=dict)  # as measured when they were loaded before
    _failed: dict[str, _Failure] = field(default_factory=dict)
    _waiting: int = 0
    _turn: anyio.Lock = field(default_factory=anyio.Lock)  # one is loaded at a time: its memory can be measured then
    _freed: anyio.Event = field(default_factory=anyio.Event)

    def __contains__(self, name: str) -> bool:
        """Return whether a model is in memory."""
        return name in self._held

    @property
    def names(self) -> tuple[str, ...]:
        """Return the models in memory."""
        return tuple(self._held)

    @property
    def size(self) -> int:
        """Return the bytes of the models in memory."""
        return sum(one.size for one in self._held.values())

    def hold(self, name: str) -> Opened | None:
        """Return a model that is in memory, in use until `release`; None where it is not there."""
        resident = self._held.get(name)
        if resident is None:
            return None
        resident.users += 1
        resident.last_used = self.clock()
        return resident.opened

    def release(self, name: str) -> None:
        """End one use of a model."""
        resident = self._held[name]
        resident.users -= 1
        resident.last_used = self.clock()
        if not resident.users and self._waiting:
            self._freed.set()

    async def load(self, name: str) -> Opened:
        """Return a model, in use until `release`; it is loaded first where it is not in memory.

        Raises:
            ModelCannotBeLoaded: it cannot be; that is known for a while and not tried again with each request.
            ResourceExhausted: too many requests wait already, or there is no room because all others are in use.
        """
        async with self._queued(), self._turn:
            opened = self.hold(name)
            if opened is not None:
                return opened
            failure = self._failed.get(name)
            if failure is not None and self.clock() < failure.until:
                raise failure.error
            await self._make_room(name)
            before, libraries, began = memory_limit.resident_bytes(), len(sys.modules), self.clock()
            try:
                opened = await self.open(name, self.models[name])
            except Exception as error:
                told = _told(name, error)
                self._failed[name] = _Failure(told, self.clock() + _RETRY_S)
                raise told from error
            size = size_on_disk(self.models[name])
            if len(sys.modules) == libraries:  # else most of what was added is a framework, which stays
                size = self._sizes[name] = max(size, memory_limit.resident_bytes() - before)
            self._held[name] = _Resident(opened, size, self.clock(), users=1)
            self.metrics.loaded()
            notice(
                f"model {name} loaded in {self.clock() - began:.2f} s, {size / 2**20:.1f} MiB; {len(self._held)} held"
            )
            return opened

    def close(self) -> None:
        """End all models."""
        for resident in self._held.values():
            resident.opened.close()

    @asynccontextmanager
    async def _queued(self) -> AsyncIterator[None]:
        if self._waiting >= self.max_waiting:
            raise ResourceExhausted(
                f"{self._waiting} requests wait for models to be loaded already; {self.max_waiting} may",
                hint="Try again later, or add replicas or memory",
            )
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    async def _make_room(self, name: str) -> None:
        wanted = self._sizes.get(name) or size_on_disk(self.models[name])
        with anyio.move_on_after(_PATIENCE_S):
            while (names := self._to_evict(wanted)) is None:
                self._freed = anyio.Event()
                await self._freed.wait()
            for evicted in names:
                self._held.pop(evicted).opened.close()
                self.metrics.evicted()
                notice(f"model {evicted} evicted to make room for {name}")
            if names:
                await anyio.to_thread.run_sync(memory_limit.give_back)
            return
        raise ResourceExhausted(
            f"There is no room in memory for the model `{name}`: it needs {wanted / 2**20:.1f} MiB,"
            f" {self.size / 2**20:.1f} of {self.budget / 2**20:.1f} MiB are held by models in use",
            hint="Try again later, or add replicas or memory",
        )

    def _to_evict(self, wanted: int) -> tuple[str, ...] | None:
        held = [Held(name, one.size, one.last_used, one.users > 0) for name, one in self._held.items()]
        return to_evict(held, wanted, self.budget)


def _told(name: str, error: Exception) -> Error:
    """Return what a caller is told about a model that cannot be loaded: it is not his fault."""
    text = error.message if isinstance(error, Error) else f"{type(error).__name__}: {error}"
    hint = error.hint if isinstance(error, Error) else "See the server's log"
    return ModelCannotBeLoaded(f"The model `{name}` cannot be loaded: {text}", hint=hint, model=name)
