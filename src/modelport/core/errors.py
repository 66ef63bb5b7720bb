"""The one tree of errors; knows no HTTP response, no SQL, no engine.

Every error carries a `google.rpc` code, a stable machine-readable reason and a hint::

    Error
    ├── InvalidArgument          what was sent breaks a rule; carries all violations
    │   ├── PayloadTooLarge
    │   └── ArtifactRefused      the artifact tree breaks a limit or leaves its root
    ├── NotFound
    │   ├── ModelNotFound · VersionNotFound · OperationNotFound · MethodNotFound · RequestNotFound
    │   ├── ArtifactNotFound · ImageNotFound
    │   └── RouteNotFound        a listener, or a server of several models, knows no such target
    ├── AlreadyExists
    ├── PermissionDenied
    │   └── ArtifactUnauthorized · ImageUnauthorized · BrowserRefused
    ├── FailedPrecondition
    │   ├── VersionNotReady · VersionBusy · VersionIsDefault · ModelHasVersions · NoDefaultVersion
    │   ├── ReplicaCannotStart   the substrate refused to start it, and would again
    │   ├── VersionCannotBecomeReady
    │   ├── ImageBuildFailed         the engine could not build the Dockerfile
    │   ├── EnvironmentBuildFailed   the libraries of a version could not be installed
    │   ├── ModelCannotBeLoaded      the prediction server cannot make a model of the files
    │   └── DataDirInUse
    ├── Aborted                  the resource changed meanwhile: read again, then retry
    ├── Cancelled
    ├── ResourceExhausted
    │   ├── NoSpace · SlotsExhausted
    ├── DeadlineExceeded
    │   └── StepTimeout          a model server or a step of a stack took longer than it may
    ├── Unavailable
    │   ├── EngineUnreachable · ArtifactStoreUnavailable · GatewayUnavailable
    │   ├── ControlPlaneUnreachable · ControlPlaneDown
    │   ├── ModelServerDown      the model server behind a listener does not answer
    │   └── ModelUnusable        the prediction server's process can predict nothing more
    ├── Unimplemented
    ├── Unauthenticated
    └── Internal
        ├── GatewayRejected
        └── ModelServerFailed    the model server behind a listener failed
            └── ModelServerGarbled   what it answers is not of the format it was declared with
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar, Self


class Code(Enum):
    """`google.rpc.Code`: number, HTTP status, and whether the same call may simply be retried."""

    CANCELLED = "CANCELLED", 1, 499, False
    INVALID_ARGUMENT = "INVALID_ARGUMENT", 3, 400, False
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED", 4, 504, True
    NOT_FOUND = "NOT_FOUND", 5, 404, False
    ALREADY_EXISTS = "ALREADY_EXISTS", 6, 409, False
    PERMISSION_DENIED = "PERMISSION_DENIED", 7, 403, False
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED", 8, 429, True
    FAILED_PRECONDITION = "FAILED_PRECONDITION", 9, 400, False
    ABORTED = "ABORTED", 10, 409, True
    UNIMPLEMENTED = "UNIMPLEMENTED", 12, 501, False
    INTERNAL = "INTERNAL", 13, 500, False
    UNAVAILABLE = "UNAVAILABLE", 14, 503, True
    UNAUTHENTICATED = "UNAUTHENTICATED", 16, 401, False

    number: int
    http_status: int
    retryable: bool

    def __new__(cls, value: str, number: int, http_status: int, retryable: bool) -> Self:
        """Make the name the value, so that a code is stored and sent as text."""
        code = object.__new__(cls)
        code._value_ = value
        code.number, code.http_status, code.retryable = number, http_status, retryable
        return code


def finding_page(code: str) -> str:
    """Return the page of the documentation that explains a finding of the doctor."""
    return f"docs/reference/findings/{code}.md"


@dataclass(frozen=True)
class Violation:
    """One broken rule: `field` is the path in the request, such as `version.container.env[0].name`."""

    field: str
    description: str


def listed(violations: tuple[Violation, ...]) -> str:
    """Return all violations as one text, in the form that clients of the original API match on."""
    return " ".join(f"Field: {violation.field} Error: {violation.description}" for violation in violations)


@dataclass(frozen=True)
class Status:
    """An error as data: the HTTP body, `operation.error`, the SDK's exception and the CLI's text.

    `debug` holds the last lines of a log, `finding` the code of the doctor's finding that explains the error.
    """

    code: Code
    message: str
    reason: str
    hint: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    violations: tuple[Violation, ...] = ()
    debug: tuple[str, ...] = ()
    finding: str = ""


class Error(Exception):
    """What is, the value seen, the value wanted; the hint says what to do, in the imperative."""

    code: ClassVar[Code] = Code.INTERNAL
    reason: ClassVar[str] = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        violations: tuple[Violation, ...] = (),
        debug: tuple[str, ...] = (),
        finding: str = "",
        **metadata: str,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.violations = violations
        self.debug = debug
        self.finding = finding
        self.metadata = metadata

    def status(self) -> Status:
        """Return this error as data. A finding takes the place of the reason, which then stands in `metadata.error`."""
        metadata = {"error": self.reason, **self.metadata} if self.finding else self.metadata
        return Status(
            self.code,
            self.message,
            self.finding or self.reason,
            self.hint,
            metadata,
            self.violations,
            self.debug,
            self.finding,
        )


class InvalidArgument(Error):
    """What was sent breaks one or more rules; nothing was changed."""

    code = Code.INVALID_ARGUMENT
    reason = "INVALID_ARGUMENT"

    @classmethod
    def listing(cls, violations: tuple[Violation, ...]) -> InvalidArgument:
        """Return one error for all broken rules of a request."""
        return cls(listed(violations), violations=violations)


class PayloadTooLarge(InvalidArgument):
    """The request body exceeds the limit."""

    reason = "PAYLOAD_TOO_LARGE"


class ArtifactRefused(InvalidArgument):
    """The artifact tree has too many files or bytes, or a path that leaves its root."""

    reason = "ARTIFACT_REFUSED"


class NotFound(Error):
    """The named thing does not exist."""

    code = Code.NOT_FOUND
    reason = "NOT_FOUND"


class ModelNotFound(NotFound):
    """No model has this name."""

    reason = "MODEL_NOT_FOUND"

    def __init__(self, name: object) -> None:
        super().__init__(
            f"Model `{name}` does not exist", hint="List models with `modelport models list`", resource=str(name)
        )


class VersionNotFound(NotFound):
    """No version has this name."""

    reason = "VERSION_NOT_FOUND"

    def __init__(self, name: object) -> None:
        super().__init__(
            f"Version `{name}` does not exist",
            hint="List versions with `modelport versions list --model MODEL`",
            resource=str(name),
        )


class OperationNotFound(NotFound):
    """No operation has this name."""

    reason = "OPERATION_NOT_FOUND"

    def __init__(self, name: object) -> None:
        super().__init__(
            f"Operation `{name}` does not exist",
            hint="List operations with `modelport operations list`",
            resource=str(name),
        )


class MethodNotFound(NotFound):
    """No API method answers this path."""

    reason = "METHOD_NOT_FOUND"


class RequestNotFound(NotFound):
    """The gateway remembers no failed request with this id."""

    reason = "REQUEST_NOT_FOUND"

    def __init__(self, request_id: object) -> None:
        super().__init__(
            f"The gateway remembers no failed request `{str(request_id)[:80]}`",
            hint="It remembers the last thousand or so, until HAProxy itself is started anew, and none that went well."
            " `modelport explain REASON` explains the reason that stands beside the id",
            request_id=str(request_id)[:80],
        )


class ArtifactNotFound(NotFound):
    """`deploymentUri` names nothing."""

    reason = "ARTIFACT_NOT_FOUND"


class ImageNotFound(NotFound):
    """The image is neither present nor at its registry."""

    reason = "IMAGE_NOT_FOUND"


class RouteNotFound(NotFound):
    """Nothing of this name can be asked: neither a stack nor a model."""

    reason = "ROUTE_NOT_FOUND"


class AlreadyExists(Error):
    """A resource of this name exists."""

    code = Code.ALREADY_EXISTS
    reason = "ALREADY_EXISTS"

    @classmethod
    def same_name(cls, what: str) -> AlreadyExists:
        """Return the error whose text clients match on; `what` is `model` or `version`."""
        taken = Violation(f"{what}.name", f"A {what} with the same name already exists.")
        return cls(listed((taken,)), violations=(taken,))


class PermissionDenied(Error):
    """The caller, or modelport on the caller's behalf, may not do this."""

    code = Code.PERMISSION_DENIED
    reason = "PERMISSION_DENIED"


