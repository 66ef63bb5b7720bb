import pytest

from modelport.cli.usage import (
    Target,
    UsageProblem,
    parse_operation,
    parse_pairs,
    parse_target,
    parse_version,
    parse_words,
)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("iris", Target("demo", "iris")),
        ("iris/v1", Target("demo", "iris", "v1")),
        ("projects/p/models/iris", Target("p", "iris")),
        ("projects/p/models/iris/versions/v1", Target("p", "iris", "v1")),
    ],
)
def test_targets_are_short_or_full_names(text: str, target: Target) -> None:
    assert parse_target(text, "demo") == target


@pytest.mark.parametrize("text", ["", "a/b/c", "a/", "has-hyphen", "projects/p/models/m/versions", "../x"])
def test_what_names_nothing_is_a_usage_problem(text: str) -> None:
    with pytest.raises(UsageProblem):
        parse_target(text, "demo")


def test_a_version_is_named_with_its_model_in_any_way() -> None:
    wanted = Target("demo", "iris", "v1")

    assert parse_version("v1", "iris", "demo") == wanted
    assert parse_version("iris/v1", "", "demo") == wanted
    for text, model in (("v1", ""), ("iris/v1", "iris")):
        with pytest.raises(UsageProblem):
            parse_version(text, model, "demo")


def test_an_operation_is_its_id_or_full_name() -> None:
    assert parse_operation("op-1", "demo") == parse_operation("projects/demo/operations/op-1", "x")
    with pytest.raises(UsageProblem):
        parse_operation("a/b", "demo")


def test_pairs_keep_equals_signs_in_their_values() -> None:
    assert parse_pairs(["A=b=c", "D="], "--env") == {"A": "b=c", "D": ""}
    with pytest.raises(UsageProblem, match="--env A"):
        parse_pairs(["A"], "--env")


def test_words_are_split_as_a_shell_would() -> None:
    assert parse_words("sh -c 'exec x'", "--command") == ("sh", "-c", "exec x")
    assert parse_words("", "--command") == ()
    with pytest.raises(UsageProblem, match="no closing quotation"):
        parse_words("it's", "--command")
