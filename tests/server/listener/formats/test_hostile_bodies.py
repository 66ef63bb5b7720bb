"""Whatever is sent is read or refused with an error that says why, from callers and from model servers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelport.core.errors import Error, InvalidArgument, ModelServerGarbled
from modelport.server.exchange import Request
from modelport.server.listener.formats.base import Call, Message
from modelport.server.listener.formats.known import FORMATS, format_named
from modelport.server.model import rows_of
from tests.server.listener.formats.messages import model, request

MEMBERS = (
    "instances", "inputs", "outputs", "predictions", "parameters", "params", "signature_name", "dataframe_split",
    "dataframe_records", "columns", "data", "name", "datatype", "shape", "b64", "x", "binary_data_size", "id",
)  # fmt: skip
TYPES = (
    b"", b"application/json", b"text/csv", b"application/jsonlines", b"text/plain", b"image/png",
    b"multipart/form-data", b"application/octet-stream", b"application/x-www-form-urlencoded",
)  # fmt: skip
leaves = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=4)
    | st.sampled_from(["FP32", "BYTES", "BF16", "AAE=", "json", "base64"])
)  # fmt: skip
documents = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(MEMBERS), inner, max_size=4),
    max_leaves=12,
)
bodies = (
    st.dictionaries(st.sampled_from(MEMBERS), documents, max_size=4).map(orjson.dumps)
    | documents.map(orjson.dumps)
    | st.binary(max_size=40)
    | st.text('{}[]",:-1eNaInfity \n', max_size=30).map(str.encode)
)


def outcome(act: Callable[[], Any]) -> Any:
    """Return what comes of it, or the error that says why nothing does; whatever else is raised fails the test."""
    try:
        return act()
    except Error as error:
        return error


def passed_on(call: Call) -> None:
    for name in FORMATS:
        other = format_named(name)
        outcome(lambda other=other, name=name: other.write_call(call, model(name, inputs={"x": "FP32"})))
        outcome(lambda other=other, name=name: other.write_call(call, model(name)))
        outcome(lambda other=other: other.write_answer(call.batch, Call([]), "m"))


def both_sides(name: str, body: bytes, content_type: bytes, length: bytes | None) -> None:
    headers = {} if length is None else {"inference-header-content-length": length}
    one = format_named(name)
    asked: Request = request(body, content_type, **headers)
    one.speaks(asked)
    read = outcome(lambda: one.read_call(asked))
    if isinstance(read, Error):
        assert isinstance(read, InvalidArgument)
        assert len(read.message) > 10
    else:
        passed_on(read)
    message = Message(body, content_type, {name.encode(): value for name, value in headers.items()})
    answered = outcome(lambda: one.read_answer(message, model(name)))
    if isinstance(answered, Error):
        assert isinstance(answered, ModelServerGarbled)
        assert "`m`" in answered.message
    else:
        outcome(lambda: one.write_answer(answered, Call([]), "m"))
    assert isinstance(one.read_failure(message).words, str)


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=15, deadline=None)
@given(body=bodies, content_type=st.sampled_from(TYPES), length=st.none() | st.integers(0, 50).map(lambda n: b"%d" % n))
def test_any_body_is_read_or_refused(name: str, body: bytes, content_type: bytes, length: bytes | None) -> None:
    both_sides(name, body, content_type, length)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("depth", [900, 100_000])
def test_bodies_nested_deep_are_read_or_refused(name: str, depth: int) -> None:
    deep = b"[" * depth
    for member in (b"instances", b"inputs", b"predictions", b"detail"):
        for value in (deep + deep.replace(b"[", b"]"), deep, b'{"b64":' + deep):
            for content_type in (b"application/json", b"application/jsonlines"):
                both_sides(name, b'{"%b":%b}' % (member, value), content_type, None)


@pytest.mark.parametrize("name", FORMATS)
def test_an_empty_batch_is_answered(name: str) -> None:
    for batch in ([], np.empty((0, 4))):
        response = format_named(name).write_answer(batch, Call(batch), "m")
        assert response.status == 200


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("ai-platform", b'{"instances": []}'),
        ("tf-serving", b'{"instances": []}'),
        ("tf-serving", b'{"inputs": []}'),
        ("tf-serving", b'{"inputs": {"a": []}}'),
        ("mlflow", b'{"inputs": []}'),
        ("mlflow", b'{"dataframe_records": []}'),
        ("mlflow", b'{"dataframe_split": {"columns": ["a"], "data": []}}'),
        ("sagemaker", b'{"instances": []}'),
    ],
)
def test_a_call_without_rows_has_none_and_is_answered_without_asking(name: str, body: bytes) -> None:
    one = format_named(name)
    call = one.read_call(request(body))
    assert rows_of(call.batch) == 0
    (member,) = orjson.loads(one.write_answer([], call, "m").body).values()
    assert member == []


@pytest.mark.parametrize(("name", "body", "message"), [
    ("ai-platform", b'{"instances": [1], "paramters": {}}', "members that are not known: `paramters`"),
    ("ai-platform", b'{"instances": [{"b64": "!"}]}', "instances[0] is not base64"),
    ("tf-serving", b'{"instances": [1], "inputs": [1]}', "`inputs`"),
    ("tf-serving", b'{"inputs": 1}', "`inputs` is not a list"),
    ("tf-serving", b'{"inputs": {"a": [1], "b": [1, 2]}}', "`a` 1, `b` 2"),
    ("tf-serving", b'{"inputs": {"a": 1}}', "`inputs.a` is not a list"),
    ("tf-serving", b'{}', "no `instances`"),
    ("mlflow", b'{}', "nothing, where one way"),
    ("mlflow", b'{"inputs": [1], "instances": [1]}', "`instances`, `inputs`, where one way"),
    ("mlflow", b'{"inputs": [1], "parameters": {}}', "`parameters`"),
    ("mlflow", b'{"inputs": [1], "params": 1}', "`params` is not an object"),
    ("mlflow", b'{"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2], [3]]}}', "instances[1] has 1 values"),
    ("mlflow", b'{"dataframe_split": {"columns": ["a", "a"], "data": [[1, 2]]}}', "a name twice"),
    ("mlflow", b'{"dataframe_records": [1]}', "no objects"),
    ("oip", b'{"instances": [1]}', "has `instances`, not `inputs`"),
    ("raw", b"", "empty"),
    ("torchserve", b"{", "is not JSON"),
])  # fmt: skip
def test_what_is_wrong_is_said(name: str, body: bytes, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        format_named(name).read_call(request(body))
    assert message in caught.value.message
    assert caught.value.hint


def test_a_form_is_refused_with_the_way_to_send_a_file() -> None:
    for name in ("raw", "torchserve"):
        with pytest.raises(InvalidArgument) as caught:
            format_named(name).read_call(request(b"--x", b"multipart/form-data; boundary=x"))
        assert "--data-binary" in caught.value.hint


def test_members_that_choose_a_route_are_let_through() -> None:
    assert format_named("ai-platform").read_call(request(b'{"instances": ["a"], "model": "x"}')).batch == ["a"]
    body = orjson.dumps({"instances": [[0.5] * 2000], "model": "x"})
    batch = format_named("ai-platform").read_call(request(body)).batch
    assert isinstance(batch, np.ndarray)
    assert batch.shape == (1, 2000)


def test_lines_and_tables_name_the_line_that_is_wrong() -> None:
    with pytest.raises(InvalidArgument, match="Line 2 is not JSON"):
        format_named("sagemaker").read_call(request(b"[1]\nx", b"application/jsonlines"))
    with pytest.raises(InvalidArgument, match="not CSV"):
        format_named("sagemaker").read_call(request(b'"a', b"text/csv"))
    with pytest.raises(InvalidArgument, match="not UTF-8"):
        format_named("sagemaker").read_call(request(b"\xff,1", b"text/csv"))
