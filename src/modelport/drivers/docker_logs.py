"""Logs of containers: those of removed ones from the archive, then those of the one that is there, from the engine."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiodocker
import anyio
import anyio.to_thread

from modelport.core.replicas import LogLine
from modelport.drivers.docker_errors import engine_text
from modelport.drivers.docker_spec import attempt_of, is_unstarted
from modelport.drivers.docker_streams import log_lines
from modelport.drivers.log_files import MAX_TAIL, read_logs
from modelport.drivers.log_writer import LogWriter

_POLL_S = 0.3
_LINES_AT_ONCE = 2000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Inspect = Callable[[], Awaitable[Mapping[str, Any] | None]]


async def archive_log(
    client: aiodocker.Docker,
    log_dir: Path,
    name: str,
    inspected: Mapping[str, Any],
    *,
    log_bytes: int,
    log_files: int,
) -> None:
    """Copy what a stopped container has printed to the archive; for one that is there already, nothing happens."""
    if await _mark(log_dir, name, inspected).exists():
        return
    attempt = attempt_of(inspected)
    try:
        writer = await anyio.to_thread.run_sync(
            lambda: LogWriter(log_dir / name, attempt, max_bytes=log_bytes, max_files=log_files)
        )
    except OSError:
        return  # the disk is full or broken: the container must go all the same
    lines: list[LogLine] = []
    try:
        async with aclosing(log_lines(client, str(inspected["Id"]), attempt, tail=None)) as batches:
            async for batch in batches:
                lines += batch
                if len(lines) >= _LINES_AT_ONCE:
                    await anyio.to_thread.run_sync(_write, writer, lines)
                    lines = []
        await anyio.to_thread.run_sync(_write, writer, lines)
    except aiodocker.DockerError as error:
        if error.status == 404:
            raise
        # A log that the engine cannot read must not keep the container for ever.
        writer.write("stderr", f"modelport: the engine gave no log: {engine_text(error)}".encode())
    finally:
        writer.close()
    with suppress(OSError):
        await _mark(log_dir, name, inspected).touch()


async def forget_archived(log_dir: Path, name: str, inspected: Mapping[str, Any]) -> None:
    """Drop the mark that this container's log is in the archive, now that the container is gone."""
    with suppress(OSError):
        await _mark(log_dir, name, inspected).unlink(missing_ok=True)


async def read_container_logs(
    client: aiodocker.Docker, log_dir: Path, name: str, inspect: Inspect, *, tail: int, follow: bool
) -> AsyncGenerator[LogLine, None]:
    """Yield the last `tail` lines over archive and container; with `follow`, new ones of this and later containers."""
    wanted = min(max(tail, 0), MAX_TAIL)
    inspected = await inspect()
    live: list[LogLine] = []
    if inspected and wanted:
        try:
            live = await _live_tail(client, log_dir, name, inspected, wanted)
        except aiodocker.DockerError:
            if not await _left(log_dir, name, inspected, inspect):
                raise
    archived = [line async for line in read_logs(log_dir, name, tail=wanted - len(live))]
    if inspected and await _left(log_dir, name, inspected, inspect):
        # It was archived while this was read: its lines are all there now.
        live, archived = [], [line async for line in read_logs(log_dir, name, tail=wanted)]
    for line in archived:
        yield line
    if not follow:
        for line in live:
            yield line
        return
    # The lines in `live` come again at the head of what is followed, and those that were printed meanwhile with them.
    followed, count = None, wanted if inspected else None
    while True:
        if inspected and inspected["Id"] != followed and not is_unstarted(inspected):
            followed = inspected["Id"]
            if not await _mark(log_dir, name, inspected).exists():
                lines = log_lines(client, str(followed), attempt_of(inspected), tail=count, follow=True)
                async with aclosing(lines) as batches:
                    try:
                        async for batch in batches:
                            for line in batch:
                                yield line
                    except aiodocker.DockerError:
                        if not await _left(log_dir, name, inspected, inspect):
                            raise
            count = None
        await anyio.sleep(_POLL_S)
        inspected = await inspect()


async def _live_tail(
    client: aiodocker.Docker, log_dir: Path, name: str, inspected: Mapping[str, Any], count: int
) -> list[LogLine]:
    lines: deque[LogLine] = deque(maxlen=count)
    if not await _mark(log_dir, name, inspected).exists():
        # Asked for a tail, Podman 4 gives only the end of a line that was written in pieces, as shells and inits write
        # theirs, and joins a last line without end to the one before. The last words of a dead one must be whole.
        tail = count if inspected["State"].get("Running") else None
        async with aclosing(log_lines(client, str(inspected["Id"]), attempt_of(inspected), tail=tail)) as batches:
            async for batch in batches:
                lines.extend(batch)
    return list(lines)


async def _left(log_dir: Path, name: str, inspected: Mapping[str, Any], inspect: Inspect) -> bool:
    """Return whether the container's log has gone to the archive since it was inspected."""
    if await _mark(log_dir, name, inspected).exists():
        return True
    now = await inspect()
    return now is None or now["Id"] != inspected["Id"]


def _mark(log_dir: Path, name: str, inspected: Mapping[str, Any]) -> anyio.Path:
    """Return the file that says: this container's log is in the archive, only its removal is still to come."""
    return anyio.Path(log_dir / name / f"{str(inspected['Id'])[:12]}.archived")


def _write(writer: LogWriter, lines: list[LogLine]) -> None:
    for line in lines:
        time_ns = None if line.time is None else (line.time - _EPOCH) // timedelta(microseconds=1) * 1000
        writer.write(line.stream, line.text.encode(), time_ns=time_ns)
