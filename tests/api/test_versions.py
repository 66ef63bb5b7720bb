from dataclasses import replace

import pytest

from modelport.core.errors import Code, Status
from modelport.core.names import VersionName
from modelport.core.resources import Goal, Version, VersionState
from tests.api.world import Api

pytestmark = pytest.mark.anyio

IRIS = "/v1/projects/p/models/iris"
VERSIONS = f"{IRIS}/versions"
FULL = {
    "name": "v1",
    "description": "First",
    "labels": {"team": "vision"},
    "deploymentUri": "gs://bucket/iris",
    "container": {
        "image": "registry/iris:1",
        "command": ["python", "serve.py"],
        "args": ["--model", "$(AIP_STORAGE_URI)"],
        "env": [{"name": "WORKERS", "value": "2"}, {"name": "EMPTY", "value": ""}],
        "ports": [{"containerPort": 9000}],
    },
    "routes": {"predict": "/predict/$AIP_MODEL_NAME", "health": "/health"},
    "machineType": "n1-standard-4",
    "acceleratorConfig": {"count": "2", "type": "NVIDIA_TESLA_T4"},
    "manualScaling": {"nodes": 2},
}


def snake(value: object) -> object:
    """The same specification with every field name in snake_case, as in the oldest samples."""
    if isinstance(value, dict):
        return {"".join(f"_{c.lower()}" if c.isupper() else c for c in key): snake(v) for key, v in value.items()}
    return [snake(item) for item in value] if isinstance(value, list) else value


async def stored(api: Api, name: str = "v1") -> Version:
    return await api.store.read(lambda tx: tx.get(Version, VersionName("p", "iris", name)))


async def test_create_answers_with_an_operation_in_the_form_that_clients_know(api: Api) -> None:
    await api.model()
    operation = await api.ok("POST", VERSIONS, json=FULL)
    metadata = operation["metadata"]
    assert operation["name"].startswith("projects/p/operations/create_iris_v1-17")
    assert "done" not in operation
    assert metadata["@type"] == "type.googleapis.com/google.cloud.ml.v1.OperationMetadata"
    assert metadata["operationType"] == "CREATE_VERSION"
    assert metadata["modelName"] == "projects/p/models/iris"
    assert metadata["createTime"].startswith("2026-01-02T")
    assert metadata["createTime"].endswith("Z")
    assert metadata["projectNumber"].isdigit()
    assert metadata["version"]["state"] == "CREATING"
    assert api.woken == [VersionName("p", "iris", "v1")]


@pytest.mark.parametrize("spell", [lambda spec: spec, snake], ids=["camelCase", "snake_case"])
async def test_a_version_comes_back_as_it_was_created_in_either_spelling(api: Api, spell) -> None:
    await api.model()
    await api.ok("POST", VERSIONS, json=spell(FULL))
    version = await api.ok("GET", f"{VERSIONS}/v1")
    assert len(version.pop("etag")) == 12
    assert version.pop("createTime").endswith("Z")
    assert version == {
        **FULL,
        "name": "projects/p/models/iris/versions/v1",
        "isDefault": True,
        "state": "CREATING",
    }


async def test_a_version_of_files_comes_back_as_it_was_created_without_a_container(api: Api) -> None:
    await api.model()
    body = {
        "name": "v1",
        "deploymentUri": "gs://bucket/iris",
        "framework": "SCIKIT_LEARN",
        "runtimeVersion": "2026.11",
        "pythonVersion": "3.11",
        "packageUris": ["gs://bucket/code-1.tar.gz"],
        "predictionClass": "code.Predictor",
    }
    operation = await api.ok("POST", VERSIONS, json=body)
    shown = await api.ok("GET", f"{VERSIONS}/v1")
    assert operation["metadata"]["version"] == shown
    output = {"name": shown["name"], "state": "CREATING", "isDefault": True}
    assert {**body, **output} == {name: value for name, value in shown.items() if name not in ("createTime", "etag")}


async def test_a_version_of_files_shows_what_was_chosen_and_found_for_it(api: Api) -> None:
    await api.model()
    fields = {"framework": "FRAMEWORK_UNSPECIFIED", "deploymentUri": "gs://bucket/iris"}
    await api.ok("POST", VERSIONS, json={"name": "v1", **fields})
    shown = await api.ok("GET", f"{VERSIONS}/v1")
    assert shown["runtimeVersion"] == "2026.11"
    assert "framework" not in shown
    version = await stored(api)
    found = replace(version, status=replace(version.status, framework="SCIKIT_LEARN"))
    await api.store.write(lambda tx: tx.update(found))
    assert (await api.ok("GET", f"{VERSIONS}/v1"))["framework"] == "SCIKIT_LEARN"
    listed = await api.ok("GET", VERSIONS, params={"filter": "framework=SCIKIT_LEARN"})
    assert [one["name"] for one in listed["versions"]] == [shown["name"]]


