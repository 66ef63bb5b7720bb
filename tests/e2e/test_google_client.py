"""The unmodified google-api-python-client drives a version from create to delete."""

import time
import uuid
from collections.abc import Iterator

import pytest
from google.auth.credentials import AnonymousCredentials
from googleapiclient import discovery
from googleapiclient.errors import HttpError

from tests.e2e.platform import Platform, platform


@pytest.fixture(scope="module")
def one() -> Iterator[Platform]:
    with platform() as running:
        yield running


@pytest.fixture(params=["google's own document", "our document"])
def ml(one: Platform, request: pytest.FixtureRequest) -> Iterator[object]:
    if request.param == "our document":
        client = discovery.build(
            "ml",
            "v1",
            discoveryServiceUrl=f"{one.url}/$discovery/rest?version=v1",
            credentials=AnonymousCredentials(),
            static_discovery=False,
        )
    else:
        client = discovery.build(
            "ml",
            "v1",
            static_discovery=True,
            client_options={"api_endpoint": one.url},
            credentials=AnonymousCredentials(),
        )
    with client:
        yield client


@pytest.fixture
def project() -> str:
    """A project that no other test uses: projects need no creation."""
    return f"projects/p{uuid.uuid4().hex[:8]}"


def wait(ml, operation: dict) -> dict:
    deadline = time.monotonic() + 30
    while not operation.get("done"):
        assert time.monotonic() < deadline, operation
        time.sleep(0.05)
        operation = ml.projects().operations().get(name=operation["name"]).execute()
    return operation


def test_a_version_from_create_to_delete(ml, project: str, echo: str) -> None:
    models = ml.projects().models()
    model = models.create(parent=project, body={"name": "iris", "regions": ["us-central1"]}).execute()
    assert model["name"] == f"{project}/models/iris"

    for version in ("v1", "v2"):
        body = {
            "name": version,
            "machineType": "n1-standard-2",
            "container": {"image": echo, "env": [{"name": "WHO", "value": version}]},
            "routes": {"predict": "/predict", "health": "/health"},
        }
        operation = models.versions().create(parent=model["name"], body=body).execute()
        assert operation["metadata"]["operationType"] == "CREATE_VERSION"
        operation = wait(ml, operation)
        assert "error" not in operation, operation
        assert operation["response"]["state"] == "READY"

    listed = models.versions().list(parent=model["name"]).execute()["versions"]
    assert [(v["name"].rsplit("/", 1)[1], v.get("isDefault", False)) for v in listed] == [("v1", True), ("v2", False)]

    body = {"instances": [[1, 2], [3, 4]]}
    for name in (model["name"], f"{model['name']}/versions/v2"):
        assert ml.projects().predict(name=name, body=body).execute() == {"predictions": [[1, 2], [3, 4]]}

    default = models.versions().setDefault(name=f"{model['name']}/versions/v2", body={}).execute()
    assert default["isDefault"] is True
    assert models.get(name=model["name"]).execute()["defaultVersion"]["name"].endswith("/v2")

    with pytest.raises(HttpError, match="default"):
        models.versions().delete(name=f"{model['name']}/versions/v2").execute()
    for version in ("v1", "v2"):
        wait(ml, models.versions().delete(name=f"{model['name']}/versions/{version}").execute())
    assert models.versions().list(parent=model["name"]).execute() == {}
    assert wait(ml, models.delete(name=model["name"]).execute())["response"]["@type"].endswith("google.protobuf.Empty")
    assert models.list(parent=project).execute() == {}


def test_an_existing_model_answers_with_the_text_that_clients_match_on(ml, project: str) -> None:
    models = ml.projects().models()
    models.create(parent=project, body={"name": "iris"}).execute()
    with pytest.raises(HttpError) as caught:
        models.create(parent=project, body={"name": "iris"}).execute()
    assert caught.value.resp.status == 409
    assert "Field: model.name Error: A model with the same name already exists." in str(caught.value)


def test_a_failed_version_says_why_in_the_operation(ml, project: str, echo: str) -> None:
    models = ml.projects().models()
    models.create(parent=project, body={"name": "iris"}).execute()
    body = {"name": "v1", "container": {"image": echo, "env": [{"name": "CRASH", "value": "3"}]}}
    operation = wait(ml, models.versions().create(parent=f"{project}/models/iris", body=body).execute())
    message = operation["error"]["message"]
    assert "exited with code 3" in message
    assert "a word on stderr" in message
    version = models.versions().get(name=f"{project}/models/iris/versions/v1").execute()
    assert version["state"] == "FAILED"
    assert version["errorMessage"] == message
