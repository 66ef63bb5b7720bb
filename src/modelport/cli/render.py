"""Rendering: one resource as text that people read, field by field. Pure."""

from __future__ import annotations

from typing import Any

import yaml


def details(resource: dict[str, Any]) -> str:
    """Return a resource as YAML, in the API's own order and words."""
    return yaml.safe_dump(
        resource, sort_keys=False, allow_unicode=True, default_flow_style=False, width=10_000
    ).rstrip()


def _without_blanks(value: Any) -> Any:
    """Leave out fields that say nothing: the document has them for programs."""
    if isinstance(value, dict):
        return {key: _without_blanks(one) for key, one in value.items() if one not in (None, "", [], {})}
    return [_without_blanks(one) for one in value] if isinstance(value, list) else value
