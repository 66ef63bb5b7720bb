"""Lessons: what a server's error tells about the instances that it wants. Pure.

Everything here is a hint for the next guess, never a finding: a wrong lesson costs one more request. The patterns are
the messages of scikit-learn 0.20 to 1.7, pandas 1 and 2, XGBoost, LightGBM, Keras 2 and 3, PyTorch, NumPy, ONNX
Runtime, jsonschema, and pydantic 1 and 2, beside what people write by hand.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from modelport.check.samples import Origin, Sample
from modelport.check.schema_values import leaves

_MOST_FEATURES = 10_000
_MOST_LEAVES = 200_000
_MOST_NAMES = 500
_TEXT = "text"

_FEATURES = (
    r"expecting (\d+) features",
    r"X has \d+ features per sample; expecting (\d+)",
    r"Model n_features is (\d+) and input n_features is \d+",
    r"Feature shape mismatch, expected: (\d+), got",
    r"number of features in data \(\d+\) is not the same as it was in training data \((\d+)\)",
    r"to have value (\d+),? but received input with shape",
    r"mat1 and mat2 shapes cannot be multiplied \(\d+x\d+ and (\d+)x\d+\)",
    r"Got: \d+ Expected: (\d+)",
    r"shapes \([\d,]+\) and \([\d,]+\) not aligned: \d+ \(dim \d+\) != (\d+) \(dim 0\)",
    r"mismatch in its core dimension \d+, with gufunc signature \S+ \(size (\d+) is different from",
    r"(?i:expect\w*|must (?:have|be)|requires?|needs?|wants?)\D{0,40}?\b(\d+)[ -](?:\w+ )?"
    r"(?i:feature|value|number|column|element|input)s?\b",
    r"[Nn]umber of features\D{0,40}?(?:expect\w*|must be)\D{0,10}(\d+)",
)
_SHAPE = (
    r"expected shape=\(None, ([\d, ]+)\), found shape=",
    r"[Cc]annot feed value of shape .{0,80}? which has shape '?\(\?, ([\d, ]+)\)",
)
_DIMENSIONS = (
    (r"Expected 2D array, got (?:1D|scalar) array instead", +1),
    (r"Expected a 2-dimensional container but got", +1),
    (r"'(?:float|int)' object is not iterable", +1),
    (r"object of type '(?:float|int)' has no len", +1),
    (r"Found array with dim [3-9]", -1),
    (r"Expected 2D array, got [3-9]D array instead", -1),
)
_LEAST_DIMENSIONS = r"expected min_ndim=(\d+), found ndim=\d+"
_NAME_LISTS = (
    r"columns are missing: \{(.+?)\}",
    r"(\[[^\[\]]+\]) not in index",
    r"None of \[Index\((\[[^\]]+\])",
    r"feature_names mismatch: (\[[^\]]+\])",
    r"expected ((?:[\w. -]+, )*[\w. -]+) in input data",
    r"yet now missing:\s*((?:- .+\s*)+)",
    r"[Mm]issing (?:required )?(?:column|field|feature|key|input|propert)\w*[:=]? *(\[[^\]]+\]|\{[^}]+\})",
)
_NAMES = (
    r"KeyError: '([^'\n]+)'",
    r"KeyError: \"([^\"\n]+)\"",
    r"'([^'\n]+)' is a required property",
    r"[Mm]issing (?:required )?(?:column|field|feature|key|input|property|parameter)\w*[:=]? *"
    r"['\"`]?([A-Za-z_][\w.-]*)",
    r"['\"`]([A-Za-z_][\w.-]*)['\"`] (?:is|field is) (?:required|missing)",
)
_WANTS_TEXT = (
    r"'(?:list|float|int|dict)' object has no attribute '(?:lower|upper|strip|split|encode|replace|startswith)'",
    r"expected string or bytes-like object",
    r"[Tt]ext input must be of type",
    r"raw text documents expected",
    r"(?:must be|expected a?) ?(?:of type )?`?str(?:ing)?`?\b",
)
_WANTS_NUMBERS = (r"could not convert string to float", r"must be (?:a )?(?:real )?number, not '?str")
_WANTS_OBJECT = (
    r"'(?:list|float|int|str)' object has no attribute '(?:get|items|keys|values)'",
    r"(?:list|string) indices must be integers(?: or slices)?, not '?str",
    r"'(?:float|int)' object is not subscriptable",
    r"columns using strings is only supported for",
)
_RESERVED = frozenset({"instances", "parameters", "predictions", "body"})


def adapted(sample: Sample, *said: str) -> Sample | None:
    """Return the sample as the server seems to want it, or None where what it said teaches nothing new.

    Args:
        sample: what was sent.
        said: what came back, and what was logged meanwhile.
    """
    item = sample.instances[0]
    texts = "\n".join(spoken(*said))
    found, parameters = _by_validation(item, sample.parameters, _validation_errors(said))
    if parameters != sample.parameters:
        sample = replace(sample, parameters=parameters)
        if found == item:
            return sample
    for changed in (
        found,
        _by_names(item, texts),
        *(_inside(item, partial(lesson, text=texts)) for lesson in (_by_features, _by_dimensions, _by_kind)),
        _by_object(item, texts),
    ):
        if changed is not None and changed != item:
            return replace(sample, instances=[changed], origin=Origin.LEARNED)
    return None


def mentions_parameters(*said: str) -> bool:
    """Return whether an answer or a log speaks of `parameters`."""
    return re.search(r"\bparameters\b", "\n".join(spoken(*said))) is not None


def spoken(*said: str) -> Iterator[str]:
    """Yield the texts in answers and logs: the strings of JSON, without the escapes of JSON and HTML."""
    for text in said:
        yield html.unescape(text)
    for document in _documents(said):
        yield from _strings(document)


def _documents(said: tuple[str, ...]) -> Iterator[Any]:
    """Yield what is JSON: whole texts and single lines."""
    for text in said:
        for part in dict.fromkeys((text, *text.splitlines())):
            if part.lstrip()[:1] in ("{", "["):
                try:
                    yield json.loads(part)
                except (ValueError, RecursionError):
                    continue


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        # An exception of type KeyError, turned into a string, is the key in quotes and nothing else.
        yield f"KeyError: {value}" if re.fullmatch(r"'[^']+'", value) else value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner)


def _inside(item: Any, lesson: Callable[[Any], Any]) -> Any:
    """Apply a lesson about an array to the item; of an object with a single field, to that field."""
    if not isinstance(item, dict):
        return lesson(item)
    if len(item) != 1:
        return None
    [(name, value)] = item.items()
    changed = None if isinstance(value, dict) else lesson(value)
    return None if changed is None else {name: changed}


def _last(patterns: tuple[str, ...], text: str) -> re.Match[str] | None:
    """Return the last match of the first pattern that matches."""
    return next((found[-1] for one in patterns if (found := list(re.finditer(one, text)))), None)


def _by_features(item: Any, text: str) -> Any:
    if shape := _last(_SHAPE, text):
        return _filled([int(size) for size in shape[1].split(",") if size.strip()], _leaf(item))
    match = _last(_FEATURES, text)
    count = int(match[1]) if match else 0
    if not 1 <= count <= _MOST_FEATURES:
        return None
    return _innermost(item, lambda leaf: [leaf] * count)


def _by_dimensions(item: Any, text: str) -> Any:
    if least := _last((_LEAST_DIMENSIONS,), text):
        return _filled([1] * min(int(least[1]) - 1, 8), _leaf(item))
    change = next((step for pattern, step in _DIMENSIONS if re.search(pattern, text)), 0)
    if change > 0:
        # An array of the whole request shows that the list was never taken out of it: not a matter of its shape.
        return None if re.search(r"array=\{?.{0,20}instances", text) else [item]
    return item[0] if change < 0 and isinstance(item, list) and item else None


def _by_names(item: Any, text: str) -> Any:
    known = dict(item) if isinstance(item, dict) else {}
    names = _names(text)
    new = {name: 0.0 for name in names if name not in _RESERVED and name not in known}
    return {**known, **new} if new else None


def _names(text: str) -> list[str]:
    if listed := _last(_NAME_LISTS, text):
        quoted = [first or second for first, second in re.findall(r"'([^']+)'|\"([^\"]+)\"", listed[1])]
        names = quoted or [one.strip("-[]{} \n") for one in re.split(r",|\n", listed[1])]
        return [name for name in names if name][:_MOST_NAMES]
    single = _last(_NAMES, text)
    return [single[1]] if single else []


def _by_kind(item: Any, text: str) -> Any:
    if _last(_WANTS_TEXT, text):
        return _TEXT
    return 0.0 if isinstance(item, str) and _last(_WANTS_NUMBERS, text) else None


def _by_object(item: Any, text: str) -> Any:
    return {} if not isinstance(item, dict) and _last(_WANTS_OBJECT, text) else None


def _by_validation(item: Any, parameters: Any, errors: list[dict[str, Any]]) -> tuple[Any, Any]:
    """Learn from the list of errors with which pydantic and FastAPI answer 422."""
    for error in errors:
        path = [part for part in error["loc"] if part != "__root__"]
        if path[:1] == ["body"]:
            path = path[1:]
        elif path[:1] in (["query"], ["header"], ["path"], ["cookie"]):
            continue
        if path[:1] == ["parameters"] and len(path) > 1:
            parameters = _with(parameters, path[1:], _wanted(error))
        elif path[:1] == ["instances"]:
            if len(path) > 1 and isinstance(path[1], int):
                item = _with(item, path[2:], _wanted(error))
        elif path and path[0] != "parameters":
            # Of a bare list, the place in one of its rows; else a field that is looked for beside `instances`.
            item = _with(item, path[1:] if isinstance(path[0], int) else path, _wanted(error))
    return item, parameters


def _validation_errors(said: tuple[str, ...]) -> list[dict[str, Any]]:
    for document in _documents(said):
        for listed in document.values() if isinstance(document, dict) else (document,):
            if isinstance(listed, list):
                errors = [one for one in listed if isinstance(one, dict) and isinstance(one.get("loc"), list)]
                if errors:
                    return errors
    return []


def _wanted(error: dict[str, Any]) -> Any:
    """Return a value as one error of pydantic asks for; a number where it does not tell."""
    kind, context = str(error.get("type")), error.get("ctx")
    context = context if isinstance(context, dict) else {}
    if match := re.search(r"'([^']+)'", str(context.get("expected", ""))):
        return match[1]
    for name, step in (("gt", 1), ("ge", 0), ("lt", -1), ("le", 0)):
        if isinstance(bound := context.get(name), int | float):
            return bound + step
    least = context.get("min_length", context.get("limit_value"))
    if re.search(r"too_short|min_items", kind) and isinstance(least, int):
        return [0.0] * min(least, _MOST_FEATURES)
    for pattern, value in (
        (r"string|str\b", _TEXT),
        (r"list|array|tuple|set", [0.0]),
        (r"dict|model|mapping|object", {}),
        (r"bool", False),
        (r"int", 0),
    ):
        if re.search(pattern, kind):
            return value
    return 0.0


def _with(item: Any, path: list[Any], value: Any) -> Any:
    """Return the item with the value at this place in it; places that are not there are made."""
    if not path:
        return value
    step, rest = path[0], path[1:]
    if isinstance(step, str):
        known = dict(item) if isinstance(item, dict) else {}
        return {**known, step: _with(known.get(step), rest, value)}
    if isinstance(step, int) and isinstance(item, list) and step < len(item):
        return [*item[:step], _with(item[step], rest, value), *item[step + 1 :]]
    return [_with(None, rest, value)]


def _leaf(item: Any) -> Any:
    while isinstance(item, list) and item:
        item = item[0]
    return 0.0 if isinstance(item, dict | list) else item


def _innermost(item: Any, change: Callable[[Any], list[Any]]) -> Any:
    """Return the item with its innermost lists replaced; of what is no list, one is made."""
    if isinstance(item, list) and item and isinstance(item[0], list):
        return [_innermost(inner, change) for inner in item]
    changed = change(_leaf(item))
    return changed if leaves(changed) <= _MOST_LEAVES else None


def _filled(sizes: list[int], leaf: Any) -> Any:
    value = leaf
    for size in reversed(sizes):
        if size < 1 or leaves(value) * size > _MOST_LEAVES:
            return None
        value = [value] * size
    return value