async def test_the_first_version_is_the_default_and_the_second_is_not(api: Api) -> None:
    await api.model()
    await api.version("v1")
    await api.version("v2")
    versions = (await api.ok("GET", VERSIONS))["versions"]
    assert [version.get("isDefault", False) for version in versions] == [True, False]


async def test_a_new_version_takes_over_from_a_default_that_failed(api: Api) -> None:
    await api.model()
    await api.version("v1")
    await api.settle("v1", VersionState.FAILED)
    await api.version("v2")
    assert (await api.ok("GET", IRIS))["defaultVersion"]["name"].endswith("/v2")


async def test_a_version_needs_its_model(api: Api) -> None:
    error = await api.refused(404, "POST", VERSIONS, json=FULL)
    assert error["details"][0]["reason"] == "MODEL_NOT_FOUND"
    error = await api.refused(404, "POST", VERSIONS, json={})
    assert error["details"][0]["reason"] == "MODEL_NOT_FOUND"
    error = await api.refused(404, "GET", VERSIONS)
    assert error["details"][0]["reason"] == "MODEL_NOT_FOUND"


async def test_a_second_version_of_a_name_is_refused_in_the_words_that_clients_match(api: Api) -> None:
    await api.model()
    await api.version()
    error = await api.refused(409, "POST", VERSIONS, json=FULL)
    assert error["message"] == "Field: version.name Error: A version with the same name already exists."
    assert error["details"][1]["fieldViolations"][0]["field"] == "version.name"
    assert len(await api.operations()) == 1


async def test_all_broken_rules_are_reported_at_once_and_nothing_changes(api: Api) -> None:
    await api.model()
    body = {
        "name": "v-1",
        "container": {"image": "", "env": [{"name": "AIP_X"}], "ports": [{"containerPort": "none"}]},
        "autoScale": {"minNodes": 1},
        "machineType": "n1-standard4",
        "manualScaling": {"nodes": 0},
        "serviceAccount": "me@example.com",
    }
    error = await api.refused(400, "POST", VERSIONS, json=body)
    found = {v["field"]: v["description"] for v in error["details"][1]["fieldViolations"]}
    assert set(found) == {
        "version.name",
        "version.container.image",
        "version.container.env[0].name",
        "version.container.ports[0].containerPort",
        "version.autoScale",
        "version.machineType",
        "version.manualScaling.nodes",
        "version.serviceAccount",
    }
    assert "did you mean `autoScaling`?" in found["version.autoScale"]
    assert "did you mean `n1-standard-4`?" in found["version.machineType"]
    assert all(description in error["message"] for description in found.values())
    assert await api.ok("GET", VERSIONS) == {}
    assert api.woken == []


async def test_output_fields_in_a_request_are_ignored(api: Api) -> None:
    await api.model()
    await api.version("v1")
    await api.settle()
    version = await api.ok("GET", f"{VERSIONS}/v1")
    await api.ok("POST", VERSIONS, json={**version, "name": "v2", "errorMessage": "x", "lastUseTime": "y"})
    created = await api.ok("GET", f"{VERSIONS}/v2")
    assert created["state"] == "CREATING"
    assert "isDefault" not in created
    assert "errorMessage" not in created


async def test_a_failed_version_says_why(api: Api) -> None:
    await api.model()
    await api.version()
    cause = Status(Code.FAILED_PRECONDITION, "The process exited twice", "VERSION_CANNOT_BECOME_READY", "Read the logs")
    await api.settle(state=VersionState.FAILED, error=cause)
    version = await api.ok("GET", f"{VERSIONS}/v1")
    assert (version["state"], version["errorMessage"]) == ("FAILED", "The process exited twice")


async def test_versions_are_paged_and_filtered(api: Api) -> None:
    await api.model()
    for name in ("v1", "v2", "v3"):
        await api.version(name, labels={"n": name})
    await api.settle("v2")
    page = await api.ok("GET", f"{VERSIONS}?pageSize=2")
    assert [v["name"][-2:] for v in page["versions"]] == ["v1", "v2"]
    page = await api.ok("GET", f"{VERSIONS}?pageSize=2&pageToken={page['nextPageToken']}")
    assert [v["name"][-2:] for v in page["versions"]] == ["v3"]
    page = await api.ok("GET", VERSIONS, params={"filter": "state=READY AND labels.n:v*"})
    assert [v["name"][-2:] for v in page["versions"]] == ["v2"]
    error = await api.refused(400, "GET", VERSIONS, params={"filter": "stat=READY"})
    assert "did you mean `state`?" in error["message"]


