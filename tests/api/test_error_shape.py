"""Every route answers every kind of error in one shape."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from modelport.api.app import create_app
from modelport.api.ml_v1.absent import absent
from modelport.api.services import Services
from modelport.core.errors import Code, MethodNotFound, Unimplemented
from tests.api.world import Api, client_of, open_api

pytestmark = pytest.mark.anyio

NAMES = {"{project}": "p", "{model}": "none", "{version}": "none", "{operation}": "none"}


def operations() -> Iterator[tuple[str, str, str]]:
    """Each method of the API as (operation id, HTTP method, path)."""
    with tempfile.TemporaryDirectory() as folder:
        api = open_api(Path(folder))
        for path, item in api.app.openapi()["paths"].items():
            for method, operation in item.items():
                yield operation["operationId"], method.upper(), path
        api.store.close()


OPERATIONS = sorted(operations())
IDS = [name for name, _, _ in OPERATIONS]


def filled(path: str, **names: str) -> str:
    for variable, name in (NAMES | {f"{{{key}}}": value for key, value in names.items()}).items():
        path = path.replace(variable, name)
    return path


def check(response: httpx.Response, code: int) -> None:
    assert response.status_code == code, response.text
    assert response.headers["content-type"] == "application/json"
    assert set(response.json()) == {"error"}
    error = response.json()["error"]
    assert set(error) == {"code", "message", "status", "details"}
    assert error["code"] == code
    assert error["status"] in Code.__members__
    assert error["message"]
    info = error["details"][0]
    assert info["@type"] == "type.googleapis.com/google.rpc.ErrorInfo"
    assert info["domain"] == "modelport"
    assert info["reason"] == info["reason"].upper()


@pytest.mark.parametrize(("name", "method", "path"), OPERATIONS, ids=IDS)
async def test_an_unknown_query_parameter_is_400(api: Api, name: str, method: str, path: str) -> None:
    check(await api.call(method, filled(path), params={"no.such": "1"}), 400)


@pytest.mark.parametrize(("name", "method", "path"), OPERATIONS, ids=IDS)
async def test_a_name_that_cannot_be_is_400(api: Api, name: str, method: str, path: str) -> None:
    if "{project}" in path:
        parameters = {"updateMask": "description"} if method == "PATCH" else {}
        check(await api.call(method, filled(path, project="Not_One"), params=parameters), 400)


@pytest.mark.parametrize(("name", "method", "path"), OPERATIONS, ids=IDS)
async def test_what_is_not_there_is_404(api: Api, name: str, method: str, path: str) -> None:
    if any(variable in path for variable in ("{model}", "{operation}")):
        parameters = {"updateMask": "description"} if method == "PATCH" else {}
        check(await api.call(method, filled(path), params=parameters), 404)


@pytest.mark.parametrize(("name", "method", "path"), OPERATIONS, ids=IDS)
async def test_another_method_on_the_path_is_405_or_unknown(api: Api, name: str, method: str, path: str) -> None:
    response = await api.call("PUT", filled(path))
    if ":" in path:
        check(response, 404)
    else:
        check(response, 405)
        assert method in response.headers["allow"].split(", ")


@pytest.mark.parametrize(("name", "method", "path"), OPERATIONS, ids=IDS)
async def test_a_body_that_is_no_object_is_400(api: Api, name: str, method: str, path: str) -> None:
    if method in ("POST", "PATCH") and ":predict" not in path:
        for body in (b"{", b"[]", b'"x"', b"1", b"null", b"true", b"{\xff}", b'{"a":NaN}', b"[" * 5000):
            check(await api.call(method, filled(path), content=body), 400)
        response = await api.call(method, filled(path), content=b'{"a":"' + b"x" * 1024 * 1024 + b'"}')
        check(response, 400)
        assert response.json()["error"]["details"][0]["reason"] == "PAYLOAD_TOO_LARGE"


@pytest.mark.parametrize(("name", "method", "path"), OPERATIONS, ids=IDS)
async def test_a_defect_is_500_with_a_request_id_and_nothing_else(
    broken: httpx.AsyncClient, caplog: pytest.LogCaptureFixture, name: str, method: str, path: str
) -> None:
    parameters = {"updateMask": "description"} if method == "PATCH" else {}
    body = {"name": "x", "container": {"image": "x"}} if name.endswith(("models.create", "versions.create")) else None
    if name in ("ml.projects.getConfig", "ml.projects.locations.list"):
        return  # Nothing below them can break.
    response = await broken.request(method, filled(path), params=parameters, json=body)
    check(response, 500)
    assert "request-1" in response.json()["error"]["message"]
    assert "secret" not in response.text
    assert "request request-1 failed" in caplog.text


class Broken:
    """Stands in for every service: whatever is asked of it is a defect."""

    def __getattr__(self, name: str) -> object:
        raise RuntimeError("a secret of the internals")


@pytest.fixture(scope="module")
def broken_app() -> object:
    return create_app(Services(Broken(), Broken(), Broken(), Broken()), lambda: "request-1")  # type: ignore[arg-type]


@pytest.fixture
async def broken(broken_app: object) -> httpx.AsyncClient:
    return client_of(broken_app)  # type: ignore[arg-type]


async def test_a_database_that_refuses_is_503(api: Api) -> None:
    await api.store.write(lambda tx: tx._connection.exec_driver_sql("ALTER TABLE models RENAME TO away"))
    try:
        check(await api.call("GET", "/v1/projects/p/models"), 503)
    finally:
        await api.store.write(lambda tx: tx._connection.exec_driver_sql("ALTER TABLE away RENAME TO models"))


@pytest.mark.parametrize(
    "path", ["/", "/nope", "/v1", "/v1/projects", "/v1/projects/p", "/v2/x", "/v1/projects/p/nope"]
)
async def test_an_unknown_path_is_404(api: Api, path: str) -> None:
    response = await api.call("GET", path)
    check(response, 404)
    assert response.json()["error"]["details"][0]["reason"] == "METHOD_NOT_FOUND"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "models/m:explain"),
        ("POST", "models/m/versions/v:explain"),
        ("GET", "models/m:getIamPolicy"),
        ("POST", "models/m:setIamPolicy"),
        ("POST", "jobs/j:testIamPermissions"),
        ("GET", "jobs"),
        ("POST", "jobs"),
        ("GET", "jobs/j"),
        ("POST", "jobs/j:cancel"),
        ("GET", "locations/l"),
        ("POST", "locations/l/studies"),
        ("POST", "locations/l/studies/s/trials:suggest"),
    ],
)
async def test_a_method_of_the_original_that_is_missing_is_501(api: Api, method: str, path: str) -> None:
    check(await api.call(method, f"/v1/projects/p/{path}"), 501)


@pytest.mark.parametrize("verb", ["GET", "POST", "DELETE", "PATCH"])
@pytest.mark.parametrize(
    "path", ["models/m:nope", "models/m/versions/v:nope", "operations/o:nope", "models/m:a:predict"]
)
async def test_an_unknown_verb_behind_a_colon_is_404(api: Api, verb: str, path: str) -> None:
    check(await api.call(verb, f"/v1/projects/p/{path}"), 404)


def test_the_table_of_missing_methods_is_pure() -> None:
    assert isinstance(absent("GET", "/v1/projects/p/jobs"), Unimplemented)
    assert isinstance(absent("GET", "/v1/projects/p/jobsx"), MethodNotFound)


async def test_a_project_with_a_colon_is_no_project(api: Api) -> None:
    check(await api.call("GET", "/v1/projects/p:v/locations"), 404)
