"""Update masks: which fields a patch changes. Pure."""

from __future__ import annotations

import difflib
import re

from modelport.core.errors import InvalidArgument, Violation


def parse_mask(text: str, allowed: tuple[str, ...], *, what: str) -> tuple[str, ...]:
    """Return the paths of an update mask in camelCase, each one of `allowed`; snake_case is understood.

    Raises:
        InvalidArgument: the mask is empty or names a field that cannot be changed.
    """
    paths = dict.fromkeys(_camel(path.strip()) for path in text.split(",") if path.strip())
    writable = ", ".join(f"`{path}`" for path in allowed)
    if not paths:
        problem = f"It is empty; name the fields of the {what} to change: {writable}."
        raise InvalidArgument.listing((Violation("updateMask", problem),))
    violations = []
    for path in list(paths)[:20]:
        if path not in allowed:
            nearest = difflib.get_close_matches(path, allowed, n=1)
            suggestion = f"did you mean `{nearest[0]}`?" if nearest else f"these can: {writable}."
            problem = f"`{path[:80]}` cannot be changed after a {what} is created; {suggestion}"
            violations.append(Violation("updateMask", problem))
    if violations:
        raise InvalidArgument.listing(tuple(violations))
    return tuple(path for path in paths if path in allowed)


def _camel(path: str) -> str:
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), path)
