"""Etags: they change when what was asked for changes, and not when the platform merely sees something new. Pure."""

from __future__ import annotations

import base64
import hashlib

from modelport.core.errors import Aborted
from modelport.core.resources import Model, Version


def etag(resource: Model | Version) -> str:
    """Return eight bytes in base64, as the original API had them."""
    match resource:
        case Model():
            parts: tuple[object, ...] = (resource.name, resource.create_time.isoformat(), resource.revision)
        case Version():
            # The revision would not do: it moves with every status that the reconciler writes.
            labels = sorted(resource.labels.items())
            parts = (resource.name, resource.uid, resource.generation, resource.description, labels)
    return base64.b64encode(hashlib.sha256(repr(parts).encode()).digest()[:8]).decode()


def require_etag(resource: Model | Version, sent: str) -> None:
    """Raise Aborted when the caller has seen another state of the resource than the current one; empty never does."""
    if sent and sent != etag(resource):
        raise Aborted(
            f"`{resource.name}` has changed meanwhile: its etag is `{etag(resource)}`, not `{sent[:40]}`",
            hint="Read it again, then retry",
            resource=str(resource.name),
        )
