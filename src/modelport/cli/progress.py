"""Progress: the conditions of a version as lines that people read while it comes up. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from modelport.cli.output import parse_time
from modelport.core.conditions import INSTALLED, ConditionType, Truth

_LABELS = {
    ConditionType.IMAGE_PINNED: ("image", "pinned"),
    ConditionType.ARTIFACTS_COPIED: ("artifacts", "copied"),
    ConditionType.STARTED: ("start", "started"),
    ConditionType.LISTENING: ("listen", "listening"),
    ConditionType.HEALTHY: ("health", "healthy"),
    ConditionType.ROUTED: ("route", "routed"),
}
_PENDING = {
    ConditionType.IMAGE_PINNED: "finding the image",
    ConditionType.ARTIFACTS_COPIED: "copying the artifacts",
    ConditionType.STARTED: "starting the replica",
    ConditionType.LISTENING: "waiting until it listens",
    ConditionType.HEALTHY: "waiting until it is healthy",
    ConditionType.ROUTED: "publishing the route",
}
# What may take long says in its condition how far it is.
_LONG = {ConditionType.IMAGE_PINNED: "{}", ConditionType.ARTIFACTS_COPIED: "copying the artifacts: {}"}
_TEXT_WIDTH = 56
_DIGEST = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")
_KEPT_FOLDER = re.compile(r"file://\S*?\b([0-9a-f]{64})\b\S*")


@dataclass(frozen=True)
class Line:
    """One line: what, the fact, and the seconds since the version was created."""

    label: str
    text: str
    seconds: float | None = None
    note: str = ""

    def __str__(self) -> str:
        time = seconds(self.seconds) if self.seconds is not None else ""
        return f"  {self.label:<9} {self.text:<{_TEXT_WIDTH}} {time:>7}   {self.note}".rstrip()


def turned(
    before: Sequence[dict[str, Any]], after: Sequence[dict[str, Any]], created: datetime, *, attempt: int = 1
) -> list[Line]:
    """Return a line for each condition that has become true since `before`, in the order in which that happened.

    The last step, routed, has none: READY says it. From the second attempt on, lines of the replica name it.
    """
    known = {(one["type"], one["since"]) for one in before if one["status"] == Truth.TRUE}
    new = [one for one in after if one["status"] == Truth.TRUE and (one["type"], one["since"]) not in known]
    ordered = sorted(new, key=lambda one: (one["since"], list(ConditionType).index(one["type"])))
    lines = [_line(one, created) for one in ordered if one["type"] != ConditionType.ROUTED]
    note = f"(attempt {attempt})" if attempt > 1 else ""
    return [replace(line, note=note) if line.label in ("start", "listen", "health") else line for line in lines]


def warned(conditions: Sequence[dict[str, Any]], warning: str, elapsed_s: float) -> Line:
    """Return the line of what looks wrong with the step that is being waited for."""
    waiting = (ConditionType(one["type"]) for one in conditions if one["status"] != Truth.TRUE)
    return Line(_LABELS[next(waiting, ConditionType.STARTED)][0], f"! {warning}", elapsed_s)


def stuck(conditions: Sequence[dict[str, Any]], phase: str, elapsed_s: float) -> Line | None:
    """Return the line of the step that failed, or None where nothing is known of it but the error itself.

    Args:
        conditions: as they are now.
        phase: the step that the error names, in the words of these lines.
        elapsed_s: seconds from create to failure.
    """
    for condition in conditions:
        label, fallback = _LABELS[ConditionType(condition["type"])]
        if label == phase and condition["status"] == Truth.FALSE:
            return Line(label, f"! {condition.get('message') or f'not {fallback}'}", elapsed_s)
    return None


def ready(name: str, conditions: Sequence[dict[str, Any]], created: datetime, *, note: str = "") -> Line:
    """Return the last line: READY, with the time at which the version was routed."""
    routed = next((one for one in conditions if one["type"] == ConditionType.ROUTED), None)
    return Line("READY", name, _since(routed, created) if routed else None, note)


def pending(conditions: Sequence[dict[str, Any]]) -> str:
    """Return what is being waited for now; of what takes long, how far it is."""
    for step, form in _LONG.items():
        for one in conditions:
            if one["type"] == step and one["status"] == Truth.FALSE and one.get("message"):
                return form.format(one["message"])
    true = {one["type"] for one in conditions if one["status"] == Truth.TRUE}
    return next((text for step, text in _PENDING.items() if step not in true), "finishing")


def seconds(value: float) -> str:
    """Return a duration as people say it: `0.2 s`, `41 s`, `2 min 5 s`."""
    if value < 10:
        return f"{value:.1f} s"
    whole = round(value)
    return f"{whole} s" if whole < 100 else f"{whole // 60} min {whole % 60} s"


def _line(condition: dict[str, Any], created: datetime) -> Line:
    step = ConditionType(condition["type"])
    label, fallback = _LABELS[step]
    # A folder is pinned as a copy in the platform's cache; where that lies is of no interest here.
    text = _DIGEST.sub(r"\1…", _KEPT_FOLDER.sub(r"folder \1", condition.get("message") or ""))
    if step is ConditionType.IMAGE_PINNED and text:
        text = f"{'installed' if condition.get('reason') == INSTALLED else 'pinned'} {text}"
    return Line(label, text or fallback, _since(condition, created))


def _since(condition: dict[str, Any], created: datetime) -> float:
    return max(0.0, (parse_time(condition["since"]) - created).total_seconds())
