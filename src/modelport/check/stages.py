"""The stages of a check as they pass: each is timed, told at once, and kept for the report."""

from __future__ import annotations

from collections.abc import Callable

from modelport.check.report import Outcome, Stage, StageName
from modelport.doctor.redaction import masked_text

_TEXT = 160


class Stages:
    """Keeps the stages in order; `clock` gives seconds."""

    def __init__(self, told: Callable[[Stage], None], clock: Callable[[], float]) -> None:
        self._told = told
        self._clock = clock
        self._since = clock()
        self._stages: list[Stage] = []

    @property
    def told(self) -> tuple[Stage, ...]:
        """Return the stages that have ended."""
        return tuple(self._stages)

    @property
    def next(self) -> StageName:
        """Return the stage that is under way: the first of those that nothing was told of."""
        told = {stage.name for stage in self._stages}
        return next((name for name in StageName if name not in told), list(StageName)[-1])

    @property
    def all(self) -> tuple[Stage, ...]:
        """Return every stage, those that were never reached as skipped."""
        known = {stage.name for stage in self._stages}
        missing = [Stage(name, Outcome.SKIPPED, "", 0.0) for name in StageName if name not in known]
        return tuple(sorted([*self._stages, *missing], key=lambda stage: list(StageName).index(stage.name)))

    def passed(self, name: StageName, text: str = "") -> None:
        """Say that a stage went well; it lasted since the one before."""
        self._tell(name, Outcome.PASSED, text)

    def failed(self, name: StageName, text: str) -> None:
        """Say that a stage failed."""
        self._tell(name, Outcome.FAILED, text)

    def skipped(self, name: StageName, text: str) -> None:
        """Say why a stage was not tried."""
        self._tell(name, Outcome.SKIPPED, text)

    def _tell(self, name: StageName, outcome: Outcome, text: str) -> None:
        now = self._clock()
        shown = masked_text(" ".join(text.split()))
        stage = Stage(name, outcome, shown if len(shown) <= _TEXT else f"{shown[:_TEXT]}…", now - self._since)
        self._since = now
        self._stages.append(stage)
        self._told(stage)
