"""Google's own Python client, unmodified, against the API on a real port."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from googleapiclient import discovery
from googleapiclient.errors import HttpError

from tests.api.served import Served
from tests.api.world import open_api


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    api = open_api(tmp_path_factory.mktemp("served"))
    with Served(api) as served:
        yield served
    api.store.close()


@pytest.fixture(params=["bundled", "ours"])
def ml(request: pytest.FixtureRequest, served: Served) -> Any:
    """A client built from the document that it ships with, and one built from ours."""
    if request.param == "bundled":
        return discovery.build(
            "ml",
            "v1",
            client_options={"api_endpoint": served.url},
            credentials=AnonymousCredentials(),
            static_discovery=True,
        )
    return discovery.build(
        "ml",
        "v1",
        discoveryServiceUrl=f"{served.url}/$discovery/rest?version={{apiVersion}}",
        credentials=AnonymousCredentials(),
        static_discovery=False,
    )


def test_the_client_takes_a_model_through_its_life(ml: Any, served: Served, request: pytest.FixtureRequest) -> None:
    project = f"projects/{request.node.callspec.id}"
    models, versions, operations = (
        ml.projects().models(),
        ml.projects().models().versions(),
        ml.projects().operations(),
    )
    iris = f"{project}/models/iris"
    assert models.list(parent=project).execute() == {}
    assert models.create(parent=project, body={"name": "iris", "labels": {"team": "a"}}).execute()["name"] == iris
    with pytest.raises(HttpError) as raised:
        models.create(parent=project, body={"name": "iris"}).execute()
    assert raised.value.resp.status == 409
    message = json.loads(raised.value.content)["error"]["message"]
    assert message == "Field: model.name Error: A model with the same name already exists."

    body = {"name": "v1", "container": {"image": "x:1"}, "acceleratorConfig": {"count": "1", "type": "NVIDIA_TESLA_T4"}}
    operation = versions.create(parent=iris, body=body).execute()
    seen = operations.get(name=operation["name"]).execute()
    assert "done" not in seen
    assert seen["metadata"]["version"]["acceleratorConfig"]["count"] == "1"
    assert operations.cancel(name=operation["name"]).execute() == {}
    for number in (2, 3):
        versions.create(parent=iris, body={"name": f"v{number}", "container": {"image": "x:1"}}).execute()

    names, page = [], versions.list(parent=iris, pageSize=2)
    while page is not None:
        result = page.execute()
        names += [version["name"].rpartition("/")[2] for version in result["versions"]]
        page = versions.list_next(page, result)
    assert names == ["v1", "v2", "v3"]

    patched = models.patch(name=iris, updateMask="description", body={"description": "d"}).execute()
    assert patched["response"]["description"] == "d"
    assert ml.projects().getConfig(name=project).execute()["serviceAccountProject"].isdigit()

    long = " AND ".join(["labels.team=a"] * 130)
    assert len(models.list(parent=project, filter=long).uri) > 2048
    assert [model["name"] for model in models.list(parent=project, filter=long).execute()["models"]] == [iris]

    with pytest.raises(HttpError) as raised:
        ml.projects().predict(name=f"{iris}/versions/v2", body={"instances": [1]}).execute()
    assert raised.value.resp.status == 400
    with pytest.raises(HttpError) as raised:
        models.delete(name=iris).execute()
    assert raised.value.resp.status == 400


def test_the_client_sees_partial_responses_and_large_bodies(ml: Any, request: pytest.FixtureRequest) -> None:
    project = f"projects/{request.node.callspec.id}-2"
    models = ml.projects().models()
    assert models.create(parent=project, body={"name": "m"}, fields="name").execute() == {"name": f"{project}/models/m"}
    with pytest.raises(HttpError) as raised:
        models.create(parent=project, body={"name": "n", "description": "x" * 2**21}).execute()
    assert raised.value.resp.status == 400
