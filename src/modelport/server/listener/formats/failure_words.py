"""What failures say: found in the answers of servers of all kinds, and put for callers of all formats."""

from __future__ import annotations

from typing import Any

import orjson

from modelport.server import failures
from modelport.server.exchange import Response
from modelport.server.listener.formats.base import Failure, Message

_LONGEST_WORDS = 2000
_DEEPEST = 4
# Where servers of all kinds, and the proxies in front of them, put what they have to say, beside what is in `error`.
_WORDS = ("error", "message", "Message", "error_message", "detail", "description")


def told(error: Exception) -> tuple[Response, str]:
    """Return an answer with the status of a failure, for a body in the words of a format; and what it has to say."""
    status = failures.status_of(error)
    return Response(status.code.http_status, b""), failures.words_of(status)


def failure_in(message: Message) -> Failure:
    """Return what an answer with a bad status says, in a body of whatever form."""
    return Failure(message.status, words_in(message.body))


def words_in(body: bytes) -> str:
    """Return what the body of a failure says, wherever in it that is; empty where it says nothing."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    return _words(document, _DEEPEST)[:_LONGEST_WORDS]


def _words(document: Any, levels: int) -> str:
    if isinstance(document, str):
        return document
    if not levels:
        return ""
    if isinstance(document, list):  # KServe lists what is wrong with each field
        return "; ".join(filter(None, (_words(one, levels - 1) for one in document)))
    if not isinstance(document, dict):
        return ""
    for name in _WORDS:
        if name in document and (words := _words(document[name], levels - 1)):
            return words
    where = document.get("loc")
    said = _words(document.get("msg"), levels - 1)
    return f"{'.'.join(map(str, where))}: {said}" if said and isinstance(where, list) else said
