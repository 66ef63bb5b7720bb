"""Watching: waits for an operation with its progress on the screen. Ctrl-C ends the watching, not the operation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import typer

from modelport.cli import progress
from modelport.cli.output import parse_time
from modelport.cli.session import Session, default_project
from modelport.core.conditions import ConditionType
from modelport.core.errors import Cancelled, Error, NotFound
from modelport.sdk import operations
from modelport.sdk.client import Client, Json

_LOG_LINES = 20


def watch(
    session: Session,
    client: Client,
    operation: Json,
    *,
    deadline_s: float | None = None,
    on_ready: Callable[[Json], str] = lambda version: "",
) -> Json:
    """Wait until the operation is done, show what turns, and return it; raise its error where it failed.

    Args:
        session: where to write.
        client: of the operation's project.
        operation: as the API answered.
        deadline_s: longest wait.
        on_ready: called with the version that has become READY; what it returns stands behind that line.
    """
    name = operations.operation_id(operation)
    creating = operation.get("metadata", {}).get("operationType") == "CREATE_VERSION"
    last = operations.Progress(operation, {})
    warned = ""
    with session.out.pending("waiting") as pending:

        def show(now: operations.Progress) -> None:
            nonlocal last, warned
            if creating and now.version:
                created = parse_time(now.version["createTime"])
                pending.say(progress.pending(now.conditions))
                now = _without_idle_steps(now)
                for line in progress.turned(last.conditions, now.conditions, created, attempt=_attempt(now)):
                    session.out.progress(str(line))
                if (warning := _warning(now)) and warning != warned:
                    warned = warning
                    elapsed_s = (datetime.now(UTC) - created).total_seconds()
                    session.out.progress(str(progress.warned(now.conditions, warning, elapsed_s)))
            last = now

        try:
            done = operations.wait(client, name, watch=show, deadline_s=deadline_s)
        except KeyboardInterrupt:
            session.out.note(
                "\nStopped watching; the operation goes on\n\n"
                f"hint: Watch again with `modelport operations wait {typed(operation, client)}`,"
                f" or give it up with `modelport operations cancel {typed(operation, client)}`"
            )
            raise typer.Exit(130) from None
    error = operations.failure(done)
    if creating and last.version:
        created = parse_time(last.version["createTime"])
        if error is None:
            note = on_ready(last.version)
            session.out.progress(str(progress.ready(last.version["name"], last.conditions, created, note=note)))
        else:
            ended = parse_time(done["metadata"].get("endTime") or last.version["createTime"])
            elapsed_s = (ended - created).total_seconds()
            line = progress.stuck(last.conditions, error.metadata.get("phase", ""), elapsed_s)
            if line is not None and not warned:
                session.out.progress(str(line))
    if error is not None:
        _show_last_log_lines(session, client, done, error)
        raise error
    return done


def typed(operation: Json, client: Client) -> str:
    """Return an operation as it is typed: its id, or its full name where the project is not the default."""
    return operations.operation_id(operation) if client.project == default_project() else str(operation["name"])


def _warning(now: operations.Progress) -> str:
    return next(iter(now.operation.get("metadata", {}).get("warnings") or ()), "")


def _attempt(now: operations.Progress) -> int:
    return max((int(replica.get("attempt", 1)) for replica in now.replicas), default=1)


def _without_idle_steps(now: operations.Progress) -> operations.Progress:
    """Leave out the copying of artifacts where the version has none."""
    if now.version.get("deploymentUri"):
        return now
    steps = tuple(one for one in now.conditions if one["type"] != ConditionType.ARTIFACTS_COPIED)
    return replace(now, conditions=steps)


def _show_last_log_lines(session: Session, client: Client, operation: Json, error: Error) -> None:
    """Show what the container wrote last, unless the error tells it already."""
    version = operations.version_name(operation)
    if version is None or error.finding or isinstance(error, Cancelled):
        return
    try:
        lines = list(client.logs(version.model, version.version, tail=_LOG_LINES))
    except NotFound:
        return  # deleted meanwhile: the error stands for itself
    if lines:
        quoted = "\n".join(f"    {line['text']}" for line in lines[-_LOG_LINES:])
        session.out.note(f"  last lines of the log:\n{quoted}\n")
