"""What may change about a version after it is created: description, labels, the number of nodes. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from modelport.control.labels import description_violations, label_violations
from modelport.control.masks import parse_mask
from modelport.control.version_rules import VersionDraft, beside, node_violations
from modelport.core.errors import InvalidArgument, VersionNotReady, Violation
from modelport.core.resources import Scaling, Version, VersionState

WRITABLE = ("description", "labels", "manualScaling.nodes", "autoScaling.minNodes")
_SCALING_FIELD = {Scaling.MANUAL: "manualScaling.nodes", Scaling.AUTO: "autoScaling.minNodes"}


@dataclass(frozen=True)
class VersionChanges:
    """New values; None leaves a field as it is. `scaling` is the field that `nodes` was stated in."""

    description: str | None = None
    labels: dict[str, str] | None = None
    nodes: int | None = None
    scaling: Scaling = Scaling.DEFAULT


def parse_changes(draft: VersionDraft, mask: str) -> VersionChanges:
    """Return the changes that a patch asks for. Raises InvalidArgument with all violations."""
    paths = parse_mask(mask, WRITABLE, what="version")
    changes, found = VersionChanges(), list[Violation]()
    if "description" in paths:
        changes = replace(changes, description=draft.description)
        found += description_violations(draft.description, "version.description")
    if "labels" in paths:
        changes = replace(changes, labels=draft.labels)
        found += label_violations(draft.labels, "version.labels")
    if "manualScaling.nodes" in paths:
        changes = replace(changes, nodes=draft.manual_nodes or 0, scaling=Scaling.MANUAL)
        found += node_violations(draft.manual_nodes or 0, "version.manualScaling.nodes")
    if "autoScaling.minNodes" in paths:
        minimum = (draft.auto_scaling.min_nodes if draft.auto_scaling else None) or 0
        if changes.scaling is Scaling.MANUAL:
            found.append(Violation("updateMask", "It names both ways of scaling; keep one of them."))
        changes = replace(changes, nodes=minimum, scaling=Scaling.AUTO)
        found += node_violations(minimum, "version.autoScaling.minNodes")
    if violations := beside(draft.unreadable, found):
        raise InvalidArgument.listing(violations)
    return changes


def changed(version: Version, changes: VersionChanges) -> Version:
    """Return the version with the changes; another number of nodes makes another generation.

    Raises:
        InvalidArgument: the version was created with the other way of scaling.
        VersionNotReady: the version failed, so it has no nodes to change.
    """
    if changes.description is not None:
        version = replace(version, description=changes.description)
    if changes.labels is not None:
        version = replace(version, labels=changes.labels)
    if changes.nodes is None:
        return version
    if version.scaling not in (changes.scaling, Scaling.DEFAULT):
        problem = f"`{version.name}` states its nodes in `{_SCALING_FIELD[version.scaling]}`; change that one."
        raise InvalidArgument.listing((Violation("updateMask", problem),))
    if version.state is VersionState.FAILED:
        raise VersionNotReady(
            f"Version `{version.name}` is FAILED, so it has no nodes to change",
            hint="Delete it and create it anew",
            resource=str(version.name),
            state=version.state.value,
        )
    if changes.nodes == version.nodes and changes.scaling is version.scaling:
        return version
    generation = version.generation + 1 if changes.nodes != version.nodes else version.generation
    return replace(version, nodes=changes.nodes, scaling=changes.scaling, generation=generation)