async def test_set_default_moves_the_default_at_once(api: Api) -> None:
    await api.model()
    for name in ("v1", "v2"):
        await api.version(name)
        await api.settle(name)
    api.woken.clear()
    version = await api.ok("POST", f"{VERSIONS}/v2:setDefault", json={})
    assert (version["name"][-2:], version["isDefault"]) == ("v2", True)
    assert (await api.ok("GET", IRIS))["defaultVersion"]["name"].endswith("/v2")
    assert "isDefault" not in await api.ok("GET", f"{VERSIONS}/v1")
    assert api.woken == [VersionName("p", "iris", "v2")]
    # No body, and once more: both are fine.
    assert (await api.ok("POST", f"{VERSIONS}/v2:setDefault"))["isDefault"] is True


@pytest.mark.parametrize("state", [VersionState.CREATING, VersionState.FAILED])
async def test_only_a_ready_version_becomes_the_default(api: Api, state: VersionState) -> None:
    await api.model()
    await api.version()
    await api.settle(state=state)
    error = await api.refused(400, "POST", f"{VERSIONS}/v1:setDefault")
    assert (error["status"], error["details"][0]["reason"]) == ("FAILED_PRECONDITION", "VERSION_NOT_READY")
    assert state in error["message"]


async def test_a_body_of_set_default_has_no_fields(api: Api) -> None:
    await api.refused(400, "POST", f"{VERSIONS}/v1:setDefault", json={"name": "v1"})
    await api.refused(404, "POST", f"{VERSIONS}/v1:setDefault", json={})


async def test_a_description_changes_at_once(api: Api) -> None:
    await api.model()
    await api.version()
    await api.settle()
    api.woken.clear()
    operation = await api.ok("PATCH", f"{VERSIONS}/v1?updateMask=description,labels", json={"description": "new"})
    assert operation["done"] is True
    assert operation["metadata"]["operationType"] == "UPDATE_VERSION"
    assert operation["response"]["@type"] == "type.googleapis.com/google.cloud.ml.v1.Version"
    assert operation["response"]["description"] == "new"
    assert (await stored(api)).generation == 1
    assert api.woken == []


@pytest.mark.parametrize(
    ("created", "mask", "body", "shown"),
    [
        ({}, "manualScaling.nodes", {"manualScaling": {"nodes": 3}}, {"manualScaling": {"nodes": 3}}),
        ({}, "auto_scaling.min_nodes", {"auto_scaling": {"min_nodes": 3}}, {"autoScaling": {"minNodes": 3}}),
        (
            {"manualScaling": {"nodes": 2}},
            "manual_scaling.nodes",
            {"manualScaling": {"nodes": "3"}},
            {"manualScaling": {"nodes": 3}},
        ),
        (
            {"autoScaling": {"minNodes": 2, "maxNodes": 2}},
            "autoScaling.minNodes",
            {"autoScaling": {"minNodes": 3}},
            {"autoScaling": {"minNodes": 3}},
        ),
    ],
)
async def test_another_number_of_nodes_waits_for_the_reconciler(
    api: Api, created: dict, mask: str, body: dict, shown: dict
) -> None:
    await api.model()
    await api.version(**created)
    await api.settle()
    api.woken.clear()
    operation = await api.ok("PATCH", f"{VERSIONS}/v1", params={"updateMask": mask}, json=body)
    assert "done" not in operation
    version = await api.ok("GET", f"{VERSIONS}/v1")
    assert version["state"] == "UPDATING"
    assert {key: version.get(key) for key in shown} == shown
    assert (await stored(api)).generation == 2
    assert api.woken == [VersionName("p", "iris", "v1")]
    await api.settle()
    done = await api.ok("GET", f"/v1/{operation['name']}")
    assert (done["done"], done["response"]["state"]) == (True, "READY")


async def test_the_same_number_of_nodes_needs_no_reconciler(api: Api) -> None:
    await api.model()
    await api.version(manualScaling={"nodes": 2})
    await api.settle()
    path = f"{VERSIONS}/v1?updateMask=manualScaling.nodes"
    assert (await api.ok("PATCH", path, json={"manualScaling": {"nodes": 2}}))["done"] is True


