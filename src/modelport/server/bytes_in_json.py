"""Bytes in JSON, which has no word for them: {"b64": "..."}, in requests and in answers."""

from __future__ import annotations

import binascii
from typing import Any

from modelport.core.errors import InvalidArgument

_LONGEST_PATH = 12


def written(data: bytes | bytearray | memoryview) -> dict[str, str]:
    """Return bytes as JSON can hold them."""
    return {"b64": binascii.b2a_base64(data, newline=False).decode("ascii")}


def with_bytes(rows: list[Any]) -> list[Any]:
    """Return rows with the bytes of every {"b64": "..."} in its place; changes the rows.

    Raises:
        InvalidArgument: one is not base64; says where it is.
    """
    try:
        return _decoded(rows)  # type: ignore[no-any-return]
    except _NotBase64 as error:
        path = error.path[::-1]
        raise InvalidArgument(
            f"{place(path)} is not base64: {error}",
            hint='Send bytes as {"b64": base64.b64encode(data).decode()}',
            row=str(path[0]),
        ) from None


def read(text: str) -> bytes:
    """Return the bytes of a text in base64.

    Raises:
        ValueError: it is none.
    """
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        pass
    # Also what proto3 takes for bytes: the alphabet for URLs, no padding; and the line breaks of MIME.
    compact = "".join(text.split()).replace("-", "+").replace("_", "/").rstrip("=")
    return binascii.a2b_base64(compact + "=" * (-len(compact) % 4), strict_mode=True)


def place(path: tuple[str | int, ...] | list[str | int]) -> str:
    """Return a path into the instances as text, such as `instances[2].image`; the end of a long one is left out."""
    steps = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path[:_LONGEST_PATH])
    return f"instances{steps}{'…' if len(path) > _LONGEST_PATH else ''}"


class _NotBase64(Exception):
    """A text is not base64; `path` grows from the inside to the outside."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.path: list[str | int] = []


def _decoded(value: Any) -> Any:
    entries: Any
    if type(value) is dict:
        if len(value) == 1 and type(value.get("b64")) is str:
            try:
                return read(value["b64"])
            except ValueError as error:
                raise _NotBase64(str(error)) from None
        entries = value.items()
    else:
        entries = enumerate(value)
    for key, entry in entries:
        if type(entry) is dict or type(entry) is list:
            try:
                value[key] = _decoded(entry)
            except _NotBase64 as error:
                error.path.append(key)
                raise
    return value
