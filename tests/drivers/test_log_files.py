"""Log files: what was fed to the writer comes back from the reader, in order, and bounded."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest

from modelport.core.replicas import LogLine
from modelport.drivers.log_files import LogCursor, parse_line, read_logs, sweep
from modelport.drivers.log_writer import MAX_LINE_BYTES, LogWriter, log_files_in

NAME = "mp-m-v-0123456789-0"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / NAME


@contextmanager
def writing(
    folder: Path, attempt: int = 1, *, max_bytes: int = 1024**2, max_files: int = 3, fresh: bool = False
) -> Iterator[LogWriter]:
    writer = LogWriter(folder, attempt, max_bytes=max_bytes, max_files=max_files, fresh=fresh)
    yield writer
    writer.close()


def tail(folder: Path, count: int = 1000) -> list[LogLine]:
    cursor = LogCursor(folder)
    lines = cursor.tail(count)
    cursor.close()
    return lines


def texts(lines: list[LogLine]) -> list[str]:
    return [line.text for line in lines]


def test_a_line_comes_back_with_time_stream_and_attempt(folder: Path) -> None:
    before = datetime.now(UTC)
    with writing(folder, 2) as log:
        log.feed("stderr", b"hello  world \n")
    (line,) = tail(folder)
    assert (line.stream, line.text, line.attempt) == ("stderr", "hello  world ", 2)
    assert line.time is not None
    assert before - timedelta(microseconds=1) <= line.time <= datetime.now(UTC)


def test_a_line_written_with_its_own_time_keeps_it(folder: Path) -> None:
    with writing(folder) as log:
        log.write("stdout", b"x", time_ns=1_600_000_000_123_456_789)
    assert tail(folder)[0].time == datetime(2020, 9, 13, 12, 26, 40, 123456, UTC)


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([b"a\nb\n"], ["a", "b"]),
        ([b"a", b"b\nc", b"\n"], ["ab", "c"]),
        ([b"no newline"], ["no newline"]),
        ([b"\n\n"], ["", ""]),
        ([b"windows\r\n"], ["windows"]),
        ([b"10%\r20%\r\n"], ["10%\r20%"]),
        ([b"\xff\xfe\x00\n"], ["\ufffd\ufffd\x00"]),
        (["grün\n".encode()[:3], "grün\n".encode()[3:]], ["grün"]),
        ([b"\x0c form feed\x1cis one line\n"], ["\x0c form feed\x1cis one line"]),
        ([b"x" * (2 * MAX_LINE_BYTES + 1) + b"\n"], ["x" * MAX_LINE_BYTES, "x" * MAX_LINE_BYTES, "x"]),
        ([b"x" * MAX_LINE_BYTES, b"y\n"], ["x" * MAX_LINE_BYTES, "y"]),
    ],
)
def test_output_is_cut_into_lines(folder: Path, chunks: list[bytes], expected: list[str]) -> None:
    with writing(folder) as log:
        for chunk in chunks:
            log.feed("stdout", chunk)
    assert texts(tail(folder)) == expected


def test_unfinished_lines_of_the_streams_do_not_mix(folder: Path) -> None:
    with writing(folder) as log:
        log.feed("stdout", b"out ")
        log.feed("stderr", b"err\n")
        log.feed("stdout", b"end\n")
    assert [(line.stream, line.text) for line in tail(folder)] == [("stderr", "err"), ("stdout", "out end")]


@pytest.mark.parametrize("count", [0, 1, 7, 100, 10_000])
def test_a_tail_spans_rotated_files_and_attempts(folder: Path, count: int) -> None:
    for attempt in (1, 2):
        with writing(folder, attempt, max_bytes=1000, max_files=100) as log:
            for number in range(100):
                log.feed("stdout", f"{attempt}-{number}\n".encode())
    written = [f"{attempt}-{number}" for attempt in (1, 2) for number in range(100)]
    assert len(log_files_in(folder)) > 4
    assert texts(tail(folder, count)) == (written[-count:] if count else [])


def test_a_replica_keeps_so_many_files_over_all_attempts(folder: Path) -> None:
    for attempt in range(1, 6):
        with writing(folder, attempt, max_bytes=1000, max_files=3) as log:
            log.feed("stdout", b"".join(b"%d-%d\n" % (attempt, number) for number in range(60)))
    files = log_files_in(folder)
    assert len(files) == 3
    assert all(file.path.stat().st_size <= 1000 for file in files)
    assert texts(tail(folder))[-1] == "5-59"


def test_a_fresh_copy_of_an_attempt_replaces_it_alone(folder: Path) -> None:
    with writing(folder, 1) as log:
        log.feed("stdout", b"one\n")
    for _ in range(2):
        with writing(folder, 2, fresh=True) as log:
            log.feed("stdout", b"two\n")
    assert texts(tail(folder)) == ["one", "two"]


def test_a_full_disk_loses_lines_and_says_how_many(folder: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with writing(folder) as log:
        log.feed("stdout", b"before\n")
        resource.setrlimit(resource.RLIMIT_FSIZE, (60, hard))
        try:
            log.feed("stdout", b"lost 1\nlost 2\n")
            log.feed("stdout", b"lost 3\n")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        log.feed("stdout", b"after\n")
    lines = texts(tail(folder))
    assert lines[0] == "before"
    assert lines[-2:] == ["modelport: 3 log lines lost: File too large", "after"]


def test_other_files_in_the_folder_are_left_alone(folder: Path) -> None:
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    with writing(folder, max_bytes=100, max_files=1) as log:
        for _ in range(20):
            log.feed("stdout", b"some line\n")
    assert (folder / "notes.txt").read_text() == "mine"
    assert len(log_files_in(folder)) == 1


@pytest.mark.parametrize(
    "raw",
    [b"", b"torn", b"2026-01-01T00:00:00Z", b"2026-01-01T00:00:00Z stdfoo text", b"\xff \xff \xff", b"x stdout y"],
)
def test_a_damaged_line_becomes_text(raw: bytes) -> None:
    assert parse_line(raw, 4) == LogLine(None, "stdout", raw.decode(errors="replace"), 4)


def test_a_file_without_any_newline_is_read_in_bounded_pieces(folder: Path) -> None:
    folder.mkdir()
    (folder / "0001.log").write_bytes(b"")
    cursor = LogCursor(folder)
    cursor.tail(0)
    (folder / "0001.log").write_bytes(b"x" * 10 * MAX_LINE_BYTES)
    pieces = cursor.read()
    assert 0 < len(pieces[0].text) <= 4 * MAX_LINE_BYTES
    cursor.close()


def test_a_cursor_misses_nothing_across_rotations_and_attempts(folder: Path) -> None:
    cursor = LogCursor(folder)
    seen = texts(cursor.tail(10))
    written = []
    for attempt in (1, 2, 3):
        with writing(folder, attempt, max_bytes=300, max_files=3) as log:
            for number in range(50):
                log.feed("stdout", f"{attempt}-{number}\n".encode())
                written.append(f"{attempt}-{number}")
                if number % 7 == 0:
                    while lines := cursor.read():
                        seen += texts(lines)
            while lines := cursor.read():
                seen += texts(lines)
    cursor.close()
    assert seen == written


def test_a_cursor_left_behind_goes_on_with_the_oldest_line_left(folder: Path) -> None:
    cursor = LogCursor(folder)
    with writing(folder, max_bytes=300, max_files=2) as log:
        log.feed("stdout", b"first\n")
        seen = texts(cursor.tail(10))
        for number in range(100):
            log.feed("stdout", b"%d\n" % number)
    while lines := cursor.read():
        seen += texts(lines)
    cursor.close()
    numbers = [int(text) for text in seen[1:]]
    assert seen[0] == "first"
    assert numbers[-1] == 99
    assert numbers == sorted(set(numbers))
    assert 5 < len(numbers) < 60


@pytest.mark.anyio
async def test_following_an_unknown_name_waits_for_it(tmp_path: Path) -> None:
    seen = []
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:

            async def write() -> None:
                await anyio.sleep(0.15)
                with writing(tmp_path / NAME) as log:
                    log.feed("stdout", b"at last\n")

            group.start_soon(write)
            async with aclosing(read_logs(tmp_path, NAME, tail=5, follow=True)) as lines:  # type: ignore[type-var]
                async for line in lines:
                    seen.append(line.text)
                    break
    assert seen == ["at last"]


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["..", ".", "", "../other", "a/b", "/etc", "a\0b", "x" * 400])
async def test_names_that_lead_elsewhere_yield_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / "logs").mkdir()
    with writing(tmp_path / "other") as log:
        log.feed("stdout", b"secret\n")
    assert [line async for line in read_logs(tmp_path / "logs", name, tail=5)] == []


def test_a_sweep_removes_old_folders_of_gone_replicas_only(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    for name, days in (("mp-gone-old", 9), ("mp-gone-new", 1), ("mp-kept-old", 9)):
        with writing(tmp_path / name) as log:
            log.feed("stdout", b"x\n")
        then = (now - timedelta(days=days)).timestamp()
        for path in (tmp_path / name / "0001.log", tmp_path / name):
            os.utime(path, (then, then))
    assert sweep(tmp_path, keep={"mp-kept-old"}, older_than=now - timedelta(days=7)) == ["mp-gone-old"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mp-gone-new", "mp-kept-old"]
    assert sweep(tmp_path / "missing", keep=(), older_than=now) == []
