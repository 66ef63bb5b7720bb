"""Log text: what can be read out of lines that some program printed: exceptions, telling lines, matches. Pure.

Text proves little by itself: a server may log a traceback and go on. Rules combine it with structure, such as an exit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from modelport.core.replicas import LogLine

_PYTHON_START = re.compile(r"(?:^|\s)Traceback \(most recent call last\):?\s*[─-]*[╮+]?\s*$")
_PYTHON_BOX = re.compile(r"[╭─]\s+Traceback \(most recent call last\)")  # rich 10 and later, which typer uses
_PYTHON_FRAME = re.compile(r'^\s+File "(?P<file>[^"]+)", line (?P<line>\d+)(?:, in (?P<function>.+))?$')
_PYTHON_END = re.compile(r"^(?P<kind>[A-Za-z_][\w.]*)(?:: (?P<message>.*))?$")
_PYTHON_SYNTAX_END = re.compile(r"^(?:SyntaxError|IndentationError|TabError): ")
_CHAIN = re.compile(
    r"^(?:The above exception was the direct cause of the following exception"
    r"|During handling of the above exception, another exception occurred):$"
)
_NODE_END = re.compile(
    r"^(?:Uncaught )?(?P<kind>[A-Z]\w*(?:Error|Exception|Rejection)|Error)(?: \[(?P<code>\w+)\])?: (?P<message>.*)$"
)
_NODE_FRAME = re.compile(r"^\s+at .+")
_JAVA_END = re.compile(
    r'^(?:Exception in thread "[^"]*" |Caused by: )(?P<kind>[\w.$]*(?:Error|Exception))(?:: (?P<message>.*))?$'
)
_GO_PANIC = re.compile(r"^(?P<kind>panic|fatal error): (?P<message>.*)$")
_GO_FRAMES = re.compile(r"^(?:goroutine \d+ \[|\[signal )")
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_TELLING = re.compile(
    r"\b(error|exception|fatal|fail(?:ed|ure)?|panic|cannot|can't|could not|unable|denied|refused|not found"
    r"|no such|missing|invalid|unrecognized|usage:|segmentation|killed|abort)\b",
    re.IGNORECASE,
)
_MESSAGE_LINES = 12
_TRACEBACK_LINES = 200


@dataclass(frozen=True)
class Raised:
    """An exception as a program printed it.

    Attributes:
        kind: its class, such as `ModuleNotFoundError`, without its module.
        message: what it said, at most a dozen lines.
        frames: source lines and places of the traceback, innermost last.
        first: index of the traceback's first line in the lines that were read.
        last: index of its last line.
        certain: index of the last line that certainly is its own; what follows may only look like a long message.
    """

    kind: str
    message: str
    frames: tuple[str, ...]
    first: int
    last: int
    certain: int

    def __str__(self) -> str:
        return f"{self.kind}: {self.message.splitlines()[0]}" if self.message else self.kind


def plain(text: str) -> str:
    """Return the text without colours and other terminal sequences."""
    return _ANSI.sub("", text)


def exceptions(lines: Sequence[LogLine]) -> tuple[Raised, ...]:
    """Return every exception printed with a traceback, in the order of their ends; of a chain each link is one.

    Each stream is read by itself, for programs write to both at the same time.
    """
    texts = [plain(line.text) for line in lines]
    found: list[Raised] = []
    for stream in dict.fromkeys(line.stream for line in lines):
        places = [at for at, line in enumerate(lines) if line.stream == stream]
        for raised in _in_texts([texts[at] for at in places]):
            first, last, certain = (places[at] for at in (raised.first, raised.last, raised.certain))
            found.append(replace(raised, first=first, last=last, certain=certain))
    return tuple(sorted(found, key=lambda raised: raised.last))


def fatal_exception(lines: Sequence[LogLine], *, within: int = 24) -> Raised | None:
    """Return the last exception if the log ends with it: at most `within` lines that say something come after.

    For a program that has ended with an error this is what ended it; frameworks add a few words of farewell.
    """
    return next(iter(fatal_chain(lines, within=within)), None)


def fatal_chain(lines: Sequence[LogLine], *, within: int = 24) -> tuple[Raised, ...]:
    """Return the exception that the log ends with, then those that it was raised from or during, the nearest first."""
    found = exceptions(lines)
    if not found or _following(lines, found[-1]) > within:
        return ()
    chain = [found[-1]]
    for raised in reversed(found[:-1]):
        between = lines[raised.last + 1 : chain[-1].first]
        if not any(_CHAIN.match(plain(line.text).strip()) for line in between):
            break
        chain.append(raised)
    return tuple(chain)


def _following(lines: Sequence[LogLine], raised: Raised) -> int:
    """Return how many lines follow, with those that only may belong to the message."""
    return sum(1 for line in lines[raised.certain + 1 :] if line.text.strip())


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


def _in_texts(texts: Sequence[str]) -> Iterator[Raised]:
    index = 0
    while index < len(texts):
        raised = _at(texts, index)
        if raised is not None:
            yield raised
            index = raised.last
        index += 1


def _at(texts: Sequence[str], index: int) -> Raised | None:
    text = texts[index]
    if _PYTHON_BOX.search(text):
        return _boxed(texts, index)
    if _PYTHON_START.search(text):
        return _python(_without_prefix(texts, index), index)
    if _PYTHON_FRAME.match(text):
        return _unparsed(texts, index)
    if match := _NODE_END.match(text):
        return _with_frames(texts, index, match, _NODE_FRAME, before=8)
    if match := _JAVA_END.match(text):
        return _with_frames(texts, index, match, _NODE_FRAME, before=0)
    if match := _GO_PANIC.match(text):
        return _with_frames(texts, index, match, _GO_FRAMES, before=2)
    return None


def _without_prefix(texts: Sequence[str], start: int) -> Sequence[str]:
    """Return the lines without what a logger or a supervisor put before each line of the traceback, if one did.

    TorchServe, for one: `2024-05-01T10:00:00,123 [INFO ] W-9000-iris_1.0-stdout MODEL_LOG - Traceback (most …`.
    """
    width = texts[start].find("Traceback (")
    if width <= 0 or start + 1 >= len(texts) or texts[start + 1].startswith((" ", "\t")):
        return texts
    if not texts[start + 1][width:].startswith((" ", "\t")):
        return texts
    shape = _shape(texts[start][:width])
    cut = list(texts)
    for at in range(start, min(len(texts), start + _TRACEBACK_LINES)):
        if _shape(texts[at][:width]) != shape:
            break
        cut[at] = texts[at][width:]
    return cut


def _shape(prefix: str) -> str:
    return re.sub(r"\d", "0", prefix)


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
    certain = end = index
    message = [match["message"] or ""]
    while end + 1 < len(texts) and len(message) < _MESSAGE_LINES and _continues(texts[end + 1]):
        end += 1
        message.append(texts[end])
    kind = match["kind"].rpartition(".")[2]
    return Raised(kind, "\n".join(message).strip(), tuple(frames), start, end, certain)


def _boxed(texts: Sequence[str], start: int) -> Raised | None:
    index = start + 1
    while index < len(texts) and texts[index].lstrip().startswith(("│", "╰", "╭")):
        index += 1
    if index >= len(texts) or not (match := _PYTHON_END.match(texts[index].strip())):
        return None
    frames = tuple(text.strip(" │╰╯─╭╮") for text in texts[start + 1 : index])
    return Raised(match["kind"].rpartition(".")[2], match["message"] or "", frames, start, index, index)


def _unparsed(texts: Sequence[str], start: int) -> Raised | None:
    """Return the error of a Python program that does not parse: it has a place and a caret, and no traceback."""
    for index in range(start + 1, min(len(texts), start + 5)):
        if match := _PYTHON_SYNTAX_END.match(texts[index]) and _PYTHON_END.match(texts[index]):
            frames = tuple(text.strip() for text in texts[start:index])
            return Raised(match["kind"], match["message"] or "", frames, start, index, index)
        if not texts[index].startswith((" ", "\t")):
            return None
    return None


def _more_frames(texts: Sequence[str], index: int) -> bool:
    return index + 1 < len(texts) and bool(_PYTHON_FRAME.match(texts[index + 1]))


def _continues(text: str) -> bool:
    """Return whether a line may belong to the message before it: no log prefix, no new traceback, not empty."""
    if not text.strip() or _PYTHON_START.search(text) or _PYTHON_FRAME.match(text) or _CHAIN.match(text.strip()):
        return False
    return not re.match(
        r"^(\[?\d{4}-\d\d-\d\d|\[\w+\]|(?:DEBUG|INFO|WARNING|ERROR|CRITICAL)\b|\d+\.\d+\.\d+\.\d+ )", text
    )


def _with_frames(
    texts: Sequence[str], start: int, match: re.Match[str], frame: re.Pattern[str], *, before: int
) -> Raised | None:
    """Return an exception whose frames come after its message, at most `before` other lines after it."""
    first = start + 1
    while first < len(texts) and first - start <= before and not frame.match(texts[first]):
        if match.re.match(texts[first]):
            return None  # the frames are those of another one
        first += 1
    if first >= len(texts) or not frame.match(texts[first]):
        return None
    end = first
    while end + 1 < len(texts) and (_NODE_FRAME.match(texts[end + 1]) or texts[end + 1].startswith("Emitted '")):
        end += 1
    message = "\n".join([match["message"] or "", *texts[start + 1 : first]]).strip()
    kind = re.split(r"[.$]", match["kind"])[-1]
    return Raised(kind, message, tuple(text.strip() for text in texts[first : end + 1]), start, end, end)