@pytest.mark.parametrize(
    ("mask", "body", "field"),
    [
        ("manualScaling.nodes", {"manualScaling": {"nodes": 0}}, "version.manualScaling.nodes"),
        ("manualScaling.nodes", {}, "version.manualScaling.nodes"),
        ("manualScaling.nodes", {"manualScaling": {"nodes": 1001}}, "version.manualScaling.nodes"),
        ("manualScaling.nodes", {"manualScaling": {"nodes": 2**40}}, "version.manualScaling.nodes"),
        ("autoScaling.minNodes", {"autoScaling": {"minNodes": 2}}, "updateMask"),
        ("autoScaling.minNodes,manualScaling.nodes", {"manualScaling": {"nodes": 1}}, "updateMask"),
        ("autoScaling.maxNodes", {"autoScaling": {"maxNodes": 2}}, "updateMask"),
        ("requestLoggingConfig", {"requestLoggingConfig": {}}, "updateMask"),
        ("container.image", {"container": {"image": "x"}}, "updateMask"),
        ("", {"description": "x"}, "updateMask"),
        ("labels", {"labels": {"A": "b"}}, "version.labels"),
        ("description", {"descriptions": "x"}, "version.descriptions"),
    ],
)
async def test_a_patch_that_breaks_a_rule_is_refused(api: Api, mask: str, body: dict, field: str) -> None:
    await api.model()
    await api.version(manualScaling={"nodes": 1})
    await api.settle()
    before = await stored(api)
    error = await api.refused(400, "PATCH", f"{VERSIONS}/v1", params={"updateMask": mask}, json=body)
    assert field in [v["field"] for v in error["details"][1]["fieldViolations"]]
    assert await stored(api) == before


async def test_a_failed_version_has_no_nodes_to_change(api: Api) -> None:
    await api.model()
    await api.version()
    await api.settle(state=VersionState.FAILED)
    path = f"{VERSIONS}/v1?updateMask=manualScaling.nodes"
    error = await api.refused(400, "PATCH", path, json={"manualScaling": {"nodes": 2}})
    assert error["details"][0]["reason"] == "VERSION_NOT_READY"


async def test_an_etag_outlives_what_the_platform_sees_but_not_a_change(api: Api) -> None:
    await api.model()
    await api.version()
    etag = (await api.ok("GET", f"{VERSIONS}/v1"))["etag"]
    await api.settle()
    path = f"{VERSIONS}/v1?updateMask=description"
    await api.ok("PATCH", path, json={"description": "a", "etag": etag})
    error = await api.refused(409, "PATCH", path, json={"description": "b", "etag": etag})
    assert error["status"] == "ABORTED"


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_a_version_under_way_is_left_alone(api: Api, method: str) -> None:
    await api.model()
    operation = await api.version()
    path = f"{VERSIONS}/v1" + ("?updateMask=description" if method == "PATCH" else "")
    error = await api.refused(400, method, path, json={} if method == "PATCH" else None)
    assert (error["status"], error["details"][0]["reason"]) == ("FAILED_PRECONDITION", "VERSION_BUSY")
    assert operation["name"] in error["message"]
    assert "cancel" in error["details"][1]["message"]


async def test_delete_asks_for_the_end_of_a_version(api: Api) -> None:
    await api.model()
    for name in ("v1", "v2"):
        await api.version(name)
        await api.settle(name)
    api.woken.clear()
    operation = await api.ok("DELETE", f"{VERSIONS}/v2")
    assert "done" not in operation
    assert operation["metadata"]["operationType"] == "DELETE_VERSION"
    assert (await api.ok("GET", f"{VERSIONS}/v2"))["state"] == "DELETING"
    version = await stored(api, "v2")
    assert (version.goal, version.generation) == (Goal.DELETE, 2)
    assert api.woken == [VersionName("p", "iris", "v2")]
    await api.refused(400, "DELETE", f"{VERSIONS}/v2")


async def test_the_default_is_not_deleted_before_the_other_versions(api: Api) -> None:
    await api.model()
    for name in ("v1", "v2"):
        await api.version(name)
        await api.settle(name)
    error = await api.refused(400, "DELETE", f"{VERSIONS}/v1")
    assert error["details"][0]["reason"] == "VERSION_IS_DEFAULT"
    await api.ok("DELETE", f"{VERSIONS}/v2")
    await api.ok("DELETE", f"{VERSIONS}/v1")
    assert "defaultVersion" not in await api.ok("GET", IRIS)


async def test_the_operation_of_a_deleted_version_answers_with_empty(api: Api) -> None:
    await api.model()
    await api.version()
    await api.settle()
    operation = await api.ok("DELETE", f"{VERSIONS}/v1")
    await api.settle()
    await api.store.write(lambda tx: tx.delete(Version, VersionName("p", "iris", "v1")))
    seen = await api.ok("GET", f"/v1/{operation['name']}")
    assert seen["response"] == {"@type": "type.googleapis.com/google.protobuf.Empty"}
    assert "version" not in seen["metadata"]
    await api.refused(404, "GET", f"{VERSIONS}/v1")


async def test_missing_versions_are_not_found(api: Api) -> None:
    await api.model()
    for method, path in (("GET", "v9"), ("DELETE", "v9"), ("PATCH", "v9?updateMask=description")):
        error = await api.refused(404, method, f"{VERSIONS}/{path}")
        assert error["details"][0]["reason"] == "VERSION_NOT_FOUND"
