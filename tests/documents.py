"""The documents of the repository as tests see them: their code blocks, each with the comment that stands above it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
REFERENCE = ROOT / "docs" / "reference"

_BLOCK = re.compile(
    r"^(?:<!-- (?P<marker>[^\n]+?) -->\n)?```(?P<language>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """A fenced block; `marker` is the comment above: `run`, `run engine`, `run exit 1`, `file: PATH` or `version`."""

    document: Path
    line: int
    language: str
    text: str
    marker: str

    def __str__(self) -> str:
        return f"{self.document.relative_to(ROOT)}:{self.line}"


@dataclass(frozen=True)
class Step:
    """A command of a console block with what it prints."""

    command: str
    expected: str


def blocks(document: Path) -> Iterator[Block]:
    text = document.read_text(encoding="utf-8")
    for match in _BLOCK.finditer(text):
        line = text.count("\n", 0, match.start("language")) + 1
        yield Block(document, line, match["language"], match["text"], match["marker"] or "")


ALL_BLOCKS = [block for document in DOCUMENTS for block in blocks(document)]


def steps(block: Block) -> list[Step]:
    """Return the commands of a console block: lines after `$ `, each with the lines that follow it."""
    found = []
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, expected = part.partition("\n")
        found.append(Step(command, expected.rstrip("\n")))
    return found


def shell_lines(block: Block) -> list[str]:
    """Return the commands of a block in a shell language, one each."""
    if block.language == "console":
        return [step.command for step in steps(block)]
    return [line for line in block.text.replace("\\\n", " ").splitlines() if line.strip()]
