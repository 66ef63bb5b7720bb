"""The log writer: appends one attempt's output to rotating files and keeps a replica's folder bounded.

Imports the standard library only, and little of it: the process driver's shim must start at once.

A replica's folder has one series of files per attempt: `0001.log` is being written, `0001.log.1` is the newest of the
full ones. Every line is `TIME STREAM TEXT` with the time in UTC down to microseconds; TEXT is what the program wrote,
byte for byte.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

STREAMS = ("stdout", "stderr")
MAX_LINE_BYTES = 64 * 1024

_FILE_NAME = re.compile(r"(\d{4,})\.log(?:\.(\d+))?")


class LogFile(NamedTuple):  # not a dataclass: importing those would take the shim 15 ms
    """One file of a replica's folder; `rotation` is 0 for the one being written."""

    path: Path
    attempt: int
    rotation: int


def log_files_in(folder: Path) -> list[LogFile]:
    """Return the log files of one replica, oldest first; none where the folder is missing."""
    try:
        names = os.listdir(folder)  # noqa: PTH208 - names only: no Path objects for what is not a log file
    except (FileNotFoundError, NotADirectoryError):
        return []
    found = [
        LogFile(folder / name, int(match[1]), int(match[2] or 0))
        for name in names
        if (match := _FILE_NAME.fullmatch(name))
    ]
    return sorted(found, key=lambda file: (file.attempt, -file.rotation))


class LogWriter:
    """Writes one attempt's lines. A full disk loses lines, never the replica: the next line that fits says how many.

    Args:
        folder: the replica's folder; made when it is missing.
        attempt: names the series of files.
        max_bytes: size at which a file is full.
        max_files: files kept for this replica over all attempts; the oldest go first.
        fresh: drop what this attempt has logged before, so that copying its log a second time does not double it.
    """

    def __init__(self, folder: Path, attempt: int, *, max_bytes: int, max_files: int, fresh: bool = False) -> None:
        self._folder = folder
        self._attempt = attempt
        self._max_bytes = max_bytes
        self._max_files = max_files
        self._partial = dict.fromkeys(STREAMS, b"")
        self._lost_lines = 0
        self._loss = ""
        self._torn = False
        folder.mkdir(parents=True, exist_ok=True)
        if fresh:
            for file in log_files_in(folder):
                if file.attempt == attempt:
                    file.path.unlink(missing_ok=True)
        self._descriptor = self._open()

    def feed(self, stream: str, chunk: bytes) -> None:
        """Add output as it was read from a pipe; an unfinished line waits for its end, up to MAX_LINE_BYTES."""
        *lines, rest = (self._partial[stream] + chunk).split(b"\n")
        while len(rest) >= MAX_LINE_BYTES:
            lines.append(rest[:MAX_LINE_BYTES])
            rest = rest[MAX_LINE_BYTES:]
        self._partial[stream] = rest
        if lines:
            self._append(stream, lines, time.time_ns())

    def write(self, stream: str, text: bytes, *, time_ns: int | None = None) -> None:
        """Add one whole line; `time_ns` is when it was written, in nanoseconds since 1970 (default: now)."""
        self._append(stream, text.split(b"\n"), time.time_ns() if time_ns is None else time_ns)

    def close(self) -> None:
        """Write out unfinished lines and close the file."""
        for stream, rest in self._partial.items():
            if rest:
                self._append(stream, [rest], time.time_ns())
        self._partial = dict.fromkeys(STREAMS, b"")
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _append(self, stream: str, lines: Iterable[bytes], time_ns: int) -> None:
        head = f"{_format_time(time_ns)} {stream} ".encode()
        batch = bytearray()
        for line in lines:
            text = line.removesuffix(b"\r")
            for start in range(0, len(text) or 1, MAX_LINE_BYTES):
                encoded = head + text[start : start + MAX_LINE_BYTES] + b"\n"
                filled = self._size + len(batch)
                if filled and filled + len(encoded) > self._max_bytes:
                    self._write_out(batch)
                    batch.clear()
                    self._rotate()
                batch += encoded
        self._write_out(batch)

    def _write_out(self, batch: bytearray) -> None:
        if not batch:
            return
        if self._descriptor is None:
            self._descriptor = self._open()
        if self._descriptor is None:
            self._lost_lines += batch.count(b"\n")
            return
        data = bytes(batch)
        if self._lost_lines:
            note = f"{self._lost_lines} log lines lost: {self._loss}"
            data = f"{_format_time(time.time_ns())} stderr modelport: {note}\n".encode() + data
        if self._torn:
            data = b"\n" + data
        written = 0
        try:
            while written < len(data):
                written += os.write(self._descriptor, data[written:])
        except OSError as error:
            # No space, or the file's device is gone. The replica must go on: its pipe is drained and lines are lost.
            self._loss = error.strerror or "unknown"
            self._torn = written > 0 or self._torn
            self._lost_lines += batch.count(b"\n")
        else:
            self._torn = False
            self._lost_lines = 0
        self._size += written

    def _rotate(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        self._torn = False
        own = [file for file in log_files_in(self._folder) if file.attempt == self._attempt]
        # Where renaming fails, the files stay as they are and the newest grows beyond its size until it works again.
        with suppress(OSError):
            for file in own:  # oldest first: every target has just moved away
                file.path.replace(self._path(file.rotation + 1))
        self._descriptor = self._open()

    def _open(self) -> int | None:
        try:
            descriptor = os.open(self._path(0), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            self._loss = error.strerror or "unknown"
            self._size = 0
            return None
        self._size = os.fstat(descriptor).st_size
        for file in log_files_in(self._folder)[: -self._max_files]:
            with suppress(OSError):
                file.path.unlink()
        return descriptor

    def _path(self, rotation: int) -> Path:
        return self._folder / (f"{self._attempt:04d}.log" + (f".{rotation}" if rotation else ""))


def _format_time(time_ns: int) -> str:
    seconds, rest = divmod(time_ns, 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest // 1000:06d}Z"
