"""Reasons are what programs match on: one a class, UPPER_SNAKE, never two the same, each explained."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import modelport.cli.usage  # noqa: F401 - has an error of its own
from modelport.core import errors
from modelport.core.errors import Code, Error


def kinds(root: type[Error]) -> Iterator[type[Error]]:
    for kind in root.__subclasses__():
        if kind.__module__.startswith("modelport."):
            yield kind
            yield from kinds(kind)


KINDS = list(kinds(Error))


def test_no_two_errors_share_a_reason() -> None:
    # An error without a reason of its own is told by its code, as `Internal` is.
    counts = Counter(kind.reason for kind in KINDS if "reason" in vars(kind))
    assert [reason for reason, count in counts.items() if count > 1] == []
    assert [kind for kind in KINDS if "reason" not in vars(kind)] == [errors.Internal]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_reason_is_upper_snake(kind: type[Error]) -> None:
    assert re.fullmatch(r"[A-Z]+(_[A-Z]+)*", kind.reason)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_says_what_it_means(kind: type[Error]) -> None:
    assert kind.__doc__
    assert kind.__doc__ != Error.__doc__
    assert isinstance(kind.code, Code)


@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if kind.__module__ == errors.__name__], ids=lambda k: k.__name__
)
def test_an_error_stands_in_the_drawn_tree(kind: type[Error]) -> None:
    tree = Path(errors.__file__).read_text(encoding="utf-8").partition('"""')[2].partition('"""')[0]
    assert re.search(rf"\b{kind.__name__}\b", tree)
