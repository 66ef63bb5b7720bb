"""Bodies of JSON as several formats have them: what a caller sent, what a model server answered, and its words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from modelport.core.errors import InvalidArgument
from modelport.server import bytes_in_json
from modelport.server.bytes_in_json import with_bytes
from modelport.server.decoding import too_deep
from modelport.server.encoding import json_body
from modelport.server.exchange import Request
from modelport.server.foreign import as_batch
from modelport.server.listener.declaration import Model
from modelport.server.listener.formats.base import Message, garbled
from modelport.server.model import Batch
from modelport.server.rows import faithful_batch_of

_LOOKED_AT = 4096  # bytes at either end of a body, where the names of its members are
_MOST_DIGITS = 19
_NOT_FINITE = (b"NaN", b"Infinity")


def is_json(request: Request) -> bool:
    """Return whether a request is JSON by its content type, or where that says nothing, by how it begins."""
    content_type = request.header(b"content-type").partition(b";")[0].strip().lower()
    if content_type.endswith((b"/json", b"+json")):
        return True
    # What curl and others say where they were told nothing.
    undecided = content_type in (b"", b"application/x-www-form-urlencoded", b"text/plain")
    return undecided and request.body[:64].lstrip()[:1] in (b"{", b"[")


def has_member(request: Request, *names: bytes) -> bool:
    """Return whether a request of JSON seems to have one of these members."""
    return is_json(request) and mentions(request.body, *names)


def mentions(body: bytes, *names: bytes) -> bool:
    """Return whether one of these names stands near the beginning or the end of a body, where those of members are."""
    ends = body if len(body) <= 2 * _LOOKED_AT else body[:_LOOKED_AT] + body[-_LOOKED_AT:]
    return any(b'"%b"' % name in ends for name in names)


def read_object(body: bytes, wanted: str) -> dict[str, Any]:
    """Return the object that a caller sent.

    Raises:
        InvalidArgument: it is none; `wanted` says in the imperative what to send.
    """
    document = read_value(body, wanted)
    if not isinstance(document, dict):
        raise InvalidArgument("The body is not a JSON object", hint=wanted)
    return document


def read_value(body: bytes, wanted: str) -> Any:
    """Return whatever JSON a caller sent, with bytes for {"b64": ...}. Raises InvalidArgument where it is none."""
    if not body.strip():
        raise InvalidArgument("The body is empty", hint=wanted)
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        document = _with_not_finite(body)
        if document is None:
            raise InvalidArgument(f"The body is not JSON: {error}", hint=wanted) from error
    return bytes_read(document, body)


def says_not_finite(body: bytes) -> bool:
    """Return whether there may be a NaN or Infinity in a body, which is no JSON, but which some servers speak."""
    return any(word in body for word in _NOT_FINITE)


def _with_not_finite(body: bytes) -> Any:
    """Return the document of a body with NaN and Infinity in it; None where it is none either."""
    if not says_not_finite(body):
        return None
    try:
        return json.loads(body, parse_int=_number)
    except (ValueError, RecursionError):
        return None


def _number(digits: str) -> int | float:
    """Return a whole number as `orjson` gives it: exact where it may have 64 bits."""
    return int(digits) if len(digits) <= _MOST_DIGITS else float(digits)


def bytes_read(document: Any, body: bytes) -> Any:
    """Return a document with the bytes of every {"b64": ...} in its place; it was read from `body`.

    Raises:
        InvalidArgument: one is not base64, or the document goes too deep.
    """
    if b'"b64"' not in body:
        return document
    try:
        return with_bytes([document])[0]
    except InvalidArgument as error:  # the list around it is none of the caller's
        raise InvalidArgument(error.message.replace("instances[0]", "the body", 1), hint=error.hint) from error
    except RecursionError:
        raise too_deep() from None


def answered(message: Message, model: Model, wanted: str) -> Any:
    """Return the JSON of an answer, also with the NaN and Infinity that some servers write.

    Raises:
        ModelServerGarbled: it is none; `wanted` says what an answer is.
    """
    body = message.body
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        document = _with_not_finite(body)
        if document is None:
            raise garbled(message, model, wanted) from error
    try:
        return bytes_read(document, body)
    except InvalidArgument as error:
        raise garbled(message, model, wanted, error.message) from error


def batch_in(values: list[Any]) -> Batch:
    """Return the rows of a list: an array where they are numbers of one shape, else as they are."""
    try:
        return faithful_batch_of(values)
    except RecursionError:  # nested too deep to be looked at, let alone to be an array
        return values


def values_in(batch: Batch) -> list[Any]:
    """Return the rows one by one: of columns, an object for each."""
    batch = as_batch(batch)
    if isinstance(batch, dict):
        columns = [values_in(column) for column in batch.values()]
        return [dict(zip(batch, row, strict=True)) for row in zip(*columns, strict=True)]
    return list(batch) if isinstance(batch, np.ndarray) else batch


def body_with_nan(members: Mapping[str, Any], batch: Batch, *, base64: bool = False) -> bytes:
    """Return the body of an object, with the NaN and Infinity of its batch where it has some.

    Those are no JSON, but what some servers read, and to whom null is no number.
    """
    if all(map(_is_finite, batch.values() if isinstance(batch, dict) else [batch])):
        return json_body(members, base64=base64)

    def plain(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return value.tolist()
        if isinstance(value, np.generic):
            return value.item()
        data = bytes_in_json.written(value)
        return data["b64"] if base64 else data

    try:
        return json.dumps(members, default=plain).encode()
    except (TypeError, ValueError, RecursionError):  # something that only the ordinary way knows
        return json_body(members, base64=base64)


def _is_finite(values: Any) -> bool:
    return not isinstance(values, np.ndarray) or values.dtype.kind != "f" or bool(np.isfinite(values).all())
