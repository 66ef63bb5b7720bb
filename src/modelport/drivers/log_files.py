"""The log reader: the last lines of a replica over all attempts and rotated files, and new ones as they come.

Reads what `log_writer` wrote. It never writes, except that `sweep` removes the folders of replicas long gone.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import AsyncIterator, Collection
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import anyio
import anyio.to_thread

from modelport.core.replicas import LogLine
from modelport.drivers.log_writer import MAX_LINE_BYTES, STREAMS, LogFile, log_files_in

POLL_S = 0.1
MAX_TAIL = 100_000

_BLOCK_BYTES = 64 * 1024
_FOLDER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,253}")


async def read_logs(log_dir: Path, name: str, *, tail: int, follow: bool = False) -> AsyncIterator[LogLine]:
    """Yield the last `tail` lines of one replica, oldest first; with `follow`, go on with new ones for ever.

    An unknown name yields nothing; followed, it is waited for. A reader that lags behind by more than the writer keeps
    goes on with the oldest line that is left.
    """
    if not _FOLDER_NAME.fullmatch(name):
        return  # names reach this from users: none may lead out of the folder
    cursor = LogCursor(log_dir / name)
    try:
        for line in await anyio.to_thread.run_sync(cursor.tail, tail):
            yield line
        while follow:
            lines = await anyio.to_thread.run_sync(cursor.read)
            for line in lines:
                yield line
            if not lines:
                await anyio.sleep(POLL_S)
    finally:
        cursor.close()


def sweep(log_dir: Path, *, keep: Collection[str], older_than: datetime) -> list[str]:
    """Remove the log folders whose replica is not in `keep` and was last written before `older_than`; return them."""
    removed = []
    for folder in sorted(log_dir.iterdir()) if log_dir.is_dir() else []:
        if folder.name in keep or not folder.is_dir() or not _FOLDER_NAME.fullmatch(folder.name):
            continue
        times = [path.stat().st_mtime for path in (folder, *(file.path for file in log_files_in(folder)))]
        if max(times) < older_than.timestamp():
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(folder.name)
    return removed


def parse_line(raw: bytes, attempt: int) -> LogLine:
    """Read one line of a log file; a damaged one becomes text without a time."""
    head, _, rest = raw.partition(b" ")
    stream, _, text = rest.partition(b" ")
    try:
        time = datetime.fromisoformat(head.decode("ascii"))
    except ValueError:
        return LogLine(None, "stdout", raw.decode(errors="replace"), attempt)
    if stream.decode(errors="replace") not in STREAMS:
        return LogLine(None, "stdout", raw.decode(errors="replace"), attempt)
    return LogLine(time, stream.decode(), text.decode(errors="replace"), attempt)


class LogCursor:
    """A place in a replica's log; blocking, so call it in a thread.

    It keeps its file open: a rotated file stays readable, and its inode, by which it is found again after a rename,
    cannot be given to another file meanwhile.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: BinaryIO | None = None
        self._attempt = 1
        self._partial = b""

    def tail(self, count: int) -> list[LogLine]:
        """Return the last `count` lines and stand behind them."""
        lines: list[LogLine] = []
        wanted = min(max(count, 0), MAX_TAIL)
        opened = _open_all(self._folder)
        for log, file in reversed(opened):
            found = _last_lines(file, wanted - len(lines))
            lines[:0] = [parse_line(line, log.attempt) for line in found]
        if opened:
            self._move_to(*opened.pop())
        _close_all(opened)
        return lines

    def read(self) -> list[LogLine]:
        """Return lines written since the last call, some of them when there are many; empty when there is none yet."""
        while True:
            data = self._read_block()
            following = None
            if not data:
                following = self._open_following()
                # What was written between that read and the rotation; only now is this file known to be complete.
                data = self._read_block() if following else b""
            *complete, self._partial = (self._partial + data).split(b"\n")
            if len(self._partial) > 2 * MAX_LINE_BYTES or (following and not data and self._partial):
                complete.append(self._partial)  # not ours, or torn by a crash: what has no end must end somewhere
                self._partial = b""
            lines = [parse_line(line, self._attempt) for line in complete]
            if following is not None:
                if data:
                    following[1].close()
                else:
                    self._move_to(*following)
            if lines or not (data or following):
                return lines

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _read_block(self) -> bytes:
        return self._file.read(_BLOCK_BYTES) if self._file is not None else b""

    def _move_to(self, log: LogFile, file: BinaryIO) -> None:
        self.close()
        self._file, self._attempt = file, log.attempt

    def _open_following(self) -> tuple[LogFile, BinaryIO] | None:
        opened = _open_all(self._folder)
        place = 0  # where ours is no more, the oldest that is left follows it
        if self._file is not None:
            inodes = [_inode(file) for _, file in opened]
            own = _inode(self._file)
            place = inodes.index(own) + 1 if own in inodes else 0
        following = opened.pop(place) if place < len(opened) else None
        _close_all(opened)
        return following


def _open_all(folder: Path) -> list[tuple[LogFile, BinaryIO]]:
    # A rotation in between would pair names with the wrong files: try until the names still mean what was opened.
    opened: list[tuple[LogFile, BinaryIO]] = []
    for _ in range(10):
        _close_all(opened)
        opened = []
        listing = log_files_in(folder)
        try:
            for log in listing:
                opened.append((log, log.path.open("rb")))
            unchanged = all(log.path.stat().st_ino == _inode(file) for log, file in opened)
        except FileNotFoundError:
            continue
        if unchanged and log_files_in(folder) == listing:
            break
    return opened


def _close_all(opened: list[tuple[LogFile, BinaryIO]]) -> None:
    for _, file in opened:
        file.close()


def _inode(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_ino


def _last_lines(file: BinaryIO, count: int) -> list[bytes]:
    end = position = file.seek(0, os.SEEK_END)
    blocks: list[bytes] = []
    newlines = 0
    while count > 0 and position > 0 and newlines <= count:
        size = min(_BLOCK_BYTES, position)
        position -= size
        file.seek(position)
        blocks.append(file.read(size))
        newlines += blocks[-1].count(b"\n")
    file.seek(end)
    lines = b"".join(reversed(blocks)).split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    return lines[-count:] if count > 0 else []
