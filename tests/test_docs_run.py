"""Blocks marked `run` do what the documents say: each document is played through on a platform of its own."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.documents import ALL_BLOCKS, DOCUMENTS, ROOT, Block, blocks, steps
from tests.e2e.platform import Platform, platform

SHOWN = "127.0.0.1:8470"
RUNNABLE = sorted({block.document for block in ALL_BLOCKS if block.marker.startswith("run")})


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
    with platform() as mp:
        environ |= {"MODELPORT_ENDPOINT": mp.url, "PYTHONUNBUFFERED": "1", "COLUMNS": "200"}
        environ.pop("MODELPORT_PROJECT", None)
        for block in blocks(document):
            if block.marker.startswith("file: "):
                write(block, tmp_path, mp)
            elif block.marker.startswith("run"):
                play(block, tmp_path, mp, environ)


def programs(folder: Path) -> dict[str, str]:
    """Put `modelport` and `python` of this very environment first on PATH."""
    folder.mkdir()
    for name, arguments in (("python", ""), ("modelport", " -m modelport")):
        program = folder / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}"{arguments} "$@"\n')
        program.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT / "src")}


def write(block: Block, folder: Path, mp: Platform) -> None:
    path = folder / block.marker.removeprefix("file: ")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(block.text.replace(SHOWN, f"127.0.0.1:{mp.port}"), encoding="utf-8")


def play(block: Block, folder: Path, mp: Platform, environ: dict[str, str]) -> None:
    code = int(block.marker.rpartition(" ")[2]) if " " in block.marker else 0
    for step in steps(block):
        done = subprocess.run(
            ["bash", "-c", step.command.replace(SHOWN, f"127.0.0.1:{mp.port}")],
            cwd=folder,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=90,
        )
        said = done.stdout.replace(f"127.0.0.1:{mp.port}", SHOWN).strip("\n") + "\n"
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
