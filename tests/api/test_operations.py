import pytest

from modelport.core.errors import Code, Status
from modelport.core.names import VersionName
from modelport.core.resources import Version, VersionState
from tests.api.world import Api

pytestmark = pytest.mark.anyio

OPERATIONS = "/v1/projects/p/operations"
VERSIONS = "/v1/projects/p/models/iris/versions"


async def stored(api: Api) -> Version:
    return await api.store.read(lambda tx: tx.get(Version, VersionName("p", "iris", "v1")))


async def test_a_finished_create_answers_with_the_version(api: Api) -> None:
    await api.model()
    operation = await api.version()
    await api.settle()
    seen = await api.ok("GET", f"/v1/{operation['name']}")
    assert seen["done"] is True
    assert seen["metadata"]["endTime"].endswith("Z")
    assert seen["response"] == {
        "@type": "type.googleapis.com/google.cloud.ml.v1.Version",
        **await api.ok("GET", f"{VERSIONS}/v1"),
    }
    assert "error" not in seen


async def test_a_failed_create_answers_with_code_message_and_details(api: Api) -> None:
    await api.model()
    operation = await api.version()
    cause = Status(
        Code.FAILED_PRECONDITION, "It exited twice", "CANNOT_BECOME_READY", "Read the logs", {"phase": "start"}
    )
    await api.settle(state=VersionState.FAILED, error=cause)
    seen = await api.ok("GET", f"/v1/{operation['name']}")
    assert (seen["done"], seen["error"]["code"], seen["error"]["message"]) == (True, 9, "It exited twice")
    assert seen["error"]["details"][0]["metadata"] == {"phase": "start"}
    assert seen["error"]["details"][1]["message"] == "Read the logs"
    assert "response" not in seen


async def test_cancel_of_a_create_is_passed_on_to_the_version(api: Api) -> None:
    await api.model()
    operation = await api.version()
    api.woken.clear()
    assert await api.ok("POST", f"/v1/{operation['name']}:cancel") == {}
    assert (await stored(api)).cancelled is True
    seen = await api.ok("GET", f"/v1/{operation['name']}")
    assert seen["metadata"]["isCancellationRequested"] is True
    assert "done" not in seen
    assert api.woken == [VersionName("p", "iris", "v1")]
    assert await api.ok("POST", f"/v1/{operation['name']}:cancel", json={}) == {}


async def test_cancel_of_a_finished_operation_changes_nothing(api: Api) -> None:
    await api.model()
    operation = await api.version()
    await api.settle()
    before = await stored(api), await api.operations()
    assert await api.ok("POST", f"/v1/{operation['name']}:cancel") == {}
    assert (await stored(api), await api.operations()) == before


async def test_cancel_of_a_deletion_is_noted_but_stops_nothing(api: Api) -> None:
    await api.model()
    await api.version()
    await api.settle()
    operation = await api.ok("DELETE", f"{VERSIONS}/v1")
    api.woken.clear()
    await api.ok("POST", f"/v1/{operation['name']}:cancel")
    assert (await api.ok("GET", f"/v1/{operation['name']}"))["metadata"]["isCancellationRequested"] is True
    assert (await stored(api)).cancelled is False
    assert api.woken == []


async def test_cancel_of_a_create_whose_version_is_gone_succeeds(api: Api) -> None:
    await api.model()
    operation = await api.version()
    await api.store.write(lambda tx: tx.delete(Version, VersionName("p", "iris", "v1")))
    assert await api.ok("POST", f"/v1/{operation['name']}:cancel") == {}


async def test_an_operation_does_not_show_a_later_version_of_the_same_name(api: Api) -> None:
    await api.model()
    first = await api.version()
    await api.settle()
    await api.store.write(lambda tx: tx.delete(Version, VersionName("p", "iris", "v1")))
    await api.version(description="another")
    seen = await api.ok("GET", f"/v1/{first['name']}")
    assert "version" not in seen["metadata"]
    assert seen["response"] == {
        "@type": "type.googleapis.com/google.cloud.ml.v1.Version",
        "name": "projects/p/models/iris/versions/v1",
    }


async def test_operations_are_listed_paged_and_filtered(api: Api) -> None:
    assert await api.ok("GET", OPERATIONS) == {}
    await api.model()
    for name in ("v1", "v2"):
        await api.version(name)
    await api.settle("v1")
    await api.ok("PATCH", f"{VERSIONS}/v1?updateMask=description", json={})

    async def names(**parameters: str | int) -> list[str]:
        page = await api.ok("GET", OPERATIONS, params=parameters)
        return [item["name"].rpartition("/")[2].rpartition("-")[0] for item in page.get("operations", [])]

    assert await names() == ["create_iris_v1", "create_iris_v2", "update_iris_v1"]
    assert await names(pageSize=1) == ["create_iris_v1"]
    assert await names(filter="done:true") == ["create_iris_v1", "update_iris_v1"]
    assert await names(filter="done=false") == ["create_iris_v2"]
    assert await names(filter="metadata.operationType=CREATE_VERSION AND done:true") == ["create_iris_v1"]
    assert await names(filter='metadata.model_name="projects/p/models/iris"') == await names()
    assert await names(filter="metadata.versionName:projects/p/models/iris/versions/v2") == ["create_iris_v2"]
    assert (await api.ok("GET", "/v1/projects/other/operations")) == {}


async def test_operations_that_do_not_exist_are_not_found(api: Api) -> None:
    for method, path in (("GET", "none"), ("POST", "none:cancel")):
        error = await api.refused(404, method, f"{OPERATIONS}/{path}")
        assert error["details"][0]["reason"] == "OPERATION_NOT_FOUND"
    await api.refused(400, "GET", f"{OPERATIONS}/not%20one")


@pytest.mark.parametrize(
    "filter", ["done", "colour=red", "done:true OR done:false", "(done:true)", "done>1", "labels.a=b"]
)
async def test_a_filter_that_is_not_understood_is_refused(api: Api, filter: str) -> None:
    error = await api.refused(400, "GET", OPERATIONS, params={"filter": filter})
    assert error["details"][1]["fieldViolations"][0]["field"] == "filter"
