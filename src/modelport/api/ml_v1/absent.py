"""What to answer for methods that are not here: known ones of the original API by name, others as not found. Pure."""

from __future__ import annotations

import re

from modelport.core.errors import Error, MethodNotFound, Unimplemented

_OFFERED = "models, versions, operations, getConfig and predict"
_PROJECT = r"/v1/projects/[^/]+"
_UNOFFERED: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), what)
    for pattern, what in (
        (rf"{_PROJECT}/.*:(getIamPolicy|setIamPolicy|testIamPermissions)", "Access policies (IAM) are not offered"),
        (rf"{_PROJECT}(/.*)?:explain", "Explanations are not offered"),
        (rf"{_PROJECT}/jobs(/.*)?", "Training and batch prediction jobs are not offered yet"),
        (rf"{_PROJECT}/locations/[^/]+/studies(/.*)?", "Studies are not offered"),
        (rf"{_PROJECT}/locations/.+", "Locations are not offered: everything runs where modelport runs"),
        (rf"{_PROJECT}:predict", "Predictions are made by a model or a version, not by a project"),
    )
)


def absent(method: str, path: str) -> Error:
    """Return the error for a method that no route answers."""
    for pattern, what in _UNOFFERED:
        if pattern.fullmatch(path):
            return Unimplemented(what, hint=f"Use {_OFFERED}")
    return MethodNotFound(
        f"No API method answers {method} `{path[:300]}`",
        hint="See the methods in /$discovery/rest?version=v1",
    )
