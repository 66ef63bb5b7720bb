"""The actions: starts and stops under way in the background, at most one for each replica."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from anyio import sleep
from anyio.abc import TaskGroup

from modelport.control.fleet import Fleet
from modelport.core.errors import Error, Unavailable
from modelport.core.replicas import ReplicaSpec
from modelport.drivers.base import Driver

_log = logging.getLogger(__name__)
_RETRY_S = 1.0
_LONGEST_RETRY_S = 60.0


class Actions:
    """Runs driver calls without holding up the worker of a version; `done(owner)` is called when one has ended."""

    def __init__(self, driver: Driver, fleet: Fleet, *, stop_grace_s: float, done: Callable[[str], None]) -> None:
        self._driver = driver
        self._fleet = fleet
        self._stop_grace_s = stop_grace_s
        self._done = done
        self._busy: set[str] = set()
        self._errors: dict[str, Error] = {}
        self._refusals: dict[str, int] = {}

    def busy(self, name: str) -> bool:
        """Return whether a start or stop of this replica is under way."""
        return name in self._busy

    def error(self, name: str) -> Error | None:
        """Return why the last start of this replica was refused for good, or None."""
        return self._errors.get(name)

    def start(self, tasks: TaskGroup, spec: ReplicaSpec) -> None:
        """Start a replica; what the driver refuses for good is kept for `error`."""
        if spec.name not in self._busy:
            self._errors.pop(spec.name, None)
        self._begin(tasks, spec.name, spec.owner, lambda: self._driver.ensure(spec))

    def stop(self, tasks: TaskGroup, name: str, owner: str) -> None:
        """Stop a replica."""
        self._errors.pop(name, None)
        self._refusals.pop(name, None)
        self._begin(tasks, name, owner, lambda: self._driver.stop(name, grace_s=self._stop_grace_s))

    def _begin(self, tasks: TaskGroup, name: str, owner: str, call: Callable[[], Awaitable[None]]) -> None:
        if name not in self._busy:
            self._busy.add(name)
            tasks.start_soon(self._perform, name, owner, call)

    async def _perform(self, name: str, owner: str, call: Callable[[], Awaitable[None]]) -> None:
        try:
            await call()
            # Seen before it is released: else the next plan would not know of it and act again.
            await self._fleet.refresh()
            self._refusals.pop(name, None)
        except Unavailable as error:
            _log.warning("%s: %s", name, error.message)
            await sleep(_RETRY_S)
        except Error as error:
            _log.warning("%s: %s", name, error.message)
            self._errors[name] = error
            self._refusals[name] = self._refusals.get(name, 0) + 1
            self._done(owner)  # a version that is being created fails on this at once; others are tried again
            await sleep(min(_LONGEST_RETRY_S, _RETRY_S * 2 ** self._refusals[name]))
        finally:
            self._busy.discard(name)
            self._done(owner)
