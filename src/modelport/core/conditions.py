"""Conditions: what is known of a version's way to READY, each with its time of change."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

# The reason of ImagePinned where the image is an environment: the message names its libraries.
INSTALLED = "LIBRARIES_INSTALLED"


class ConditionType(StrEnum):
    """The steps of a version in the order in which they turn true."""

    IMAGE_PINNED = "ImagePinned"
    ARTIFACTS_COPIED = "ArtifactsCopied"
    STARTED = "Started"
    LISTENING = "Listening"
    HEALTHY = "Healthy"
    ROUTED = "Routed"


class Truth(StrEnum):
    """Whether a condition holds; UNKNOWN while nobody has looked."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


@dataclass(frozen=True)
class Condition:
    """One statement about a version: `reason` is UPPER_SNAKE, `message` is for people."""

    type: ConditionType
    status: Truth
    reason: str
    message: str
    since: datetime


def set_condition(
    conditions: tuple[Condition, ...],
    type: ConditionType,
    status: Truth,
    *,
    now: datetime,
    reason: str = "",
    message: str = "",
) -> tuple[Condition, ...]:
    """Return the conditions with one of them stated anew; `since` moves only when the status turns."""
    new = Condition(type, status, reason, message, now)
    for index, old in enumerate(conditions):
        if old.type is type:
            if old.status is status:
                new = replace(new, since=old.since)
            return (*conditions[:index], new, *conditions[index + 1 :])
    return tuple(sorted((*conditions, new), key=lambda c: list(ConditionType).index(c.type)))
