import pytest

from modelport.core.errors import Code, Status
from modelport.core.resources import VersionState
from tests.api.world import Api

pytestmark = pytest.mark.anyio

IRIS = "/v1/projects/p/models/iris"
BODY = {"instances": [[1, 2, 3, 4]]}


async def test_a_prediction_on_nothing_is_not_found(api: Api) -> None:
    error = await api.refused(404, "POST", f"{IRIS}:predict", json=BODY)
    assert error["details"][0]["reason"] == "MODEL_NOT_FOUND"
    await api.model()
    error = await api.refused(404, "POST", f"{IRIS}/versions/v1:predict", json=BODY)
    assert error["details"][0]["reason"] == "VERSION_NOT_FOUND"


async def test_a_prediction_on_a_model_without_versions_says_so(api: Api) -> None:
    await api.model()
    error = await api.refused(400, "POST", f"{IRIS}:predict", json=BODY)
    assert (error["status"], error["details"][0]["reason"]) == ("FAILED_PRECONDITION", "NO_DEFAULT_VERSION")


@pytest.mark.parametrize("path", [f"{IRIS}:predict", f"{IRIS}/versions/v1:predict"])
@pytest.mark.parametrize(
    ("state", "code", "reason", "words"),
    [
        (VersionState.CREATING, 400, "VERSION_NOT_READY", "is being created"),
        (VersionState.FAILED, 400, "VERSION_NOT_READY", "is FAILED: It exited twice"),
        (VersionState.READY, 503, "UNAVAILABLE", "none of its replicas is routed"),
    ],
)
async def test_a_prediction_without_a_route_says_why(
    api: Api, path: str, state: VersionState, code: int, reason: str, words: str
) -> None:
    await api.model()
    await api.version()
    failed = Status(Code.FAILED_PRECONDITION, "It exited twice", "X")
    await api.settle(state=state, error=failed if state is VersionState.FAILED else None)
    response = await api.call("POST", path, json=BODY)
    error = response.json()["error"]
    assert (response.status_code, error["details"][0]["reason"]) == (code, reason)
    assert words in error["message"]
    assert ("retry-after" in response.headers) == (code == 503)


async def test_a_prediction_on_a_version_that_is_being_deleted_says_so(api: Api) -> None:
    await api.model()
    await api.version()
    await api.settle()
    await api.ok("DELETE", f"{IRIS}/versions/v1")
    error = await api.refused(400, "POST", f"{IRIS}/versions/v1:predict", json=BODY)
    assert "is being deleted" in error["message"]


async def test_a_body_that_is_no_json_is_not_looked_at(api: Api) -> None:
    await api.refused(404, "POST", f"{IRIS}:predict", content=b"\xff\x00")


async def test_the_configuration_of_a_project_is_made_of_its_number(api: Api) -> None:
    config = await api.ok("GET", "/v1/projects/p:getConfig")
    number = config["serviceAccountProject"]
    assert number.isdigit()
    assert config["serviceAccount"] == f"service-{number}@cloud-ml.google.com.iam.gserviceaccount.com"
    assert (await api.ok("GET", "/v1/projects/123:getConfig"))["serviceAccountProject"] == "123"
    await api.refused(400, "GET", "/v1/projects/Not_One:getConfig")


async def test_there_are_no_locations(api: Api) -> None:
    assert await api.ok("GET", "/v1/projects/p/locations") == {}