class ArtifactUnauthorized(PermissionDenied):
    """The object store refused modelport's credentials."""

    reason = "ARTIFACT_UNAUTHORIZED"


class ImageUnauthorized(PermissionDenied):
    """The registry refused modelport's credentials."""

    reason = "IMAGE_UNAUTHORIZED"


class BrowserRefused(PermissionDenied):
    """A page in a browser tried to change something; it could belong to anybody."""

    reason = "BROWSER_REFUSED"


class FailedPrecondition(Error):
    """The system is not in the state that this call needs."""

    code = Code.FAILED_PRECONDITION
    reason = "FAILED_PRECONDITION"


class VersionNotReady(FailedPrecondition):
    """The version is not READY, so it takes no predictions and cannot become the default."""

    reason = "VERSION_NOT_READY"


class VersionBusy(FailedPrecondition):
    """An operation on the version is still under way."""

    reason = "VERSION_BUSY"


class VersionIsDefault(FailedPrecondition):
    """The default version of a model with other versions cannot be deleted."""

    reason = "VERSION_IS_DEFAULT"


class ModelHasVersions(FailedPrecondition):
    """A model with versions cannot be deleted."""

    reason = "MODEL_HAS_VERSIONS"


class NoDefaultVersion(FailedPrecondition):
    """The model has no version that could answer for it."""

    reason = "NO_DEFAULT_VERSION"


