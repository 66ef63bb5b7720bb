"""The engine's two endless answers, logs and events, as lines; the frames are taken apart without I/O.

They are read over the client's own session: its log reader drops which stream a line came from, and its readers take
a broken connection for the end.
"""

from __future__ import annotations

import json
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiodocker
import aiohttp

from modelport.core.replicas import LogLine
from modelport.drivers.docker_calls import settle_version
from modelport.drivers.docker_spec import parse_time
from modelport.drivers.log_writer import MAX_LINE_BYTES

_HEADER = struct.Struct(">BxxxL")
_STREAMS = {0: "stdout", 1: "stdout", 2: "stderr"}
_ENDLESS = aiohttp.ClientTimeout(total=None, sock_connect=5)


class LogFrames:
    """Takes the engine's frames apart: feed it bytes as they come, get whole lines."""

    def __init__(self, attempt: int) -> None:
        self._attempt = attempt
        self._buffer = bytearray()
        self._unfinished: dict[str, tuple[str, bytes]] = {}

    def feed(self, data: bytes) -> list[LogLine]:
        """Return the lines that `data` completes."""
        self._buffer += data
        lines: list[LogLine] = []
        start = 0
        while len(self._buffer) - start >= _HEADER.size:
            kind, length = _HEADER.unpack_from(self._buffer, start)
            end = start + _HEADER.size + length
            if len(self._buffer) < end:
                break
            lines += self._frame(_STREAMS.get(kind, "stderr"), bytes(self._buffer[start + _HEADER.size : end]))
            start = end
        del self._buffer[:start]
        return lines

    def finish(self) -> list[LogLine]:
        """Return what has no line end; the container ended without writing one."""
        return [self._line(stream, *self._unfinished.pop(stream)) for stream in list(self._unfinished)]

    def _frame(self, stream: str, payload: bytes) -> list[LogLine]:
        # Every frame starts with a time. Docker cuts long lines into several, of which the last ends the line.
        head, _, text = payload.partition(b" ")
        time, before = self._unfinished.pop(stream, (head.decode(errors="replace"), b""))
        text = before + text
        if not text.endswith(b"\n") and len(text) < MAX_LINE_BYTES:
            self._unfinished[stream] = (time, text)
            return []
        return [self._line(stream, time, line) for line in text.removesuffix(b"\n").split(b"\n")]

    def _line(self, stream: str, time: str, text: bytes) -> LogLine:
        return LogLine(parse_time(time), stream, text.removesuffix(b"\r").decode(errors="replace"), self._attempt)


async def log_lines(
    client: aiodocker.Docker, container: str, attempt: int, *, tail: int | None, follow: bool = False
) -> AsyncGenerator[list[LogLine], None]:
    """Yield the container's lines in batches, the last `tail` or all; with `follow`, until the container ends."""
    params = {
        "stdout": "1",
        "stderr": "1",
        "timestamps": "1",
        "tail": "all" if tail is None else str(tail),
        "follow": "1" if follow else "0",
    }
    frames = LogFrames(attempt)
    async with _stream(client, f"containers/{container}/logs", params) as response:
        async for data in response.content.iter_any():
            if lines := frames.feed(data):
                yield lines
    if lines := frames.finish():
        yield lines


async def container_events(
    client: aiodocker.Docker, filters: Mapping[str, list[str]]
) -> AsyncGenerator[dict[str, Any], None]:
    """Yield the engine's events; ends when the engine ends the answer."""
    params = {"filters": json.dumps({"type": ["container"], **filters})}
    rest = b""
    async with _stream(client, "events", params) as response:
        async for data in response.content.iter_any():
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                if line.strip():
                    event: dict[str, Any] = json.loads(line)
                    yield event


@asynccontextmanager
async def _stream(
    client: aiodocker.Docker, path: str, params: Mapping[str, str]
) -> AsyncIterator[aiohttp.ClientResponse]:
    await settle_version(client)
    url = f"{client.docker_host}/{client.api_version}/{path}"
    async with client.session.get(url, params=params, timeout=_ENDLESS) as response:
        if response.status >= 400:
            raise aiodocker.DockerError(response.status, (await response.text())[:1000])
        yield response
