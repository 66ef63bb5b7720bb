from typing import Any

import pytest

from modelport.core.errors import InvalidArgument
from modelport.doctor.patching import agreeing, patched

Document = dict[str, Any]


@pytest.mark.parametrize(
    ("document", "operations", "wanted"),
    [
        ({}, [("add", "/routes/health", "/h")], {"routes": {"health": "/h"}}),
        ({"routes": {"health": "/a"}}, [("replace", "/routes/health", "/b")], {"routes": {"health": "/b"}}),
        ({"routes": {"health": "/a"}}, [("remove", "/routes/health", None)], {"routes": {}}),
        ({}, [("remove", "/routes/health", None)], {}),
        ({"routes": None}, [("add", "/routes/health", "/h")], {"routes": {"health": "/h"}}),
        (
            {},
            [("replace", "/container/ports/0/containerPort", 5000)],
            {"container": {"ports": [{"containerPort": 5000}]}},
        ),
        ({"l": [1, 3]}, [("add", "/l/1", 2)], {"l": [1, 2, 3]}),
        ({"l": [1]}, [("add", "/l/-", 2)], {"l": [1, 2]}),
        ({"l": [1]}, [("replace", "/l/0", 2)], {"l": [2]}),
        ({"l": [1, 2]}, [("remove", "/l/0", None)], {"l": [2]}),
        ({"l": [1]}, [("remove", "/l/7", None)], {"l": [1]}),
        ({}, [("add", "/container/env/-", {"name": "A"})], {"container": {"env": [{"name": "A"}]}}),
        ({}, [("add", "/labels/a~1b~0c", "x")], {"labels": {"a/b~c": "x"}}),
    ],
)
def test_operations_change_what_they_name(document: Document, operations: list[Any], wanted: Document) -> None:
    assert patched(document, operations) == wanted


@pytest.mark.parametrize(
    ("document", "operations", "wanted"),
    [
        (
            {"container": {"ports": [{"container_port": 8080}]}},
            [("replace", "/container/ports/0/containerPort", 5000)],
            {"container": {"ports": [{"container_port": 5000}]}},
        ),
        (
            {"machine_type": "n1-standard-2"},
            [("add", "/container/ports", [{"containerPort": 1}]), ("replace", "/machineType", "n1-highmem-2")],
            {"machine_type": "n1-highmem-2", "container": {"ports": [{"container_port": 1}]}},
        ),
        (
            {"machine_type": "x", "deploymentUri": "y"},
            [("add", "/autoScaling/minNodes", 1)],
            {"machine_type": "x", "deploymentUri": "y", "autoScaling": {"minNodes": 1}},
        ),
        ({"machine_type": "x"}, [("remove", "/machineType", None)], {}),
        ({"machine_type": "x"}, [("add", "/labels", {"aB": "c"})], {"machine_type": "x", "labels": {"aB": "c"}}),
        (
            {"sample": [{"petal_length": 1}], "routes": {}},
            [("add", "/machineType", "x")],
            {"sample": [{"petal_length": 1}], "routes": {}, "machineType": "x"},
        ),
    ],
)
def test_the_spelling_of_the_author_stays(document: Document, operations: list[Any], wanted: Document) -> None:
    assert patched(document, operations) == wanted


def test_what_was_given_stays_as_it_is() -> None:
    document: Document = {"container": {"ports": []}}
    value = [{"containerPort": 1}]

    result = patched(document, [("add", "/container/ports", value)])
    result["container"]["ports"].append("x")

    assert document == {"container": {"ports": []}}
    assert value == [{"containerPort": 1}]


def test_a_path_through_a_text_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="`container` is 'image'"):
        patched({"container": "image"}, [("add", "/container/ports", [])])


@pytest.mark.parametrize("operation", [("move", "/a", 1), ("add", "a", 1)])
def test_an_operation_that_nobody_knows_is_a_defect(operation: tuple[str, str, Any]) -> None:
    with pytest.raises(ValueError):
        patched({}, [operation])


def test_of_patches_that_disagree_the_first_wins_whole() -> None:
    first = (("replace", "/container/ports/0", 1),)
    second = (("add", "/container/ports", 2), ("add", "/routes/health", "/h"))
    third = (("add", "/container/portsOfCall", 3), ("add", "/container/env/-", 4))
    fourth = (("add", "/container/env/-", 5),)

    assert agreeing([first, second, (), third, fourth]) == (*first, *third, *fourth)
