"""Blocks marked `run` do what the documents say: each document is played through on a platform of its own."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.documents import ALL_BLOCKS, DOCUMENTS, ROOT, Block, blocks, steps
from tests.e2e.platform import platform
from tests.engines.fixtures import BASE_IMAGE

SHOWN = "127.0.0.1:8470"
ON_ENGINE = "run engine"
RUNNABLE = sorted({block.document for block in ALL_BLOCKS if block.marker.startswith("run")})
CONTAINERS = sorted({block.document for block in ALL_BLOCKS if block.marker.startswith(ON_ENGINE)})


def test_the_readme_is_among_the_documents_that_are_played() -> None:
    assert ROOT / "README.md" in RUNNABLE
    assert set(RUNNABLE) <= set(DOCUMENTS)


@pytest.mark.slow
@pytest.mark.parametrize("document", RUNNABLE, ids=lambda path: path.stem)
def test_a_document_does_what_it_says(document: Path, tmp_path: Path) -> None:
    text = document.read_text(encoding="utf-8")
    if "node-server" in text and not shutil.which("node"):
        missing("node is not installed")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    environ = {**os.environ, **programs(tmp_path / "bin")}
    with platform(MODELPORT_PROBE_PERIOD_S="10") as mp:  # at the contract's pace, on a busy machine too
        environ |= {"MODELPORT_ENDPOINT": mp.url, "PYTHONUNBUFFERED": "1", "COLUMNS": "200"}
        environ.pop("MODELPORT_PROJECT", None)
        for block in blocks(document):
            if block.marker.startswith("file: "):
                write(block, tmp_path, f"127.0.0.1:{mp.port}")
            elif block.marker.startswith("run") and not block.marker.startswith(ON_ENGINE):
                play(block, tmp_path, environ, f"127.0.0.1:{mp.port}")


@pytest.mark.slow
@pytest.mark.engine
@pytest.mark.timeout(300)
@pytest.mark.parametrize("document", CONTAINERS, ids=lambda path: path.stem)
def test_a_document_does_what_it_says_with_an_engine(document: Path, tmp_path: Path, podman_engine: str) -> None:
    environ = {**os.environ, **programs(tmp_path / "bin"), "MODELPORT_DOCKER_HOST": podman_engine, "COLUMNS": "200"}
    for block in blocks(document):
        if block.marker.startswith("file: "):
            write(replace(block, text=block.text.replace("python:3.11-slim", BASE_IMAGE)), tmp_path)
        elif block.marker.startswith(ON_ENGINE):
            play(block, tmp_path, environ)


def programs(folder: Path) -> dict[str, str]:
    """Put `modelport` and `python` of this very environment first on PATH."""
    folder.mkdir()
    for name, arguments in (("python", ""), ("modelport", " -m modelport")):
        program = folder / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}"{arguments} "$@"\n')
        program.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT / "src")}


def write(block: Block, folder: Path, listen: str = SHOWN) -> None:
    path = folder / block.marker.removeprefix("file: ")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(block.text.replace(SHOWN, listen), encoding="utf-8")


def play(block: Block, folder: Path, environ: dict[str, str], listen: str = SHOWN) -> None:
    code = int(block.marker.rpartition(" ")[2]) if "exit" in block.marker else 0
    for step in steps(block):
        done = subprocess.run(
            ["bash", "-c", step.command.replace(SHOWN, listen)],
            cwd=folder,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=90,
        )
        said = done.stdout.replace(listen, SHOWN).strip("\n") + "\n"
        assert done.returncode == code, f"{block}: {step.command}\n{said}"
        if step.expected:
            assert pattern(step.expected).fullmatch(said), f"{block}: {step.command}\n{said}"


def pattern(expected: str) -> re.Pattern[str]:
    """Return what the output must match: `…` is anything within a line, a line of its own any number of lines."""
    lines = []
    for line in expected.splitlines():
        if line == "…":
            lines.append("(?:.*\n)*?")
        else:
            lines.append(".*".join(re.escape(part) for part in line.rstrip().split("…")) + " *\n")
    return re.compile("".join(lines))


@pytest.mark.parametrize(
    ("expected", "said", "matches"),
    [
        ("a\n…\nd", "a\nb\nc\nd\n", True),
        ("a\n…\nd", "a\nd\n", True),
        ("a\n…\nd", "a\nb\nc\n", False),
        ("READY …s", "READY 1.3 s\n", True),
        ("READY", "FAILED\n", False),
        ("a\n…", "a\nb\nc\n", True),
    ],
)
def test_expected_output_may_leave_things_out(expected: str, said: str, matches: bool) -> None:
    assert bool(pattern(expected).fullmatch(said)) is matches
