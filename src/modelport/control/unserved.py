"""Why a prediction was not routed: what to tell a caller whom the gateway sent to the control plane. Pure."""

from __future__ import annotations

from modelport.core.errors import Error, NoDefaultVersion, Unavailable, VersionNotReady
from modelport.core.resources import Model, Version, VersionState


def no_default(model: Model) -> Error:
    """Return the answer to a prediction on a model without a default version."""
    return NoDefaultVersion(
        f"Model `{model.name}` has no default version, so nothing answers for it",
        hint="Create a version, or name one in the path: MODEL/versions/VERSION:predict",
        resource=str(model.name),
    )


def unserved(version: Version) -> Error:
    """Return the answer to a prediction on a version that has no route."""
    resource, state = str(version.name), version.state.value
    match version.state:
        case VersionState.CREATING:
            return VersionNotReady(
                f"Version `{version.name}` is being created",
                hint="Wait until it is READY",
                resource=resource,
                state=state,
            )
        case VersionState.FAILED:
            cause = f": {version.status.error.message}" if version.status.error else ""
            return VersionNotReady(
                f"Version `{version.name}` is FAILED{cause}",
                hint="Read its logs, repair the container, create a new version",
                resource=resource,
                state=state,
            )
        case VersionState.DELETING:
            return VersionNotReady(
                f"Version `{version.name}` is being deleted", hint="Ask another version", resource=resource, state=state
            )
        case VersionState.READY | VersionState.UPDATING:
            return Unavailable(
                f"Version `{version.name}` is {version.state}, but none of its replicas is routed now",
                hint="Retry shortly; see the replicas with `modelport versions describe`",
                resource=resource,
                state=state,
            )
