"""The witness: follows one replica while it starts, and remembers what it saw for the doctor."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, replace
from datetime import datetime

import anyio

from modelport.core.errors import Error
from modelport.core.facts import ReplicaFacts
from modelport.core.replicas import LogLine
from modelport.doctor.evidence import Usage
from modelport.drivers.base import Driver

LOG_LINES = 400
_LOG_S = 5.0
_SAMPLES = 240
_BUSY_CORES = 0.1
# What our own probes make servers print must not count as life.
_ACCESS = re.compile(r"\b(GET|OPTIONS|HEAD) (https?://\S+|/\S*)|Not Found: /")
_CHANGING = re.compile(r"0x[0-9a-f]+|\d+")


@dataclass(frozen=True)
class Sighting:
    """What was seen so far; see the attributes of the same names of `Evidence`."""

    facts: ReplicaFacts | None = None
    usage: tuple[Usage, ...] = ()
    log: tuple[LogLine, ...] = ()
    quiet_s: float = 0.0


class Witness:
    """Looks when it is told to; `sighting` is what it knows. One for each replica; a new attempt starts anew."""

    def __init__(self, driver: Driver, name: str, *, now: Callable[[], datetime]) -> None:
        self._driver = driver
        self._name = name
        self._now = now
        self._attempt = 0
        self._started = now()
        self._active = now()
        self._facts: ReplicaFacts | None = None
        self._usage: deque[Usage] = deque(maxlen=_SAMPLES)
        self._log: tuple[LogLine, ...] = ()
        self._known: set[str] = set()
        self._heard: LogLine | None = None

    @property
    def sighting(self) -> Sighting:
        """Return what was seen so far."""
        quiet_s = (self._now() - self._active).total_seconds()
        return Sighting(self._facts, tuple(self._usage), self._log, quiet_s)

    async def look(self, *, running: bool) -> None:
        """Look once more. Of a replica that runs no longer only the log and how it ended can still be seen."""
        facts = await self._driver.facts(self._name)
        if facts is not None and facts.attempt != self._attempt:
            self._attempt, self._started, self._active = facts.attempt, self._now(), self._now()
            self._usage.clear()
            self._known.clear()
            self._facts = None
        await self._read_log()
        if facts is None:
            return
        before = self._facts
        self._facts = _remembered(before, facts)
        if running:
            self._measure(before, facts)

    async def new_log(self) -> str:
        """Return what was printed since the last call of this method."""
        await self._read_log()
        heard = next((index for index in reversed(range(len(self._log))) if self._log[index] == self._heard), -1)
        self._heard = self._log[-1] if self._log else None
        return "\n".join(line.text for line in self._log[heard + 1 :])

    async def _read_log(self) -> None:
        lines: deque[LogLine] = deque(maxlen=LOG_LINES)
        reading = self._driver.logs(self._name, tail=LOG_LINES)
        try:
            with anyio.move_on_after(_LOG_S):
                async for line in reading:
                    lines.append(line)
        except Error:
            return
        finally:
            if isinstance(reading, AsyncGenerator):
                await reading.aclose()
        if not lines:
            return
        self._log = tuple(lines)
        # A line that differs from an earlier one in its numbers only is no news.
        shapes = {_CHANGING.sub("#", line.text) for line in lines if not _ACCESS.search(line.text)}
        if shapes - self._known:
            self._active = self._now()
        self._known |= shapes

    def _measure(self, before: ReplicaFacts | None, facts: ReplicaFacts) -> None:
        at_s = (self._now() - self._started).total_seconds()
        last = self._usage[-1] if self._usage else None
        self._usage.append(Usage(at_s, facts.cpu_s, facts.memory_bytes))
        busy = (
            last is not None
            and facts.cpu_s is not None
            and last.cpu_s is not None
            and facts.cpu_s - last.cpu_s > _BUSY_CORES * max(at_s - last.at_s, 0.1)
        )
        if before is None or busy or before.sockets != facts.sockets or _pids(before) != _pids(facts):
            self._active = self._now()


def _pids(facts: ReplicaFacts) -> frozenset[int]:
    return frozenset(process.pid for process in facts.processes or ())


def _remembered(before: ReplicaFacts | None, now: ReplicaFacts) -> ReplicaFacts:
    """Return what is seen now; what a replica that has ended shows no more stays as it was seen last."""
    if before is None:
        return now
    return replace(
        now,
        command=now.command or before.command,
        sockets=now.sockets if now.sockets is not None else before.sockets,
        processes=now.processes if now.processes is not None else before.processes,
        cpu_s=now.cpu_s if now.cpu_s is not None else before.cpu_s,
        memory_bytes=now.memory_bytes if now.memory_bytes is not None else before.memory_bytes,
        memory_peak_bytes=max(
            (peak for peak in (now.memory_peak_bytes, before.memory_peak_bytes) if peak is not None), default=None
        ),
        memory_limit_bytes=now.memory_limit_bytes or before.memory_limit_bytes,
        oom_kills=now.oom_kills if now.oom_kills is not None else before.oom_kills,
        entry=now.entry or before.entry,
        address=now.address or before.address,
    )
