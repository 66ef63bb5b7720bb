import pytest

from modelport.api.ml_v1.messages import Version
from modelport.api.ml_v1.reading import parse


def read(data: dict) -> tuple[dict, dict[str, str]]:
    parsed = parse(data, Version, "version")
    kept = parsed.message.model_dump(by_alias=True, exclude_none=True)
    return kept, {violation.field: violation.description for violation in parsed.unreadable}


@pytest.mark.parametrize(
    ("data", "kept"),
    [
        ({}, {}),
        ({"name": None, "labels": None, "container": None}, {}),
        ({"deployment_uri": "gs://b"}, {"deploymentUri": "gs://b"}),
        ({"container": {"ports": [{"container_port": 1}]}}, {"container": {"ports": [{"containerPort": 1}]}}),
        ({"manualScaling": {"nodes": "2"}}, {"manualScaling": {"nodes": 2}}),
        ({"manualScaling": {"nodes": 2.0}}, {"manualScaling": {"nodes": 2}}),
        ({"acceleratorConfig": {"count": "7"}}, {"acceleratorConfig": {"count": "7"}}),
        ({"acceleratorConfig": {"count": 7}}, {"acceleratorConfig": {"count": "7"}}),
        ({"labels": {"some_key": "x"}}, {"labels": {"some_key": "x"}}),
    ],
)
def test_what_can_be_read_is_read(data: dict, kept: dict) -> None:
    assert read(data) == (kept, {})


@pytest.mark.parametrize(
    ("data", "field", "words"),
    [
        ({"autoScale": {}}, "version.autoScale", "did you mean `autoScaling`?"),
        ({"manual_scale": {}}, "version.manual_scale", "did you mean"),
        ({"container": {"imageUri": "x"}}, "version.container.imageUri", "did you mean `image`?"),
        ({"container": {"env": [{}, {"key": "x"}]}}, "version.container.env[1].key", "known are name, value"),
        ({"zzz": 1}, "version.zzz", "Unknown field `zzz`; known are"),
        ({"name": 5}, "version.name", "It is the number 5; it must be a string."),
        ({"name": ["x"]}, "version.name", "It is a list"),
        ({"name": {}}, "version.name", "It is an object"),
        ({"isDefault": "true"}, "version.isDefault", "It is the string `true`; it must be true or false."),
        ({"container": []}, "version.container", "It is a list; it must be an object."),
        ({"container": {"args": "x"}}, "version.container.args", "it must be a list."),
        ({"container": {"args": ["a", 1, "b"]}}, "version.container.args[1]", "it must be a string."),
        ({"container": {"args": ["a", None]}}, "version.container.args[1]", "It is null"),
        ({"container": {"ports": [8080]}}, "version.container.ports[0]", "it must be an object."),
        ({"manualScaling": {"nodes": True}}, "version.manualScaling.nodes", "It is true; it must be an integer."),
        ({"manualScaling": {"nodes": 1.5}}, "version.manualScaling.nodes", "it must be an integer."),
        ({"manualScaling": {"nodes": "two"}}, "version.manualScaling.nodes", "it must be an integer."),
        ({"manualScaling": {"nodes": 2**31}}, "version.manualScaling.nodes", "does not fit into 32 bits."),
        ({"acceleratorConfig": {"count": "9" * 20}}, "version.acceleratorConfig.count", "does not fit into 64 bits."),
        ({"acceleratorConfig": {"count": "9" * 5000}}, "version.acceleratorConfig.count", "it must be an integer."),
        ({"labels": {"a": 1}}, "version.labels.a", "it must be a string."),
        ({"labels": "a"}, "version.labels", "it must be an object."),
        ({"description": "a\0b"}, "version.description", "NUL"),
        ({"container": {"env": [{"name": "A", "value": "\0"}]}}, "version.container.env[0].value", "NUL"),
        ({"deployment_uri": "a", "deploymentUri": "b"}, "version.deploymentUri", "stated twice"),
    ],
)
def test_what_cannot_be_read_names_field_and_cause(data: dict, field: str, words: str) -> None:
    _, violations = read(data)
    assert list(violations) == [field]
    assert words in violations[field]


def test_everything_unreadable_is_found_and_the_rest_is_kept() -> None:
    kept, violations = read({"name": "v1", "state": 1, "x": 1, "container": {"image": "i", "args": [1], "y": 1}})
    assert kept == {"name": "v1", "container": {"image": "i"}}
    assert list(violations) == ["version.x", "version.container.y", "version.container.args[0]", "version.state"]


def test_a_list_that_is_dropped_may_have_more_that_is_wrong() -> None:
    kept, violations = read({"container": {"env": ["A", {"name": 5}, {"value": 6}]}})
    assert kept == {"container": {}}
    assert list(violations) == [
        "version.container.env[0]",
        "version.container.env[1].name",
        "version.container.env[2].value",
    ]


def test_a_flood_of_violations_is_cut_and_counted() -> None:
    _, violations = read({f"k{index}": 1 for index in range(1000)})
    assert len(violations) == 51
    assert violations["version"] == "There are 950 more fields like these."


def test_long_keys_and_values_are_not_echoed_whole() -> None:
    _, violations = read({"k" * 10_000: 1, "name": ["v" * 10_000], "isDefault": "w" * 10_000})
    assert sum(map(len, [*violations, *violations.values()])) < 2000
