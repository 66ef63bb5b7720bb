import pytest

from modelport.control.masks import parse_mask
from modelport.core.errors import InvalidArgument

ALLOWED = ("description", "manualScaling.nodes")


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("description", ("description",)),
        ("manual_scaling.nodes", ("manualScaling.nodes",)),
        (" description , manualScaling.nodes,", ("description", "manualScaling.nodes")),
        ("description,description", ("description",)),
    ],
)
def test_a_mask_is_read_in_either_spelling(text: str, paths: tuple[str, ...]) -> None:
    assert parse_mask(text, ALLOWED, what="version") == paths


@pytest.mark.parametrize("text", ["", " , ", "name", "manualScaling", "description.x", "*", "x" * 5000, "a,b,c," * 50])
def test_a_mask_without_or_with_other_paths_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        parse_mask(text, ALLOWED, what="version")
    assert {violation.field for violation in raised.value.violations} == {"updateMask"}


def test_every_bad_path_is_named() -> None:
    with pytest.raises(InvalidArgument) as raised:
        parse_mask("name,descripton,description", ALLOWED, what="version")
    first, second = raised.value.violations
    assert "`name` cannot be changed" in first.description
    assert "did you mean `description`?" in second.description
