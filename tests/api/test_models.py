import pytest

from modelport.core.errors import Code, Status
from modelport.core.resources import VersionState
from tests.api.world import Api

pytestmark = pytest.mark.anyio

MODELS = "/v1/projects/p/models"


async def test_a_model_comes_back_as_it_was_created(api: Api) -> None:
    created = await api.model(
        description="Flowers", labels={"team": "vision"}, regions=["us-central1"], onlinePredictionConsoleLogging=True
    )
    etag = created.pop("etag")
    assert created == {
        "name": "projects/p/models/iris",
        "description": "Flowers",
        "labels": {"team": "vision"},
        "regions": ["us-central1"],
        "onlinePredictionConsoleLogging": True,
    }
    assert (await api.ok("GET", f"{MODELS}/iris")) == {**created, "etag": etag}


async def test_a_second_model_of_a_name_is_refused_in_the_words_that_clients_match(api: Api) -> None:
    await api.model()
    error = await api.refused(409, "POST", MODELS, json={"name": "iris"})
    assert error["message"] == "Field: model.name Error: A model with the same name already exists."
    assert error["status"] == "ALREADY_EXISTS"
    assert error["details"][1] == {
        "@type": "type.googleapis.com/google.rpc.BadRequest",
        "fieldViolations": [{"field": "model.name", "description": "A model with the same name already exists."}],
    }


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"name": ""}, "model.name"),
        ({"name": "a-b"}, "model.name"),
        ({"name": "projects/p/models/iris"}, "model.name"),
        ({"name": "../x"}, "model.name"),
        ({"name": "iris\n"}, "model.name"),
        ({"name": 5}, "model.name"),
        ({"labels": {"Team": "x"}}, "model.labels"),
        ({"labels": {"team": "a b"}}, "model.labels.team"),
        ({"labels": {f"k{i}": "" for i in range(65)}}, "model.labels"),
        ({"labels": []}, "model.labels"),
        ({"regions": ["us-central1", "us-east1"]}, "model.regions"),
        ({"regions": ["Mars"]}, "model.regions[0]"),
        ({"onlinePredictionLogging": True}, "model.onlinePredictionLogging"),
        ({"onlinePredictionLogging": "yes"}, "model.onlinePredictionLogging"),
        ({"description": "x" * 10_001}, "model.description"),
        ({"descripton": "x"}, "model.descripton"),
    ],
)
async def test_a_model_that_breaks_a_rule_is_refused_with_the_field(api: Api, fields: dict, path: str) -> None:
    error = await api.refused(400, "POST", MODELS, json={"name": "iris", **fields})
    assert [v["field"] for v in error["details"][1]["fieldViolations"]] == [path]
    assert await api.ok("GET", MODELS) == {}


async def test_output_fields_in_a_request_are_ignored(api: Api) -> None:
    created = await api.model(etag="AAAA", defaultVersion={"name": "v9", "state": "READY", "isDefault": True})
    assert "defaultVersion" not in created


async def test_a_list_without_models_is_an_empty_object(api: Api) -> None:
    assert await api.ok("GET", MODELS) == {}


async def test_a_list_is_paged_in_order_of_names(api: Api) -> None:
    for name in ("b", "c", "a", "d", "e"):
        await api.model(name)
    seen, token = [], ""
    while True:
        page = await api.ok("GET", MODELS, params={"pageSize": 2, "pageToken": token})
        seen.append([model["name"].rpartition("/")[2] for model in page["models"]])
        token = page.get("nextPageToken", "")
        if not token:
            break
    assert seen == [["a", "b"], ["c", "d"], ["e"]]


async def test_a_page_has_20_models_unless_told_and_never_more_than_100(api: Api) -> None:
    for index in range(103):
        await api.model(f"m{index}")
    assert len((await api.ok("GET", MODELS))["models"]) == 20
    assert len((await api.ok("GET", f"{MODELS}?pageSize=0"))["models"]) == 20
    assert len((await api.ok("GET", f"{MODELS}?page_size=5000"))["models"]) == 100


@pytest.mark.parametrize("query", ["pageSize=-1", "pageSize=many", "pageToken=x", "pageToken=%F0%9F%8D%95"])
async def test_a_page_that_cannot_be_is_refused(api: Api, query: str) -> None:
    await api.refused(400, "GET", f"{MODELS}?{query}")


async def test_labels_select_models(api: Api) -> None:
    await api.model("a", labels={"team": "vision", "tier": "gold"})
    await api.model("b", labels={"team": "text"})
    await api.model("c")

    async def names(text: str) -> list[str]:
        page = await api.ok("GET", MODELS, params={"filter": text})
        return [model["name"].rpartition("/")[2] for model in page.get("models", [])]

    assert await names("labels.team=vision") == ["a"]
    assert await names("labels.team:*") == ["a", "b"]
    assert await names("labels.team:* AND labels.tier=gold") == ["a"]
    assert await names("labels.team=none") == []


async def test_a_patch_changes_what_the_mask_names_and_nothing_else(api: Api) -> None:
    await api.model(description="old", labels={"team": "vision"})
    operation = await api.ok(
        "PATCH", f"{MODELS}/iris?updateMask=description", json={"description": "new", "labels": {"a": "b"}}
    )
    assert operation["done"] is True
    assert operation["metadata"]["operationType"] == "UPDATE_MODEL"
    assert operation["response"]["@type"] == "type.googleapis.com/google.cloud.ml.v1.Model"
    assert operation["response"]["description"] == "new"
    model = await api.ok("GET", f"{MODELS}/iris")
    assert (model["description"], model["labels"]) == ("new", {"team": "vision"})
    await api.ok("PATCH", f"{MODELS}/iris?updateMask=labels", json={"labels": {"a": "b"}})
    assert (await api.ok("GET", f"{MODELS}/iris"))["labels"] == {"a": "b"}


