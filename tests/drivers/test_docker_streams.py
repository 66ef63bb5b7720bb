"""Frames of the engine's log stream, cut in any way."""

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelport.core.replicas import LogLine
from modelport.drivers.docker_streams import LogFrames
from modelport.drivers.log_writer import MAX_LINE_BYTES

TIME = datetime(2026, 11, 21, 20, 15, 1, 471642, UTC)


def frame(stream: int, text: bytes, time: bytes = b"2026-11-21T20:15:01.471642645Z") -> bytes:
    payload = time + b" " + text
    return bytes([stream, 0, 0, 0]) + len(payload).to_bytes(4, "big") + payload


def line(stream: str, text: str) -> LogLine:
    return LogLine(TIME, stream, text, 4)


TWO_STREAMS = frame(2, b"warn\n") + frame(1, b"one\n") + frame(1, b"\n") + frame(2, b"\xff\xc3\xbc\r\n")
EXPECTED = [line("stderr", "warn"), line("stdout", "one"), line("stdout", ""), line("stderr", "\ufffdü")]


@given(cuts=st.lists(st.integers(0, len(TWO_STREAMS)), max_size=8))
def test_lines_do_not_depend_on_how_the_bytes_arrive(cuts: list[int]) -> None:
    frames = LogFrames(4)
    borders = [0, *sorted(cuts), len(TWO_STREAMS)]
    lines = [found for start, end in pairwise(borders)
             for found in frames.feed(TWO_STREAMS[start:end])]  # fmt: skip
    assert lines == EXPECTED
    assert frames.finish() == []


def test_a_long_line_in_several_frames_is_one_line() -> None:
    frames = LogFrames(4)
    data = frame(1, b"a" * 10) + frame(2, b"between\n") + frame(1, b"b" * 10) + frame(1, b"c\n")
    assert frames.feed(data) == [line("stderr", "between"), line("stdout", "a" * 10 + "b" * 10 + "c")]


def test_an_unfinished_line_is_given_at_the_end() -> None:
    frames = LogFrames(4)
    assert frames.feed(frame(1, b"no end")) == []
    assert frames.finish() == [line("stdout", "no end")]


def test_a_line_without_an_end_is_cut_at_the_limit() -> None:
    frames = LogFrames(4)
    chunk = b"x" * 16384
    lines = [found for _ in range(20) for found in frames.feed(frame(1, chunk))]
    assert len(lines) == 20 * len(chunk) // MAX_LINE_BYTES
    assert all(len(found.text) == MAX_LINE_BYTES for found in lines)


@pytest.mark.parametrize("time", [b"", b"nonsense"])
def test_a_line_without_a_time_is_kept(time: bytes) -> None:
    assert LogFrames(1).feed(frame(1, b"text\n", time)) == [LogLine(None, "stdout", "text", 1)]
