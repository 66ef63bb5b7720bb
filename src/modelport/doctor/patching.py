"""Patching: applies the operations of a remedy to a spec as its author wrote it. Pure.

Paths are those of the API's JSON; a document that is written in snake_case stays so.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from modelport.core.errors import InvalidArgument

Operation = tuple[str, str, Any]

_FREE_KEYS = ("labels",)


def patched(document: dict[str, Any], operations: Iterable[Operation]) -> dict[str, Any]:
    """Return the document with all operations applied; the one that was given stays as it is.

    `add` and `replace` set a member and make the parents that are missing; in a list `add` inserts, and `-` or an
    index behind the end appends. `remove` of what is not there changes nothing.

    Raises:
        InvalidArgument: a path leads through a text or a number.
    """
    result = copy.deepcopy(document)
    snake = _is_snake(document)
    for operation, path, value in operations:
        keys = _keys(path)
        free = keys[0] in _FREE_KEYS
        written = _snake_keys(copy.deepcopy(value)) if snake and not free else copy.deepcopy(value)
        match operation:
            case "add" | "replace":
                _set(_parent(result, keys, path, snake=snake), keys[-1], written, operation, snake=snake)
            case "remove":
                _remove(result, keys)
            case _:
                raise ValueError(f"`{operation}` is not add, replace or remove")
    return result


def agreeing(patches: Iterable[Sequence[Operation]]) -> tuple[Operation, ...]:
    """Return the operations of all patches but those that write where an earlier one does: the more certain wins.

    A patch is taken whole or not at all.
    """
    kept: list[Operation] = []
    for patch in patches:
        if not any(_overlap(one[1], other[1]) for one in patch for other in kept):
            kept += patch
    return tuple(kept)


def _overlap(one: str, other: str) -> bool:
    appends = one.endswith("/-") and other.endswith("/-")
    return not appends and (one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/"))


def _keys(path: str) -> list[str]:
    if not path.startswith("/"):
        raise ValueError(f"`{path}` does not begin with /")
    return [key.replace("~1", "/").replace("~0", "~") for key in path[1:].split("/")]


def _parent(root: dict[str, Any], keys: list[str], path: str, *, snake: bool) -> Any:
    """Return the object or list that holds the last key, making what is missing on the way."""
    here: Any = root
    for key, following in pairwise(keys):
        inner = _get(here, key)
        if inner is None:
            inner = [] if following == "-" or following.isdigit() else {}
            _set(here, key, inner, "replace", snake=snake)
        if not isinstance(inner, dict | list):
            raise InvalidArgument(
                f"`{path}` cannot be set: `{key}` is {str(inner)[:40]!r}", hint=f"Make `{key}` an object"
            )
        here = inner
    return here


def _get(here: Any, key: str) -> Any:
    if isinstance(here, dict):
        return here.get(_spelling(here, key) or key)
    return here[int(key)] if key.isdigit() and int(key) < len(here) else None


def _set(here: Any, key: str, value: Any, operation: str, *, snake: bool) -> None:
    if isinstance(here, dict):
        here[_spelling(here, key) or (_snake(key) if snake else key)] = value
    elif not key.isdigit() or int(key) >= len(here):
        here.append(value)
    elif operation == "add":
        here.insert(int(key), value)
    else:
        here[int(key)] = value


def _remove(root: dict[str, Any], keys: list[str]) -> None:
    here: Any = root
    for key in keys[:-1]:
        here = _get(here, key)
        if not isinstance(here, dict | list):
            return
    last = keys[-1]
    if isinstance(here, dict):
        here.pop(_spelling(here, last) or last, None)
    elif last.isdigit() and int(last) < len(here):
        del here[int(last)]


def _spelling(here: dict[str, Any], key: str) -> str | None:
    """Return the key as the author spelt it, or None where he did not write it."""
    return next((one for one in (key, _snake(key)) if one in here), None)


def _snake(key: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda match: f"_{match[1].lower()}", key)


def _snake_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {_snake(key): _snake_keys(one) for key, one in value.items()}
    return [_snake_keys(one) for one in value] if isinstance(value, list) else value


def _is_snake(document: dict[str, Any]) -> bool:
    """Return whether the author writes snake_case: there is such a key, and no camelCase one."""
    keys = list(_all_keys(document))
    return any("_" in key for key in keys) and not any(_snake(key) != key for key in keys)


def _all_keys(value: Any, *, free: bool = False) -> Iterator[str]:
    if isinstance(value, dict):
        for key, one in value.items():
            if not free:
                yield str(key)
            yield from _all_keys(one, free=key in (*_FREE_KEYS, "sample"))
    elif isinstance(value, list):
        for one in value:
            yield from _all_keys(one, free=free)
