from urllib.parse import urlencode

import pytest

from modelport.api.partial import parse_fields, select
from modelport.api.query import parse_query
from modelport.core.errors import InvalidArgument
from tests.api.world import Api

OWN = {"pageSize", "filter"}


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", ""),
        ("pageSize=2", "pageSize=2"),
        ("page_size=2", "pageSize=2"),
        ("filter=a%3Db&alt=json&prettyPrint=false&key=k&%24.xgafv=2", "filter=a%3Db"),
        ("access_token=t&oauth_token=o&quotaUser=u&uploadType=x&upload_protocol=raw&fields=a", ""),
    ],
)
def test_known_parameters_are_kept_under_their_names(text: str, kept: str) -> None:
    assert parse_query(text, OWN).text == kept


@pytest.mark.parametrize(
    ("text", "field", "words"),
    [
        ("pageSiz=2", "pageSiz", "Did you mean `pageSize`?"),
        ("zzz=2", "zzz", 'Unknown name "zzz"'),
        ("alt=proto", "alt", "not offered"),
        ("callback=f", "callback", "not offered"),
        ("pageSize=1&page_size=2", "pageSize", "stated twice"),
    ],
)
def test_other_parameters_are_refused(text: str, field: str, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words.replace("?", r"\?")) as raised:
        parse_query(text, OWN)
    assert raised.value.violations[0].field == field


VALUE = {"models": [{"name": "a", "labels": {"k": "v", "l": "w"}}, {"name": "b"}], "nextPageToken": "t"}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("nextPageToken", {"nextPageToken": "t"}),
        ("models/name", {"models": [{"name": "a"}, {"name": "b"}]}),
        ("models.name", {"models": [{"name": "a"}, {"name": "b"}]}),
        ("models(name,labels/k)", {"models": [{"name": "a", "labels": {"k": "v"}}, {"name": "b"}]}),
        ("models(name),nextPageToken", {"models": [{"name": "a"}, {"name": "b"}], "nextPageToken": "t"}),
        ("models/labels/*", {"models": [{"labels": {"k": "v", "l": "w"}}, {}]}),
        ("*/name", {"models": [{"name": "a"}, {"name": "b"}], "nextPageToken": "t"}),
        ("*", VALUE),
        ("models/name,models/labels/l", {"models": [{"name": "a", "labels": {"l": "w"}}, {"name": "b"}]}),
        ("models/name,models", {"models": VALUE["models"]}),
        ("nothing", {}),
        (" models ( name ) ", {"models": [{"name": "a"}, {"name": "b"}]}),
    ],
)
def test_a_partial_response_has_only_what_is_named(fields: str, expected: dict) -> None:
    assert select(VALUE, parse_fields(fields)) == expected


@pytest.mark.parametrize(
    "fields", ["a(", "a)", "a,,b", "a//b", "(a)", "a(b", ",", "a b", "a" + "(a" * 30, "%", "x" * 5000]
)
def test_fields_that_are_not_understood_are_refused(fields: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        parse_fields(fields)
    assert raised.value.violations[0].field == "fields"


@pytest.mark.anyio
async def test_responses_are_cut_and_printed_as_asked(api: Api) -> None:
    await api.model(description="d")
    path = "/v1/projects/p/models/iris"
    assert (await api.call("GET", f"{path}?fields=description&prettyPrint=false")).content == b'{"description":"d"}'
    assert (await api.call("GET", f"{path}?fields=description")).text == '{\n  "description": "d"\n}\n'


@pytest.mark.anyio
async def test_a_post_can_stand_for_a_long_get(api: Api) -> None:
    await api.model(labels={"a": "b"})
    await api.model("other")
    form = urlencode({"filter": " AND ".join(["labels.a=b"] * 100), "pageSize": 5})
    response = await api.call(
        "POST",
        "/v1/projects/p/models?alt=json",
        content=form,
        headers={"x-http-method-override": "GET", "content-type": "application/x-www-form-urlencoded"},
    )
    assert [model["name"] for model in response.json()["models"]] == ["projects/p/models/iris"]


@pytest.mark.anyio
async def test_a_post_can_stand_for_a_patch_or_a_delete_but_a_get_stands_for_itself(api: Api) -> None:
    await api.model()
    path, header = "/v1/projects/p/models/iris", "X-HTTP-Method-Override"
    changed = await api.call(
        "POST", f"{path}?updateMask=description", json={"description": "x"}, headers={header: "PATCH"}
    )
    assert changed.json()["done"] is True
    await api.ok("GET", path, headers={header: "DELETE"})
    await api.ok("POST", path, headers={header: "delete"})
    await api.refused(404, "GET", path)


@pytest.mark.anyio
async def test_an_overlong_form_is_refused(api: Api) -> None:
    await api.refused(
        400,
        "POST",
        "/v1/projects/p/models",
        content=b"filter=" + b"x" * 70_000,
        headers={"x-http-method-override": "GET", "content-type": "application/x-www-form-urlencoded"},
    )
