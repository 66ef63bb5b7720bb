import pytest

from modelport.core.errors import Internal
from modelport.sdk.client import Client
from modelport.sdk.transport import Transport
from tests.sdk.standin import Answer, StandIn, standing_in


def client_of(stand_in: StandIn) -> Client:
    return Client(project="p1", transport=Transport(stand_in.endpoint, sleep=lambda _: None))


def test_lists_follow_their_pages_to_the_end() -> None:
    script = {
        "GET /v1/projects/p1/models": [
            Answer(body={"models": [{"name": "a"}], "nextPageToken": "t"}),
            Answer(body={"models": [{"name": "b"}]}),
        ]
    }
    with standing_in(script) as stand_in:
        assert [one["name"] for one in client_of(stand_in).list_models("labels.x=1")] == ["a", "b"]
        assert [one.query for one in stand_in.asked] == [
            "pageSize=100&filter=labels.x%3D1",
            "pageSize=100&filter=labels.x%3D1&pageToken=t",
        ]


def test_a_page_token_that_repeats_ends_the_list() -> None:
    page = Answer(body={"models": [{}], "nextPageToken": "t"})
    with standing_in({"GET /v1/projects/p1/models": [page]}) as stand_in:
        assert len(client_of(stand_in).list_models()) == 2


def test_an_empty_list_is_an_empty_object() -> None:
    with standing_in({"GET /v1/projects/p1/models/m/versions": [Answer(body={})]}) as stand_in:
        assert client_of(stand_in).list_versions("m") == []


def test_predict_goes_to_the_version_or_to_the_model() -> None:
    answers = [Answer(body={"predictions": [1]})]
    paths = ["/v1/projects/p1/models/m:predict", "/v1/projects/p1/models/m/versions/v:predict"]
    with standing_in({f"POST {path}": answers for path in paths}) as stand_in:
        client = client_of(stand_in)
        client.predict("m", {"instances": [1]})
        client.predict("m", {"instances": [1]}, version="v")
        assert stand_in.calls() == [f"POST {path}" for path in paths]


def test_a_name_cannot_leave_its_place_in_the_path() -> None:
    with standing_in({"GET /v1/projects/p1/models/..%2F..%2Fx%3Fy": [Answer(body={"name": "m"})]}) as stand_in:
        assert client_of(stand_in).get_model("../../x?y") == {"name": "m"}


def test_something_that_is_no_control_plane_is_said_so() -> None:
    page = Answer(body=b"<html>hello</html>")
    with (
        standing_in({"GET /modelport/v1/status": [page]}) as stand_in,
        pytest.raises(Internal, match="not a JSON object: <html>hello"),
    ):
        client_of(stand_in).status()
