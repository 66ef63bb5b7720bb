"""What a version may be: a draft as it was sent, all that is wrong with it, and the version it becomes. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from modelport.control.container_rules import (
    container_violations,
    expanded_route_violations,
    written_route_violations,
)
from modelport.control.labels import description_violations, label_violations
from modelport.control.runtime_catalogue import RuntimeCatalogue
from modelport.control.runtime_rules import RuntimeDraft, runtime_spec, runtime_violations
from modelport.control.uri_rules import uri_violations
from modelport.core.errors import Violation
from modelport.core.machine_types import MACHINE_TYPES, nearest_machine_type
from modelport.core.names import ModelName, VersionName, id_violation
from modelport.core.replicas import Accelerators
from modelport.core.resources import ContainerSpec, RouteMap, Scaling, Version, VersionSpec
from modelport.core.version_replicas import health_route, predict_route

MAX_NODES = 1000
MAX_ACCELERATORS = 64
GPU_TYPES = (
    "NVIDIA_TESLA_K80",
    "NVIDIA_TESLA_P100",
    "NVIDIA_TESLA_V100",
    "NVIDIA_TESLA_P4",
    "NVIDIA_TESLA_T4",
    "NVIDIA_TESLA_A100",
)
_TPU_TYPES = ("TPU_V2", "TPU_V3", "TPU_V2_POD", "TPU_V3_POD", "TPU_V4_POD")

# Fields of the original API that nothing enforces yet: refused, because an accepted field is a promise.
_REFUSED = {
    "serviceAccount": "Replicas have no Google identity here; pass credentials in `container.env` or in the image.",
    "explanationConfig": "Explanations are not offered; leave it out.",
    "requestLoggingConfig": "Logging of requests is not enforced yet; leave it out.",
}
_NO_RUNTIMES = RuntimeCatalogue()


@dataclass(frozen=True)
class AutoScaling:
    """`autoScaling` as sent; `metrics` says whether any were stated."""

    min_nodes: int | None = None
    max_nodes: int | None = None
    metrics: bool = False


@dataclass(frozen=True)
class VersionDraft:
    """A version as it was sent.

    Attributes:
        id: the bare name.
        runtime: framework and libraries, for a version without a container.
        manual_nodes: `manualScaling.nodes`; None without `manualScaling`, 0 where it lacks `nodes`.
        refused: names of the fields that were set although nothing enforces them.
        unreadable: what could not be read at all (unknown fields, wrong types).
    """

    id: str = ""
    description: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    deployment_uri: str = ""
    container: ContainerSpec | None = None
    routes: RouteMap | None = None
    runtime: RuntimeDraft = field(default_factory=RuntimeDraft)
    machine_type: str = ""
    accelerators: Accelerators | None = None
    auto_scaling: AutoScaling | None = None
    manual_nodes: int | None = None
    refused: tuple[str, ...] = ()
    unreadable: tuple[Violation, ...] = ()

    @property
    def is_of_files(self) -> bool:
        """Return whether the model's files are all there is, and modelport's own server is to serve them."""
        return self.container is None and bool(self.runtime.stated or self.deployment_uri)


def version_violations(
    draft: VersionDraft, model: ModelName, catalogue: RuntimeCatalogue = _NO_RUNTIMES
) -> tuple[Violation, ...]:
    """Return everything that is wrong with a draft, what could not be read first."""
    found = [
        *_name(draft),
        *description_violations(draft.description, "version.description"),
        *label_violations(draft.labels, "version.labels"),
        *_container(draft, catalogue),
        *_routes(draft, model),
        *uri_violations(draft.deployment_uri, "version.deploymentUri"),
        *_machine(draft),
        *_scaling(draft),
        *(Violation(f"version.{name}", _REFUSED[name]) for name in draft.refused),
    ]
    return beside(draft.unreadable, found)


def beside(unreadable: tuple[Violation, ...], found: list[Violation]) -> tuple[Violation, ...]:
    """Return both lists without what only follows from a field that could not be read."""
    paths = [violation.field for violation in unreadable]
    return (*unreadable, *(v for v in found if not any(_same_branch(v.field, path) for path in paths)))


def _same_branch(path: str, unread: str) -> bool:
    return path == unread or path.startswith((f"{unread}.", f"{unread}[")) or unread.startswith(f"{path}[")


def scaling_of(draft: VersionDraft) -> tuple[Scaling, int]:
    """Return which field states the number of nodes, and the number."""
    if draft.manual_nodes is not None:
        return Scaling.MANUAL, draft.manual_nodes
    if draft.auto_scaling is not None:
        minimum = draft.auto_scaling.min_nodes
        return Scaling.AUTO, 1 if minimum is None else minimum
    return Scaling.DEFAULT, 1


def version_from(
    draft: VersionDraft, model: ModelName, catalogue: RuntimeCatalogue = _NO_RUNTIMES, *, uid: str, now: datetime
) -> Version:
    """Return the new version that a draft without violations describes."""
    scaling, nodes = scaling_of(draft)
    return Version(
        name=VersionName(model.project, model.model, draft.id),
        uid=uid,
        spec=VersionSpec(
            container=draft.container or ContainerSpec(image=""),
            routes=draft.routes or RouteMap(),
            deployment_uri=draft.deployment_uri,
            machine_type=draft.machine_type,
            accelerators=draft.accelerators,
            runtime=runtime_spec(draft.runtime, catalogue) if draft.is_of_files else None,
        ),
        create_time=now,
        nodes=nodes,
        scaling=scaling,
        description=draft.description,
        labels=draft.labels,
    )


def node_violations(nodes: int, field: str) -> Iterator[Violation]:
    """Yield what is wrong with a number of nodes."""
    if nodes < 1:
        yield Violation(field, f"`{nodes}` is too few: at least 1 node is needed, scaling to zero comes later.")
    elif nodes > MAX_NODES:
        yield Violation(field, f"`{nodes}` is too many: at most {MAX_NODES} nodes are allowed.")


def _name(draft: VersionDraft) -> Iterator[Violation]:
    if not draft.id:
        yield Violation("version.name", "It is empty; name the version, for example `v1`.")
    elif problem := id_violation(draft.id, what="version"):
        yield Violation("version.name", problem)


def _container(draft: VersionDraft, catalogue: RuntimeCatalogue) -> Iterator[Violation]:
    if draft.is_of_files:
        yield from runtime_violations(draft.runtime, draft.deployment_uri, catalogue, "version")
    elif draft.container is None:
        yield Violation(
            "version.container",
            "It is missing; name the image that serves the model in `image`,"
            " or leave it out and name the model's files in `deploymentUri`.",
        )
    else:
        yield from container_violations(draft.container, "version.container")
        for name in draft.runtime.stated:
            yield Violation(f"version.{name}", "It cannot be set together with `container`; leave it out.")


def _routes(draft: VersionDraft, model: ModelName) -> Iterator[Violation]:
    if draft.routes is None:
        return
    if draft.container is None:
        yield Violation("version.routes", "It needs `container`.")
    written = [
        *written_route_violations(draft.routes.predict, "version.routes.predict"),
        *written_route_violations(draft.routes.health, "version.routes.health"),
    ]
    yield from written
    if not written:
        # The references of a route mean something only in the whole version, so they are judged on it.
        version = version_from(draft, model, uid="", now=datetime.min)
        yield from expanded_route_violations(predict_route(version), "version.routes.predict")
        yield from expanded_route_violations(health_route(version), "version.routes.health")


def _machine(draft: VersionDraft) -> Iterator[Violation]:
    machine = MACHINE_TYPES.get(draft.machine_type)
    if draft.machine_type and machine is None:
        yield Violation(
            "version.machineType",
            f"`{draft.machine_type[:80]}` is unknown; did you mean `{nearest_machine_type(draft.machine_type[:80])}`?",
        )
    accelerators, path = draft.accelerators, "version.acceleratorConfig"
    if accelerators is None:
        return
    if machine is not None and not machine.accelerators:
        yield Violation(path, f"`{machine.name}` has no accelerators; use an N1 type such as `n1-standard-4`.")
    if not 1 <= accelerators.count <= MAX_ACCELERATORS:
        yield Violation(f"{path}.count", f"`{accelerators.count}` must be from 1 to {MAX_ACCELERATORS}.")
    if not accelerators.type:
        yield Violation(f"{path}.type", f"It is missing; write one of {', '.join(GPU_TYPES)}.")
    elif accelerators.type in _TPU_TYPES:
        yield Violation(f"{path}.type", f"`{accelerators.type}` is a TPU, which is not offered; use a GPU.")
    elif accelerators.type not in GPU_TYPES:
        nearest = difflib.get_close_matches(accelerators.type[:80], GPU_TYPES, n=1, cutoff=0.0)[0]
        yield Violation(f"{path}.type", f"`{accelerators.type[:80]}` is unknown; did you mean `{nearest}`?")


def _scaling(draft: VersionDraft) -> Iterator[Violation]:
    auto = draft.auto_scaling
    if auto is not None and draft.manual_nodes is not None:
        yield Violation("version.manualScaling", "It cannot be set together with `autoScaling`; keep one of them.")
    if draft.manual_nodes is not None:
        yield from node_violations(draft.manual_nodes, "version.manualScaling.nodes")
    if auto is None:
        return
    minimum = 1 if auto.min_nodes is None else auto.min_nodes
    yield from node_violations(minimum, "version.autoScaling.minNodes")
    if auto.max_nodes is not None and auto.max_nodes < minimum:
        yield Violation("version.autoScaling.maxNodes", f"`{auto.max_nodes}` is less than `minNodes`, {minimum}.")
    elif auto.max_nodes is not None and auto.max_nodes > minimum:
        yield Violation(
            "version.autoScaling.maxNodes",
            f"`{auto.max_nodes}` is more than `minNodes`, {minimum}, but scaling between them is not enforced yet;"
            " leave it out or make them equal.",
        )
    if auto.metrics:
        yield Violation("version.autoScaling.metrics", "Scaling by metrics is not enforced yet; leave it out.")
