"""The resources of the API as data: models, versions, operations. What is wanted and what was last seen of it.

Use-cases write what is wanted (`spec`, `goal`, `nodes`, `generation`); the reconciler alone writes `status` and closes
operations.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from modelport.core.conditions import Condition
from modelport.core.errors import Status
from modelport.core.names import ModelName, OperationName, VersionName
from modelport.core.replicas import Accelerators, EnvVar, Exit


@dataclass(frozen=True)
class ContainerSpec:
    """How the container is started; `port` is the first of `ports`, 8080 where none is given."""

    image: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[EnvVar, ...] = ()
    ports: tuple[int, ...] = ()

    @property
    def port(self) -> int:
        """Return the one port used for predictions, health and liveness."""
        return self.ports[0] if self.ports else 8080


@dataclass(frozen=True)
class RouteMap:
    """Where the container answers, as written: empty means the default of the API."""

    predict: str = ""
    health: str = ""


@dataclass(frozen=True)
class RuntimeSpec:
    """A version that modelport's own server serves: which libraries, and which code beside the model.

    Attributes:
        runtime_version: name in the catalogue of runtime versions.
        framework: a `core.frameworks.Framework`; empty where the model's files are to tell.
        python_version: such as `3.11`; empty for the Python that the driver has.
        package_uris: wheels and source distributions to install, in this order.
        prediction_class: `MODULE.CLASS` of a custom prediction routine; empty without one.
    """

    runtime_version: str
    framework: str = ""
    python_version: str = ""
    package_uris: tuple[str, ...] = ()
    prediction_class: str = ""


@dataclass(frozen=True)
class VersionSpec:
    """What a version is, for ever: nothing in here changes after create.

    With a `runtime` there is no container of the user's, and `container` is empty.
    """

    container: ContainerSpec
    routes: RouteMap = RouteMap()
    deployment_uri: str = ""
    machine_type: str = ""
    accelerators: Accelerators | None = None
    runtime: RuntimeSpec | None = None


class Scaling(StrEnum):
    """Which of the two fields the number of nodes is stated in."""

    DEFAULT = "DEFAULT"
    MANUAL = "MANUAL"
    AUTO = "AUTO"


class Goal(StrEnum):
    """What is wanted of a version: that it serves, or that it is gone."""

    SERVE = "SERVE"
    DELETE = "DELETE"


class VersionState(StrEnum):
    """The states of the original API, derived from goal and conditions."""

    CREATING = "CREATING"
    READY = "READY"
    FAILED = "FAILED"
    DELETING = "DELETING"
    UPDATING = "UPDATING"


@dataclass(frozen=True)
class VersionStatus:
    """What the reconciler last saw of a version; nobody else writes it.

    Attributes:
        image: pinned reference, once known.
        artifact: digest of the copied artifacts, once known.
        framework: the framework that the model's files are of, once known; empty where the version has a container.
        error: why the version is FAILED.
        observed_generation: the generation that this status speaks of.
        ready_time: when it became READY first.
        last_exit: how the replica that died last ended, with its attempt and when that was seen.
        warning: what looks wrong while it is not READY yet.
    """

    state: VersionState = VersionState.CREATING
    conditions: tuple[Condition, ...] = ()
    image: str = ""
    artifact: str = ""
    framework: str = ""
    error: Status | None = None
    observed_generation: int = 0
    ready_replicas: int = 0
    ready_time: datetime | None = None
    last_exit: Exit | None = None
    warning: str = ""


@dataclass(frozen=True)
class Model:
    """A logical group of versions; `default_version` is the id of the one that answers for it, or empty."""

    name: ModelName
    create_time: datetime
    description: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    regions: tuple[str, ...] = ()
    default_version: str = ""
    online_prediction_logging: bool = False
    online_prediction_console_logging: bool = False
    revision: int = 0


@dataclass(frozen=True)
class Version:
    """One version. `uid` tells two versions of one name, created one after the other, apart."""

    name: VersionName
    uid: str
    spec: VersionSpec
    create_time: datetime
    nodes: int = 1
    scaling: Scaling = Scaling.DEFAULT
    description: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    goal: Goal = Goal.SERVE
    cancelled: bool = False
    generation: int = 1
    status: VersionStatus = VersionStatus()
    revision: int = 0

    @property
    def framework(self) -> str:
        """Return the framework that was asked for, or else found; empty with a container, and while unknown."""
        return (self.spec.runtime.framework if self.spec.runtime else "") or self.status.framework

    @property
    def state(self) -> VersionState:
        """Return the state that the API shows: what is wanted outranks what was last seen."""
        if self.goal is Goal.DELETE:
            return VersionState.DELETING
        if self.status.state is VersionState.READY and self.status.observed_generation < self.generation:
            return VersionState.UPDATING
        return self.status.state


class OperationType(StrEnum):
    """The operation types of the original API."""

    CREATE_VERSION = "CREATE_VERSION"
    DELETE_VERSION = "DELETE_VERSION"
    UPDATE_VERSION = "UPDATE_VERSION"
    DELETE_MODEL = "DELETE_MODEL"
    UPDATE_MODEL = "UPDATE_MODEL"


@dataclass(frozen=True)
class Operation:
    """A goal for one resource, closed by the reconciler when the goal is met or cannot be.

    Attributes:
        target: full name of the version or model.
        generation: the version generation that this operation waits for.
        done: whether it has ended; then either `error` is set or it succeeded.
    """

    name: OperationName
    type: OperationType
    target: str
    create_time: datetime
    generation: int = 0
    start_time: datetime | None = None
    end_time: datetime | None = None
    cancel_requested: bool = False
    done: bool = False
    error: Status | None = None
    revision: int = 0
