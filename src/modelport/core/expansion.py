"""Expansion of `$(VAR)` as in Kubernetes, and of bare `$AIP_*` as a documented extension."""

from __future__ import annotations

import re
from collections.abc import Mapping

# One pass from left to right: an escaped `$$(VAR)`, a reference `$(VAR)`, or a bare `$AIP_X` / `${AIP_X}`.
_REFERENCE = re.compile(
    r"\$\$(?P<escaped>\([A-Za-z_][A-Za-z0-9_]*\))"
    r"|\$\((?P<name>[A-Za-z_][A-Za-z0-9_]*)\)"
    r"|\$(?P<brace>\{)?(?P<bare>AIP_[A-Z0-9_]+)(?(brace)\})"
)


def expand(text: str, variables: Mapping[str, str], *, bare_aip: bool = True) -> str:
    """Return `text` with its references replaced; unknown references stay as written.

    Args:
        text: one argument, route or value.
        variables: AIP_* variables and the version's own `env`; the image's ENV is not visible, as in the original.
        bare_aip: also replace `$AIP_X` and `${AIP_X}`.
    """

    def replace(match: re.Match[str]) -> str:
        if match["escaped"]:
            return f"${match['escaped']}"
        if match["name"]:
            return variables.get(match["name"], match[0])
        return variables.get(match["bare"], match[0]) if bare_aip else match[0]

    return _REFERENCE.sub(replace, text)
