"""The journal: what the gateway remembers of requests that failed, as lines of a ring buffer in HAProxy; pure.

A line is words with spaces between them. All but the last two hold nothing that a caller chose freely: an id is checked
when it comes in. Method and path come last, cannot hold spaces in HTTP, and have no control characters in a log line:
whatever a caller writes in them stays in them.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from modelport.gateway.base import RequestError

RING = "errors"
RING_BYTES = 1024**2
MAX_LINE = 1500
MAX_PATH = 500

# A client's own `x-request-id` is taken where it is such a word; it stands in headers, JSON and lines as it is.
REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

_MARK = "modelport1"
_NOTHING = "-"
LOG_FORMAT = " ".join(
    (
        _MARK,
        "%[date(0,ms)]",
        "%[var(txn.id)]",
        "%[var(txn.reason)]",
        "%ST",
        "%tsc",
        "%TR/%Tw/%Tc/%Tr/%Ta",
        "%rc",
        "%s",
        "%[var(txn.record),field(7,|)]",
        "%HM",
        "%HP",
    )
)
_WORDS = len(LOG_FORMAT.split(" "))
# Who ended it, in HAProxy's letters: C and c are the client.
_CLIENT = "Cc"


def read_journal(text: str) -> tuple[RequestError, ...]:
    """Read `show events`, oldest first; left out are lines that are none of ours, and bytes that were no request."""
    return tuple(found for line in text.splitlines() if (found := _read(line)) is not None)


def _read(line: str) -> RequestError | None:
    words = line.strip("\0").split(" ", _WORDS - 1)
    if len(words) != _WORDS or words[0] != _MARK or not REQUEST_ID.fullmatch(words[2]):
        return None
    _, ended_ms, request_id, reason, status, ended_by, timers, retries, server, version, method, path = words
    try:
        received, queued, connected, answered, total = (_seconds(timer) for timer in timers.split("/"))
        ended = datetime.fromtimestamp(int(ended_ms) / 1000, UTC)
        http_status, tries = int(status), int(retries.lstrip("+"))
    except (ValueError, OverflowError, OSError):
        return None
    gave_up = ended_by[:1] in _CLIENT and http_status < 500
    return RequestError(
        time=ended - timedelta(seconds=total or 0),
        request_id=request_id,
        http_status=0 if gave_up else max(http_status, 0),
        reason="" if gave_up else _known(reason),
        version=_known(version),
        method=_known(method)[:20],
        path=_known(path)[:MAX_PATH],
        replica=_known(server),
        retries=tries,
        received_s=received,
        queued_s=queued,
        connected_s=connected,
        answered_s=answered,
        total_s=total,
        ended_by=ended_by,
    )


def _known(word: str) -> str:
    return "" if word in (_NOTHING, "<BADREQ>", "<NOSRV>") else word


def _seconds(timer: str) -> float | None:
    """Read milliseconds; -1 stands for a step that was not reached."""
    milliseconds = int(timer.lstrip("+"))
    return milliseconds / 1000 if milliseconds >= 0 else None
