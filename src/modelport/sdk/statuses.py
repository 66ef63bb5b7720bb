"""Statuses: turns an error as the API writes it back into the class of `core.errors` that was raised there. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from modelport.core.errors import (
    Aborted,
    AlreadyExists,
    Cancelled,
    Code,
    DeadlineExceeded,
    Error,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    NotFound,
    PayloadTooLarge,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    Unimplemented,
    Violation,
)

_BY_CODE: dict[Code, type[Error]] = {
    cls.code: cls
    for cls in (
        Cancelled,
        InvalidArgument,
        DeadlineExceeded,
        NotFound,
        AlreadyExists,
        PermissionDenied,
        ResourceExhausted,
        FailedPrecondition,
        Aborted,
        Unimplemented,
        Internal,
        Unavailable,
        Unauthenticated,
    )
}
# Answers of containers and proxies, which know HTTP but not `google.rpc.Code`.
_BY_HTTP_STATUS: dict[int, type[Error]] = {
    HTTPStatus.UNAUTHORIZED: Unauthenticated,
    HTTPStatus.FORBIDDEN: PermissionDenied,
    HTTPStatus.NOT_FOUND: NotFound,
    HTTPStatus.METHOD_NOT_ALLOWED: Unimplemented,
    HTTPStatus.CONFLICT: AlreadyExists,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: PayloadTooLarge,
    HTTPStatus.TOO_MANY_REQUESTS: ResourceExhausted,
    HTTPStatus.NOT_IMPLEMENTED: Unimplemented,
    HTTPStatus.BAD_GATEWAY: Unavailable,
    HTTPStatus.SERVICE_UNAVAILABLE: Unavailable,
    HTTPStatus.GATEWAY_TIMEOUT: DeadlineExceeded,
}
_EXCERPT = 500


def error_from_response(http_status: int, body: bytes) -> Error:
    """Return the error that an HTTP answer stands for.

    Args:
        http_status: 400 or more.
        body: Google's `{"error": {...}}`; anything else is what a container or a proxy wrote, and is quoted.
    """
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    if isinstance(document, dict) and isinstance(status := document.get("error"), dict) and "message" in status:
        return error_from_status(status)
    text = body.decode(errors="replace").strip()
    quoted = f": {text[:_EXCERPT]}{'…' if len(text) > _EXCERPT else ''}" if text else ", without a body"
    try:
        phrase = f"{http_status} {HTTPStatus(http_status).phrase}"
    except ValueError:
        phrase = str(http_status)
    fallback = InvalidArgument if http_status < HTTPStatus.INTERNAL_SERVER_ERROR else Internal
    cls = _BY_HTTP_STATUS.get(http_status, fallback)
    return _make(cls, f"The answer is {phrase}{quoted}", metadata={"httpStatus": str(http_status)})


def error_from_status(status: Mapping[str, Any]) -> Error:
    """Return the error that a `google.rpc.Status` stands for: found by its reason, else by its code."""
    reason, hint = "", ""
    metadata: dict[str, str] = {}
    violations: tuple[Violation, ...] = ()
    debug: tuple[str, ...] = ()
    for detail in status.get("details") or ():
        match str(detail.get("@type", "")).rpartition(".")[2]:
            case "ErrorInfo":
                reason = str(detail.get("reason", ""))
                metadata = {str(key): str(value) for key, value in (detail.get("metadata") or {}).items()}
            case "BadRequest":
                violations = tuple(
                    Violation(str(one.get("field", "")), str(one.get("description", "")))
                    for one in detail.get("fieldViolations") or ()
                )
            case "LocalizedMessage":
                hint = str(detail.get("message", ""))
            case "DebugInfo":
                debug = tuple(str(line) for line in detail.get("stackEntries") or ())
            case "Help":
                hint = hint or next((str(link.get("description", "")) for link in detail.get("links") or ()), "")
    # What the doctor found stands in the place of the reason, and the reason of the error in its metadata.
    kind = metadata.pop("error", "")
    error = _make(
        _class_of(kind or reason, _code_of(status)),
        str(status.get("message", "")),
        hint=hint,
        metadata=metadata,
        violations=violations,
    )
    error.debug, error.finding = debug, reason if kind else ""
    return error


def status_document(error: Error) -> dict[str, Any]:
    """Return an error in the API's shape: what `error_from_status` reads back."""
    prefix = "type.googleapis.com/google.rpc"
    status = error.status()
    info: dict[str, Any] = {"@type": f"{prefix}.ErrorInfo", "reason": status.reason, "domain": "modelport"}
    if status.metadata:
        info["metadata"] = status.metadata
    details = [info]
    if error.debug:
        details.append({"@type": f"{prefix}.DebugInfo", "stackEntries": list(error.debug)})
    if error.violations:
        listed = [{"field": one.field, "description": one.description} for one in error.violations]
        details.append({"@type": f"{prefix}.BadRequest", "fieldViolations": listed})
    if error.hint:
        details.append({"@type": f"{prefix}.LocalizedMessage", "locale": "en", "message": error.hint})
    code = error.code
    return {
        "error": {"code": code.http_status, "message": error.message, "status": code.name, "details": details},
    }


def _make(
    cls: type[Error],
    message: str,
    *,
    hint: str = "",
    metadata: dict[str, str] | None = None,
    violations: tuple[Violation, ...] = (),
) -> Error:
    # Some classes word their own message from other arguments; here it is known already.
    error = cls.__new__(cls)
    Error.__init__(error, message, hint=hint, violations=violations)
    error.metadata = metadata or {}
    return error


def _code_of(status: Mapping[str, Any]) -> Code:
    """Read `status` (the name), else `code`: an HTTP status in answers, a `google.rpc` number in operations."""
    if (name := status.get("status")) in Code.__members__:
        return Code[str(name)]
    number = status.get("code")
    return next((code for code in Code if number in (code.number, code.http_status)), Code.INTERNAL)


def _class_of(reason: str, code: Code) -> type[Error]:
    for cls in _subclasses(Error):
        if reason and cls.reason == reason and cls.code is code:
            return cls
    base = _BY_CODE[code]
    # A newer control plane knows reasons that this client doesn't: keep the reason, catch it by its code.
    return type(base.__name__, (base,), {"reason": reason, "__module__": base.__module__}) if reason else base


def _subclasses(root: type[Error]) -> Iterator[type[Error]]:
    for cls in root.__subclasses__():
        yield cls
        yield from _subclasses(cls)
