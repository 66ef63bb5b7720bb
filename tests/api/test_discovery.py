"""The discovery document, held against the one that Google's client ships."""

import json
from pathlib import Path

import googleapiclient
import pytest
from google.auth.credentials import AnonymousCredentials
from googleapiclient.discovery import build_from_document

from tests.api.world import Api

pytestmark = pytest.mark.anyio

ORIGINAL = json.loads(
    (Path(googleapiclient.__file__).parent / "discovery_cache" / "documents" / "ml.v1.json").read_text()
)


def methods(document: dict) -> dict[str, dict]:
    found = {method["id"]: method for method in document.get("methods", {}).values()}
    for resource in document.get("resources", {}).values():
        found |= methods(resource)
    return found


async def test_our_methods_are_those_of_the_original(api: Api) -> None:
    ours, theirs = methods(await api.ok("GET", "/$discovery/rest?version=v1")), methods(ORIGINAL)
    assert len(ours) == 17
    for name, method in ours.items():
        for key in ("httpMethod", "path", "flatPath", "parameterOrder", "request", "response"):
            if (name, key) != ("ml.projects.predict", "flatPath"):
                assert method.get(key) == theirs[name].get(key), (name, key)
        assert set(method["parameters"]) <= set(theirs[name]["parameters"])
        for parameter, value in method["parameters"].items():
            assert value.get("pattern") == theirs[name]["parameters"][parameter].get("pattern"), (name, parameter)


async def test_our_schemas_are_parts_of_the_original_ones(api: Api) -> None:
    ours = (await api.ok("GET", "/$discovery/rest"))["schemas"]
    for name, schema in ours.items():
        theirs = ORIGINAL["schemas"].get(name, {"properties": {}})
        if name in ("GoogleCloudMlV1__ListLocationsResponse", "GoogleCloudMlV1__OperationMetadata"):
            continue
        for field, value in schema["properties"].items():
            original = theirs["properties"][field]
            for key in ("type", "format", "$ref"):
                if (name, field) not in TYPED_MORE_CLOSELY:
                    assert value.get(key) == original.get(key), (name, field, key)


# What the original leaves open, and what is refused here so that its inside does not matter.
TYPED_MORE_CLOSELY = {
    ("GoogleLongrunning__Operation", "metadata"),
    ("GoogleCloudMlV1__Version", "explanationConfig"),
    ("GoogleCloudMlV1__Version", "requestLoggingConfig"),
}


async def test_every_reference_has_a_schema(api: Api) -> None:
    document = await api.ok("GET", "/$discovery/rest?version=v1")
    references = set()

    def walk(value: object) -> None:
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                references.add(value["$ref"])
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(document)
    assert references <= set(document["schemas"])


async def test_a_client_can_be_built_from_it(api: Api) -> None:
    document = await api.ok("GET", "/$discovery/rest?version=v1")
    assert document["rootUrl"] == "http://testserver/"
    ml = build_from_document(document, credentials=AnonymousCredentials())
    request = ml.projects().models().versions().setDefault(name="projects/p/models/m/versions/v")
    assert request.uri == "http://testserver/v1/projects/p/models/m/versions/v:setDefault?alt=json"


async def test_it_lies_at_both_addresses_and_nowhere_else(api: Api) -> None:
    document = await api.ok("GET", "/$discovery/rest?version=v1")
    assert await api.ok("GET", "/discovery/v1/apis/ml/v1/rest") == document
    await api.refused(404, "GET", "/$discovery/rest?version=v2")
    await api.refused(404, "GET", "/discovery/v1/apis/storage/v1/rest")


async def test_the_openapi_description_is_served(api: Api) -> None:
    description = await api.ok("GET", "/modelport/v1/openapi.json")
    for path, item in description["paths"].items():
        for method, operation in item.items():
            assert "422" not in operation["responses"], path
            assert ("requestBody" in operation) == (method in ("post", "patch") and ":cancel" not in path)
