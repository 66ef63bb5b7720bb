from collections.abc import Callable

import pytest

from modelport.control.filters import parse_filter
from modelport.core.errors import InvalidArgument

Row = dict[str, str]
FIELDS: dict[str, Callable[[Row], str | None]] = {
    "name": lambda row: row.get("name"),
    "metadata.operationType": lambda row: row.get("type"),
}
ROW = {"name": "iris v1", "type": "CREATE", "label:team": "vision"}


def labels(row: Row) -> Row:
    return {key.removeprefix("label:"): value for key, value in row.items() if key.startswith("label:")}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("labels.team=vision", True),
        ("labels.team:vision", True),
        ("labels.team = vision", True),
        ("labels.team=Vision", False),
        ("labels.team:*", True),
        ("labels.tier:*", False),
        ("labels.tier=", None),
        ('labels.tier=""', False),
        ("labels.tier!=gold", True),
        ("labels.team!=vision", False),
        ("labels.team:vis*", True),
        ("labels.team:text*", False),
        ("labels.team=vis*", False),
        ('name="iris v1"', True),
        ('name="iris \\"v1"', False),
        ("name:iris*", True),
        ("metadata.operation_type=CREATE", True),
        ("metadata.operationType=CREATE AND labels.team=vision", True),
        ("metadata.operationType=CREATE AND labels.team=text", False),
        ("  name:*  ", True),
        ("name:* AND", None),
        ("AND name:*", None),
        ("name:* OR name:*", None),
        ("name:* name:*", None),
        ("name", None),
        ("name>1", None),
        ("(name:*)", None),
        ("nam:*", None),
        ("=x", None),
        ('name="x', None),
        ("name:* AND " * 1000 + "name:*", None),
    ],
)
def test_a_filter_selects_or_is_refused(text: str, matches: bool | None) -> None:
    if matches is None:
        with pytest.raises(InvalidArgument) as raised:
            parse_filter(text, FIELDS, labels)
        assert raised.value.violations[0].field == "filter"
    else:
        where = parse_filter(text, FIELDS, labels)
        assert where is not None
        assert where(ROW) is matches


@pytest.mark.parametrize("text", ["", "   "])
def test_an_empty_filter_selects_all(text: str) -> None:
    assert parse_filter(text, FIELDS) is None


def test_a_misspelt_field_is_answered_with_the_nearest() -> None:
    with pytest.raises(InvalidArgument, match=r"did you mean `metadata\.operationType`\?"):
        parse_filter("metadata.operationTyp=x", FIELDS)


def test_kinds_without_labels_have_none_to_filter_on() -> None:
    with pytest.raises(InvalidArgument, match="write one of name"):
        parse_filter("labels.team=vision", FIELDS)