@pytest.mark.parametrize("mask", ["default_version.name", "defaultVersion.name"])
async def test_a_patch_can_name_the_default_version(api: Api, mask: str) -> None:
    await api.model()
    for name in ("v1", "v2"):
        await api.version(name)
        await api.settle(name)
    api.woken.clear()
    body = {"default_version": {"name": "projects/p/models/iris/versions/v2"}}
    operation = await api.ok("PATCH", f"{MODELS}/iris", params={"updateMask": mask}, json=body)
    assert operation["response"]["defaultVersion"]["name"].endswith("/v2")
    assert (await api.ok("GET", f"{MODELS}/iris"))["defaultVersion"]["name"].endswith("/v2")
    assert [name.version for name in api.woken] == ["v2"]


async def test_a_default_version_must_be_ready_and_of_the_same_model(api: Api) -> None:
    await api.model()
    await api.version("v1")
    path = f"{MODELS}/iris?updateMask=defaultVersion.name"
    error = await api.refused(400, "PATCH", path, json={"defaultVersion": {"name": "v1"}})
    assert error["details"][0]["reason"] == "VERSION_NOT_READY"
    await api.refused(404, "PATCH", path, json={"defaultVersion": {"name": "v9"}})
    for bad in ("projects/p/models/other/versions/v1", "a b", ""):
        error = await api.refused(400, "PATCH", path, json={"defaultVersion": {"name": bad}})
        assert error["details"][1]["fieldViolations"][0]["field"] == "model.defaultVersion.name"


@pytest.mark.parametrize("mask", ["", "name", "regions", "descripton", "*", "description,name"])
async def test_a_mask_that_names_what_never_changes_is_refused(api: Api, mask: str) -> None:
    await api.model()
    error = await api.refused(400, "PATCH", f"{MODELS}/iris", params={"updateMask": mask}, json={})
    assert error["details"][1]["fieldViolations"][0]["field"] == "updateMask"


@pytest.mark.parametrize("fields", [{"description": 5}, {"description": "x" * 10_001}, {"unknown": 1}])
async def test_a_patch_is_checked_like_a_create(api: Api, fields: dict) -> None:
    await api.model()
    await api.refused(400, "PATCH", f"{MODELS}/iris?updateMask=description", json=fields)
    await api.refused(400, "PATCH", f"{MODELS}/iris?updateMask=labels", json={"labels": {"A": ""}})


async def test_an_etag_of_an_older_state_aborts_a_patch(api: Api) -> None:
    etag = (await api.model())["etag"]
    path = f"{MODELS}/iris?updateMask=description"
    await api.ok("PATCH", path, json={"description": "a", "etag": etag})
    error = await api.refused(409, "PATCH", path, json={"description": "b", "etag": etag})
    assert error["status"] == "ABORTED"
    assert (await api.ok("GET", f"{MODELS}/iris"))["description"] == "a"


async def test_a_model_with_versions_is_not_deleted(api: Api) -> None:
    await api.model()
    await api.version()
    error = await api.refused(400, "DELETE", f"{MODELS}/iris")
    assert (error["status"], error["details"][0]["reason"]) == ("FAILED_PRECONDITION", "MODEL_HAS_VERSIONS")


async def test_a_deleted_model_is_gone_and_its_operation_stays(api: Api) -> None:
    await api.model()
    operation = await api.ok("DELETE", f"{MODELS}/iris")
    assert operation["done"] is True
    assert operation["response"] == {"@type": "type.googleapis.com/google.protobuf.Empty"}
    assert operation["metadata"]["operationType"] == "DELETE_MODEL"
    await api.refused(404, "GET", f"{MODELS}/iris")
    assert await api.ok("GET", f"/v1/{operation['name']}") == operation


async def test_an_update_of_a_model_that_is_gone_is_answered_by_its_name(api: Api) -> None:
    await api.model()
    operation = await api.ok("PATCH", f"{MODELS}/iris?updateMask=description", json={"description": "x"})
    await api.ok("DELETE", f"{MODELS}/iris")
    seen = await api.ok("GET", f"/v1/{operation['name']}")
    assert seen["response"] == {
        "@type": "type.googleapis.com/google.cloud.ml.v1.Model",
        "name": "projects/p/models/iris",
    }


async def test_what_does_not_exist_is_not_found(api: Api) -> None:
    for method, path in (("GET", "none"), ("DELETE", "none"), ("PATCH", "none?updateMask=description")):
        error = await api.refused(404, method, f"{MODELS}/{path}")
        assert error["details"][0] == {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "MODEL_NOT_FOUND",
            "domain": "modelport",
            "metadata": {"resource": "projects/p/models/none"},
        }


async def test_a_model_shows_its_failed_default_version(api: Api) -> None:
    await api.model()
    await api.version()
    await api.settle(state=VersionState.FAILED, error=Status(Code.FAILED_PRECONDITION, "It exited twice", "X"))
    default = (await api.ok("GET", f"{MODELS}/iris"))["defaultVersion"]
    assert (default["state"], default["errorMessage"], default["isDefault"]) == ("FAILED", "It exited twice", True)
