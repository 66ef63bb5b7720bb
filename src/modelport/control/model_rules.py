"""What a model may be: a draft as it was sent, and all that is wrong with it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from modelport.control.labels import description_violations, label_violations
from modelport.control.version_rules import beside
from modelport.core.errors import Violation
from modelport.core.names import id_violation

_REGION = re.compile(r"[a-z]+(-[a-z]+)+[0-9]{1,3}")


@dataclass(frozen=True)
class ModelDraft:
    """A model as it was sent; `unreadable` is what could not be read at all (unknown fields, wrong types)."""

    id: str = ""
    description: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    regions: tuple[str, ...] = ()
    online_prediction_logging: bool = False
    online_prediction_console_logging: bool = False
    default_version: str = ""
    etag: str = ""
    unreadable: tuple[Violation, ...] = ()


def model_violations(draft: ModelDraft) -> tuple[Violation, ...]:
    """Return everything that is wrong with a draft of a new model."""
    found = [
        *_name(draft),
        *description_violations(draft.description, "model.description"),
        *label_violations(draft.labels, "model.labels"),
        *_regions(draft.regions),
    ]
    if draft.online_prediction_logging:
        found.append(Violation("model.onlinePredictionLogging", "Access logs are not kept yet; leave it out."))
    return beside(draft.unreadable, found)


def _name(draft: ModelDraft) -> Iterator[Violation]:
    if not draft.id:
        yield Violation("model.name", "It is empty; name the model, for example `iris`.")
    elif problem := id_violation(draft.id, what="model"):
        yield Violation("model.name", problem)


def _regions(regions: tuple[str, ...]) -> Iterator[Violation]:
    if len(regions) > 1:
        yield Violation("model.regions", f"There are {len(regions)} regions; at most one is allowed.")
    for index, region in enumerate(regions[:1]):
        if not _REGION.fullmatch(region):
            yield Violation(f"model.regions[{index}]", f"`{region[:80]}` is not a region such as `us-central1`.")
