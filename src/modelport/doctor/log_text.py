"""Log text: what can be read out of lines that some program printed: exceptions, telling lines, matches. Pure.

Text proves little by itself: a server may log a traceback and go on. Rules combine it with structure, such as an exit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from modelport.core.replicas import LogLine

_PYTHON_START = re.compile(r"(?:^|\s)Traceback \(most recent call last\):\s*$")
_PYTHON_FRAME = re.compile(r'^\s+File "(?P<file>[^"]+)", line (?P<line>\d+)(?:, in (?P<function>.+))?$')
_PYTHON_END = re.compile(r"^(?P<kind>[A-Za-z_][\w.]*)(?:: (?P<message>.*))?$")
_NODE_END = re.compile(r"^(?:Uncaught )?(?P<kind>[A-Z]\w*(?:Error|Exception))(?: \[\w+\])?: (?P<message>.*)$")
_NODE_FRAME = re.compile(r"^\s+at .+")
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_TELLING = re.compile(
    r"\b(error|exception|fatal|fail(?:ed|ure)?|panic|cannot|can't|could not|unable|denied|refused|not found"
    r"|no such|missing|invalid|unrecognized|usage:|segmentation|killed|abort)\b",
    re.IGNORECASE,
)
_MESSAGE_LINES = 12


@dataclass(frozen=True)
class Raised:
    """An exception as a program printed it.

    Attributes:
        kind: its class, such as `ModuleNotFoundError`, without its module.
        message: what it said, at most a dozen lines.
        frames: source lines and places of the traceback, innermost last.
        first: index of the traceback's first line in the lines that were read.
        last: index of its last line.
    """

    kind: str
    message: str
    frames: tuple[str, ...]
    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.kind}: {self.message.splitlines()[0]}" if self.message else self.kind


def plain(text: str) -> str:
    """Return the text without colours and other terminal sequences."""
    return _ANSI.sub("", text)


def exceptions(lines: Sequence[LogLine]) -> tuple[Raised, ...]:
    """Return every exception printed with a traceback, in order; of a chain each link is one."""
    texts = [plain(line.text) for line in lines]
    found: list[Raised] = []
    index = 0
    while index < len(texts):
        if _PYTHON_START.search(texts[index]):
            raised = _python(texts, index)
        elif (
            (match := _NODE_END.match(texts[index])) and index + 1 < len(texts) and _NODE_FRAME.match(texts[index + 1])
        ):
            raised = _node(texts, index, match)
        else:
            raised = None
        if raised is not None:
            found.append(raised)
            index = raised.last
        index += 1
    return tuple(found)


def fatal_exception(lines: Sequence[LogLine], *, within: int = 15) -> Raised | None:
    """Return the last exception if the log ends with it: at most `within` lines, none of them telling, come after.

    For a program that has ended with an error this is what ended it; frameworks add a few words of farewell.
    """
    last = next(reversed(exceptions(lines)), None)
    return last if last is not None and len(lines) - 1 - last.last <= within else None


def matching(lines: Iterable[LogLine], *patterns: str) -> re.Match[str] | None:
    """Return the last line that one of the patterns is found in."""
    compiled = [re.compile(pattern) for pattern in patterns]
    texts = [plain(line.text) for line in lines]
    return next((match for text in reversed(texts) for one in compiled if (match := one.search(text))), None)


def telling_lines(lines: Sequence[LogLine], limit: int = 5) -> tuple[str, ...]:
    """Return the lines that say most about a failure: what the last exception said, then lines with words of failure.

    Where there are none, the last lines as they are.
    """
    raised = next(reversed(exceptions(lines)), None)
    texts = [plain(line.text).strip() for line in lines]
    chosen = [str(raised)] if raised else []
    chosen += [text for text in reversed(texts) if text and _TELLING.search(text) and text not in chosen]
    if not chosen:
        chosen = [text for text in reversed(texts) if text]
    return tuple(text[:300] for text in chosen[:limit])


def quoted(text: str) -> str:
    """Return a log line as a line of evidence."""
    return f"log: {plain(text).strip()[:300]}"


def _python(texts: Sequence[str], start: int) -> Raised | None:
    frames: list[str] = []
    index = start + 1
    while index < len(texts) and (texts[index].startswith((" ", "\t")) or not texts[index].strip()):
        if not texts[index].strip() and frames and not _more_frames(texts, index):
            break
        frames.append(texts[index].strip())
        index += 1
    if index >= len(texts) or not (match := _PYTHON_END.match(texts[index])):
        return None
    end, message = index, [match["message"] or ""]
    while end + 1 < len(texts) and len(message) < _MESSAGE_LINES and _continues(texts[end + 1]):
        end += 1
        message.append(texts[end])
    kind = match["kind"].rpartition(".")[2]
    return Raised(kind, "\n".join(message).strip(), tuple(frames), start, end)


def _more_frames(texts: Sequence[str], index: int) -> bool:
    return index + 1 < len(texts) and bool(_PYTHON_FRAME.match(texts[index + 1]))


def _continues(text: str) -> bool:
    """Return whether a line may belong to the message before it: no log prefix, no new traceback, not empty."""
    if not text.strip() or _PYTHON_START.search(text):
        return False
    return not re.match(
        r"^(\[?\d{4}-\d\d-\d\d|\[\w+\]|(?:DEBUG|INFO|WARNING|ERROR|CRITICAL)\b|\d+\.\d+\.\d+\.\d+ )", text
    )


def _node(texts: Sequence[str], start: int, match: re.Match[str]) -> Raised:
    end = start
    while end + 1 < len(texts) and _NODE_FRAME.match(texts[end + 1]):
        end += 1
    frames = tuple(text.strip() for text in texts[start + 1 : end + 1])
    return Raised(match["kind"], match["message"], frames, start, end)
