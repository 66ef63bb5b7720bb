import itertools
import json
import random
from typing import Any

import anyio
import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelport.core.errors import InvalidArgument, ModelServerDown, RouteNotFound
from modelport.server.decoding import Decoder
from modelport.server.exchange import Request
from modelport.server.listener.body_member import BodyMember
from modelport.server.listener.declaration import Listener, Model, RouteBy, Routes, Stack
from modelport.server.listener.router import EACH, Router
from modelport.server.listener.steps.each_way import EachWay
from modelport.server.listener.steps.rows_apart import rows_in
from modelport.server.listener.steps.work import Context
from modelport.server.model import Batch, Form

TO = {"a": "first", "b": "second"}


def router(by: RouteBy, key: str = "", chance=lambda: 0.0, **declared: Any) -> Router:
    declared.setdefault("to", TO)
    return Router(
        Listener(stacks=(Stack("first", ()), Stack("second", ())), routes=Routes(by, key, **declared)), chance
    )


def request(body: bytes | dict[str, Any] = b"", **headers: str) -> Request:
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request(b"POST", b"/", headers=named, body=body if isinstance(body, bytes) else orjson.dumps(body))


def refused(router: Router, request: Request) -> RouteNotFound:
    with pytest.raises(RouteNotFound) as caught:
        router.target(request)
    return caught.value


def test_without_routes_there_is_one_target():
    stack, model = Stack("s", ()), Model("m", "server", "/")
    assert Router(Listener(models=(model,), stacks=(stack,)), random.random).target(request()) == "s"
    assert Router(Listener(models=(model,)), random.random).target(request()) == "m"


def test_a_header_chooses():
    by_header = router(RouteBy.HEADER, "x-variant")
    assert by_header.target(request(X_Variant="b")) == "second"
    error = refused(by_header, request(X_Variant="c"))
    assert error.message == "The header `x-variant` is `c`, which leads nowhere"
    assert error.hint == "Send one of `a`, `b` as `x-variant`"
    assert refused(by_header, request()).message == "The header `x-variant` is missing"


def test_the_default_is_for_those_who_say_nothing_only():
    by_header = router(RouteBy.HEADER, "x-variant", default="b")
    assert by_header.target(request()) == "second"
    assert "`c`" in refused(by_header, request(x_variant="c")).message
    by_field = router(RouteBy.FIELD, "model", default="b")
    for body in (b"", b"[1]", b'"model"', b'{"model": null, "instances": []}', b'{"models": "a"}', b"{"):
        assert by_field.target(request(body)) == "second"
    assert "`c`" in refused(by_field, request({"model": "c"})).message
    by_key = router(RouteBy.INSTANCE_KEY, "kind", default="b")
    assert by_key.split([{"kind": "a"}, {}, "text"]) == {"first": [0], "second": [1, 2]}


def test_a_member_of_the_body_chooses_and_is_seen_by_nobody_else():
    asked = request({"model": "b", "instances": [[1, 2]], "parameters": {"top": 1}})
    assert router(RouteBy.FIELD, "model").target(asked) == "second"
    read = Decoder(Form.ARRAY)(asked.body)
    assert read.batch.tolist() == [[1, 2]]
    asked = request({"parameters": {"model": "b", "top": 1}, "instances": [[1, 2]]})
    assert router(RouteBy.FIELD, "parameters.model").target(asked) == "second"
    assert Decoder(Form.ARRAY)(asked.body).parameters == {"top": 1}


def test_a_body_that_says_nothing_is_passed_on_as_it_is():
    body = b'{ "instances" : [ {"model": "a"} ] }'
    asked = request(body)
    assert router(RouteBy.FIELD, "model", default="a").target(asked) == "first"
    assert asked.body is body


@pytest.mark.parametrize(("value", "seen"), [(["a"], "a list"), ({}, "an object"), (7, "7"), (True, "true")])
def test_a_member_that_is_no_text_leads_where_its_text_leads(value, seen):
    by_field = router(RouteBy.FIELD, "model")
    assert f"`{seen}`" in refused(by_field, request({"model": value})).message
    if not isinstance(value, list | dict):
        assert router(RouteBy.FIELD, "model", to={seen: "first"}).target(request({"model": value})) == "first"


