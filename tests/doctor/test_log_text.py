from __future__ import annotations

import pytest

from modelport.doctor.log_text import exceptions, fatal_chain, fatal_exception, matching, telling_lines
from tests.doctor.dying import lines, recorded

TORCHSERVE = "2026-05-04T12:00:00,123 [INFO ] W-9000-iris_1.0-stdout MODEL_LOG - "
TRACEBACK = """Traceback (most recent call last):
  File "/app/main.py", line 1, in <module>
    import flask
ModuleNotFoundError: No module named 'flask'"""


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("python-module", "ModuleNotFoundError: No module named 'torch'"),
        ("python-syntax", "SyntaxError: '(' was never closed"),
        ("python-rich", "ModuleNotFoundError: No module named 'torchy'"),
        ("python-memory", "MemoryError"),
        ("gunicorn-module", "ModuleNotFoundError: No module named 'torch'"),
        ("uvicorn-lifespan", "FileNotFoundError: [Errno 2] No such file or directory: '/model/model.pkl'"),
        ("node-module", "Error: Cannot find module 'express'"),
        ("node-esm-module", "Error: Cannot find package 'express' imported from /app/a.mjs"),
        ("node-syntax", "SyntaxError: Unexpected token ';'"),
        ("node-in-use", "Error: listen EADDRINUSE: address already in use :::39899"),
    ],
)
def test_the_last_exception_of_a_real_program_is_read(name: str, wanted: str) -> None:
    raised = fatal_exception(lines(recorded(name)))
    assert raised is not None
    assert str(raised) == wanted
    assert raised.frames or name == "python-memory"


def test_a_chain_is_read_from_its_end() -> None:
    chain = fatal_chain(lines(recorded("python-chain")))
    assert [raised.kind for raised in chain] == ["RuntimeError", "FileNotFoundError"]


def test_exceptions_apart_are_no_chain() -> None:
    twice = f"{TRACEBACK}\ngoing on\n{TRACEBACK.replace('flask', 'torch')}"
    assert len(exceptions(lines(twice))) == 2
    assert len(fatal_chain(lines(twice))) == 1


def test_a_traceback_with_a_prefix_on_each_line_is_read() -> None:
    prefixed = "\n".join(
        TORCHSERVE.replace("123", f"12{number}") + line for number, line in enumerate(TRACEBACK.split("\n"))
    )
    assert [str(one) for one in exceptions(lines(prefixed))] == ["ModuleNotFoundError: No module named 'flask'"]


def test_streams_are_read_apart() -> None:
    mixed = []
    for error, out in zip(lines(TRACEBACK), lines("a\nb\nc\nd", stream="stdout"), strict=True):
        mixed += [error, out]
    (raised,) = exceptions(mixed)
    assert (raised.first, raised.last) == (0, 6)
    assert raised.frames == ('File "/app/main.py", line 1, in <module>', "import flask")


def test_java_and_go_are_read() -> None:
    java = 'Exception in thread "main" java.lang.IllegalStateException: no model\n\tat app.Main.main(Main.java:5)'
    go = "panic: no model\n\ngoroutine 1 [running]:\nmain.main()\n\t/src/main.go:4 +0x1d"
    assert [str(one) for one in exceptions(lines(java))] == ["IllegalStateException: no model"]
    assert [str(one) for one in exceptions(lines(go))] == ["panic: no model"]


def test_an_exception_far_from_the_end_is_not_fatal() -> None:
    assert fatal_exception(lines(TRACEBACK + "\nGET /health 200" * 30)) is None


def test_words_without_frames_are_no_exception() -> None:
    assert exceptions(lines("Error: something went wrong\nand on we go\nValueError: no")) == ()


def test_the_last_match_wins_and_colours_do_not_matter() -> None:
    match = matching(lines("port 1\n\x1b[31mport 2\x1b[0m\nend"), r"^port (\d)$")
    assert match is not None
    assert match[1] == "2"


def test_telling_lines_begin_with_the_exception() -> None:
    assert telling_lines(lines(f"error: first\n{TRACEBACK}"), 2) == (
        "ModuleNotFoundError: No module named 'flask'",
        "error: first",
    )
    assert telling_lines(lines("a\nb"), 1) == ("b",)