class ReplicaCannotStart(FailedPrecondition):
    """The substrate refused to start the replica, and would refuse again."""

    reason = "REPLICA_CANNOT_START"


class VersionCannotBecomeReady(FailedPrecondition):
    """The evidence is conclusive, or the deadline has passed: this version will not serve."""

    reason = "VERSION_CANNOT_BECOME_READY"


class ImageBuildFailed(FailedPrecondition):
    """The engine could not build the folder's Dockerfile."""

    reason = "IMAGE_BUILD_FAILED"


class EnvironmentBuildFailed(FailedPrecondition):
    """The libraries of a version without a container cannot be installed."""

    reason = "ENVIRONMENT_BUILD_FAILED"


class ModelCannotBeLoaded(FailedPrecondition):
    """The prediction server cannot make a model of the files, or the model cannot predict."""

    reason = "MODEL_CANNOT_BE_LOADED"


class DataDirInUse(FailedPrecondition):
    """Another control plane runs on this data directory."""

    reason = "DATA_DIR_IN_USE"


class Aborted(Error):
    """The resource changed meanwhile: read it again, then retry."""

    code = Code.ABORTED
    reason = "ABORTED"


class Cancelled(Error):
    """The caller cancelled the operation."""

    code = Code.CANCELLED
    reason = "CANCELLED"


class ResourceExhausted(Error):
    """A limit is reached."""

    code = Code.RESOURCE_EXHAUSTED
    reason = "RESOURCE_EXHAUSTED"


class NoSpace(ResourceExhausted):
    """The disk is full."""

    reason = "NO_SPACE"


class SlotsExhausted(ResourceExhausted):
    """The gateway has no free slot for another live version."""

    reason = "SLOTS_EXHAUSTED"


class DeadlineExceeded(Error):
    """The time allowed has passed."""

    code = Code.DEADLINE_EXCEEDED
    reason = "DEADLINE_EXCEEDED"


class StepTimeout(DeadlineExceeded):
    """A model server, or a step of a stack, took longer than it may."""

    reason = "STEP_TIMEOUT"


class Unavailable(Error):
    """Something that this call needs does not answer now; the same call may work later."""

    code = Code.UNAVAILABLE
    reason = "UNAVAILABLE"


class EngineUnreachable(Unavailable):
    """The container engine does not answer on its socket."""

    reason = "ENGINE_UNREACHABLE"


class ArtifactStoreUnavailable(Unavailable):
    """The object store does not answer."""

    reason = "ARTIFACT_STORE_UNAVAILABLE"


class GatewayUnavailable(Unavailable):
    """The gateway does not answer on its admin socket."""

    reason = "GATEWAY_UNAVAILABLE"


class ControlPlaneUnreachable(Unavailable):
    """The client could not reach the control plane."""

    reason = "CONTROL_PLANE_UNREACHABLE"


class ControlPlaneDown(ControlPlaneUnreachable):
    """The gateway answers, and the control plane behind it does not."""

    reason = "CONTROL_PLANE_DOWN"


class ModelServerDown(Unavailable):
    """The model server behind a listener is not there, or closed the connection before it had answered."""

    reason = "MODEL_SERVER_DOWN"


class ModelUnusable(Unavailable):
    """A model can predict nothing more in its process, which is replaced."""

    reason = "MODEL_UNUSABLE"


class Unimplemented(Error):
    """A method of the original API that modelport does not offer."""

    code = Code.UNIMPLEMENTED
    reason = "UNIMPLEMENTED"


class Unauthenticated(Error):
    """The call carries no valid credentials."""

    code = Code.UNAUTHENTICATED
    reason = "UNAUTHENTICATED"


class Internal(Error):
    """A defect of modelport; the message names the request, not the internals."""


class GatewayRejected(Internal):
    """The gateway refused a command or confirmed another table than the one published."""

    reason = "GATEWAY_REJECTED"


class ModelServerFailed(Internal):
    """The model server behind a listener says that it failed."""

    reason = "MODEL_SERVER_FAILED"


class ModelServerGarbled(ModelServerFailed):
    """What the model server behind a listener answers is not HTTP, or not of the format that it was declared with."""

    reason = "MODEL_SERVER_GARBLED"