def test_a_body_that_is_not_json_has_no_member():
    with pytest.raises(InvalidArgument, match="not JSON"):
        router(RouteBy.FIELD, "model").target(request(b'{"model": "a"'))


def test_the_tensors_behind_the_json_stay_what_they_are():
    json_part, tensors = b'{"model":"b","inputs":[]}', b'\x00"model":"b",\xff'
    asked = request(json_part + tensors, Inference_Header_Content_Length=str(len(json_part)))
    assert router(RouteBy.FIELD, "model").target(asked) == "second"
    length = int(asked.header(b"inference-header-content-length"))
    assert asked.body == b'{"inputs":[]}' + tensors
    assert asked.body[:length] == b'{"inputs":[]}'


@pytest.mark.parametrize(
    ("body", "without"),
    [
        (b'{"m":"x"}', b"{}"),
        (b'{ "m" : "x" , "i":[1]}', b'{  "i":[1]}'),
        (b'{"i":[1] , "m":"x" }', b'{"i":[1]  }'),
        (b'{"i":["m",{"m":1}],"m":"x"}', b'{"i":["m",{"m":1}]}'),
        (b'{"i":"\\"m\\":\\"x\\"","\\u006d":"x"}', b'{"i":"\\"m\\":\\"x\\""}'),
        (b'{"m":"x","i":1,"m":"x"}', b'{"i":1}'),
        (b'{"m":"x","i":123456789012345678901234567890}', b'{"i":123456789012345678901234567890}'),
        (b'{"p":{"m":"y"},"m":"a\\"b"}', b'{"p":{"m":"y"}}'),
    ],
)
def test_a_member_is_cut_out_however_it_is_written(body, without):
    found = BodyMember("m").find(body)
    assert found is not None
    assert found.without == without


def test_a_number_is_read_whole_wherever_it_stands():
    for pad in range(1000, 1030):
        body = b'{"x":"' + b"x" * (pad - 10) + b'","m":12345,"large":"' + b"x" * 70_000 + b'"}'
        found = BodyMember("m").find(body)
        assert found is not None
        assert found.value == 12345
        assert b"12345" not in found.without


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=5) | st.sampled_from(["m", "p", '"m":', "\\", "m\\"])
values = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(
    document=st.dictionaries(texts, values, max_size=4),
    path=st.sampled_from(["m", "p.m"]),
    value=texts | st.integers(0, 9) | st.none() | values,
    at=st.integers(0, 4),
    ascii=st.booleans(),
    indent=st.sampled_from([None, 1]),
    large=st.sampled_from([None, None, 0, 1, 9]),
)
def test_a_document_without_its_member_is_the_same_in_all_else(document, path, value, at, ascii, indent, large):
    def put(document: dict[str, Any], names: list[str]) -> dict[str, Any]:
        name, *more = names
        inner = document.get(name)
        new = put(inner if isinstance(inner, dict) else {}, more) if more else value
        items = [item for item in document.items() if item[0] != name]
        items.insert(at, (name, new))
        return dict(items)

    def without(document: dict[str, Any], names: list[str]) -> dict[str, Any]:
        name, *more = names
        return {
            key: without(inner, more) if key == name else inner
            for key, inner in document.items()
            if key != name or more
        }

    whole = put(document, path.split("."))
    if large is not None:
        items = list(whole.items())
        items.insert(large, ("large", ["x" * 70_000]))
        whole = dict(items)
    found = BodyMember(path).find(json.dumps(whole, ensure_ascii=ascii, indent=indent).encode())
    assert found is not None
    if isinstance(value, list | dict):
        assert found.value is type(value)
        assert json.loads(found.without) == whole
    else:
        assert found.value == value
        assert json.loads(found.without) == without(whole, path.split("."))
        assert list(json.loads(found.without)) == list(without(whole, path.split(".")))


