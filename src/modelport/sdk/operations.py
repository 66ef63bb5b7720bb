"""Operations: waits for one to end and tells what turns meanwhile. Interrupting the wait leaves the operation alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from modelport.core.errors import DeadlineExceeded, Error, NotFound, Unavailable
from modelport.core.names import VersionName
from modelport.sdk.client import Client, Json
from modelport.sdk.statuses import error_from_status

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 1.0
# A control plane that is restarted is away for a moment; replicas and predictions go on meanwhile.
_LONGEST_ABSENCE_S = 60.0


@dataclass(frozen=True)
class Progress:
    """What is known at one moment: the operation, and of its version the conditions and replicas."""

    operation: Json
    version: Json
    conditions: tuple[Json, ...] = ()
    replicas: tuple[Json, ...] = ()


def wait(
    client: Client,
    operation: str,
    *,
    watch: Callable[[Progress], None] | None = None,
    deadline_s: float | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Json:
    """Return the operation once it is done, whether it succeeded or not; see `failure`.

    Args:
        client: of the operation's project.
        operation: its id.
        watch: called whenever what is known has changed, and once more when it is done.
        deadline_s: longest wait; None waits for ever.
        clock: monotonic seconds.
        sleep: pauses between two looks.

    Raises:
        DeadlineExceeded: not done in time; the operation itself goes on.
    """
    start = last_seen = clock()
    pause_s = _FIRST_PAUSE_S
    shown: Progress | None = None
    while True:
        try:
            progress = look(client, operation)
        except Unavailable:
            if clock() - last_seen > _LONGEST_ABSENCE_S:
                raise
        else:
            last_seen = clock()
            if watch is not None and progress != shown:
                watch(progress)
                shown, pause_s = progress, _FIRST_PAUSE_S
            if progress.operation.get("done"):
                return progress.operation
        if deadline_s is not None and clock() - start >= deadline_s:
            raise DeadlineExceeded(
                f"Operation `{operation}` is not done after {deadline_s:g} s; it goes on",
                hint=f"Go on waiting with `modelport operations wait {operation}`",
                operation=operation,
            )
        sleep(pause_s)
        pause_s = min(pause_s * 1.3, _LONGEST_PAUSE_S)


def look(client: Client, operation: str) -> Progress:
    """Return what is known now. A version that is gone (after its deletion) has no conditions."""
    found = client.get_operation(operation)
    name = version_name(found)
    if name is None:
        return Progress(found, {})
    try:
        seen = client.inspect_version(name.model, name.version)
        return Progress(found, seen["version"], tuple(seen["conditions"]), tuple(seen["replicas"]))
    except NotFound:
        return Progress(found, {})


def version_name(operation: Json) -> VersionName | None:
    """Return the version that an operation is about, or None where it is about a model."""
    version: Any = operation.get("metadata", {}).get("version", {}).get("name", "")
    return VersionName.parse(version) if version else None


def failure(operation: Json) -> Error | None:
    """Return why a done operation failed, or None where it succeeded."""
    status = operation.get("error")
    return error_from_status(status) if status else None


def operation_id(operation: Json) -> str:
    """Return the last part of the operation's name."""
    return str(operation["name"]).rpartition("/")[2]
