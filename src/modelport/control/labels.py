"""Rules for what people write beside a resource: labels and descriptions. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from modelport.core.errors import Violation

MAX_LABELS = 64
MAX_DESCRIPTION = 10_000
_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_VALUE = re.compile(r"[a-z0-9_-]{0,63}")


def label_violations(labels: Mapping[str, str], field: str) -> Iterator[Violation]:
    """Yield what is wrong with the labels; `field` is their path in the request."""
    if len(labels) > MAX_LABELS:
        yield Violation(field, f"There are {len(labels)} labels; at most {MAX_LABELS} are allowed.")
    for key, value in labels.items():
        if not _KEY.fullmatch(key):
            yield Violation(
                field,
                f"The key `{key[:80]}` must start with a lower-case letter and have lower-case letters, digits, `_`"
                " and `-`, at most 63 in all.",
            )
        if not _VALUE.fullmatch(value):
            yield Violation(
                f"{field}.{key[:80]}",
                f"The value `{value[:80]}` must have lower-case letters, digits, `_` and `-`, at most 63 in all.",
            )


def description_violations(description: str, field: str) -> Iterator[Violation]:
    """Yield what is wrong with a description."""
    if len(description) > MAX_DESCRIPTION:
        yield Violation(field, f"It has {len(description)} characters; at most {MAX_DESCRIPTION} are allowed.")