@settings(max_examples=30, deadline=None)
@given(weights=st.lists(st.floats(0.1, 10), min_size=1, max_size=4), seed=st.integers(0, 2**32))
def test_chance_keeps_the_proportions_of_the_weights(weights, seed):
    named = {f"t{index}": weight for index, weight in enumerate(weights)}
    by_chance = router(
        RouteBy.WEIGHTS, to={name: name for name in named}, weights=named, chance=random.Random(seed).random
    )
    drawn = [by_chance.target(request()) for _ in range(2000)]
    for name, weight in named.items():
        share = weight / sum(weights)
        assert abs(drawn.count(name) / 2000 - share) < 6 * (share * (1 - share) / 2000) ** 0.5 + 1e-9


@pytest.mark.parametrize(
    ("drawn", "name"), [(0.0, "first"), (0.2499, "first"), (0.25, "second"), (1 - 2**-53, "second")]
)
def test_chance_falls_on_the_names_in_their_order(drawn, name):
    by_chance = router(RouteBy.WEIGHTS, weights={"a": 1, "b": 3}, chance=lambda: drawn)
    assert by_chance.target(request()) == name


def test_each_instance_names_its_own_target():
    by_key = router(RouteBy.INSTANCE_KEY, "kind")
    assert by_key.target(request()) == EACH
    rows = [{"kind": "b"}, {"kind": "a"}, {"kind": "b", "x": 1}]
    assert by_key.split(rows) == {"second": [0, 2], "first": [1]}
    assert by_key.split({"kind": [["a"], ["b"]], "x": np.zeros(2)}) == {"first": [0], "second": [1]}
    assert by_key.split([]) == {}


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ([{"kind": "a"}, {"x": 1}], "`kind` of instances[1] is missing"),
        ([{"kind": "a"}, {"kind": "c"}], "`kind` of instances[1] is `c`, which leads nowhere"),
        (np.zeros((2, 3)), "`kind` of instances[0] is missing"),
        ({"x": np.zeros(2)}, "`kind` of instances[0] is missing"),
    ],
)
def test_an_instance_that_leads_nowhere_is_named(batch, message):
    with pytest.raises(RouteNotFound) as caught:
        router(RouteBy.INSTANCE_KEY, "kind").split(batch)
    assert caught.value.message == message
    assert "`a`, `b`" in caught.value.hint
    assert caught.value.metadata["row"].isdigit()


class Says:
    def __init__(self, name: str, turns: int = 0, error: Exception | None = None) -> None:
        self.name, self.turns, self.error = name, turns, error

    async def run(self, inputs: dict[str, Batch], context: Context) -> Batch:
        for _ in range(self.turns):
            await anyio.lowlevel.checkpoint()
        if self.error is not None:
            raise self.error
        return [(self.name, row) for row in rows_in(inputs[""])]


@settings(max_examples=60, deadline=None)
@given(kinds=st.lists(st.sampled_from("ab"), max_size=8), turns=st.tuples(st.integers(0, 2), st.integers(0, 2)))
def test_each_instance_is_answered_in_its_place(kinds, turns):
    works = {"first": Says("first", turns[0]), "second": Says("second", turns[1])}
    rows = [{"kind": kind, "number": number} for kind, number in zip(kinds, itertools.count())]
    each = EachWay(router(RouteBy.INSTANCE_KEY, "kind"), works)
    assert anyio.run(each.run, {"": rows}, Context()) == [(TO[row["kind"]], row) for row in rows]


def test_a_failure_of_one_target_is_that_of_the_request():
    works = {"first": Says("first"), "second": Says("second", error=ModelServerDown("instances[0]: no", row="0"))}
    each = EachWay(router(RouteBy.INSTANCE_KEY, "kind"), works)
    with pytest.raises(ModelServerDown) as caught:
        anyio.run(each.run, {"": [{"kind": "a"}, {"kind": "b"}]}, Context())
    assert caught.value.message == "instances[1]: no"
