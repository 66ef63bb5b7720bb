"""Which version may answer for its model. Pure."""

from __future__ import annotations

from modelport.core.errors import VersionNotReady
from modelport.core.resources import Model, Version, VersionState

_SERVING = (VersionState.READY, VersionState.UPDATING)


def require_serving(version: Version) -> None:
    """Raise VersionNotReady when the version could not answer for its model."""
    if version.state not in _SERVING:
        raise VersionNotReady(
            f"Version `{version.name}` is {version.state}; the default version must be READY",
            hint="Wait until it is READY" if version.state is VersionState.CREATING else "Choose another version",
            resource=str(version.name),
            state=version.state.value,
        )


def takes_default(model: Model, current: Version | None) -> bool:
    """Return whether a new version becomes the default: there is none, or the one there is cannot serve."""
    return not model.default_version or current is None or current.state is VersionState.FAILED
