"""What each format has of its own: how it is told, and how its servers are written to and read."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest

from modelport.core.errors import InvalidArgument, ModelServerGarbled
from modelport.server.exchange import Request
from modelport.server.listener.formats.base import Call, Message
from modelport.server.listener.formats.content import Content
from modelport.server.listener.formats.known import FORMATS, format_named
from modelport.server.model import Batch
from tests.server.listener.formats.messages import model, plain, request

OIP = b'{"id": "1", "inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [1]}]}'


BINARY = request(OIP + b"data", b"application/octet-stream", inference_header_content_length=b"85")
LATE = request(b'{"parameters": {"a": "%b"}, "instances": [1]}' % (b"x" * 9999))
BY_ROWS = {"ai-platform", "tf-serving", "mlflow", "sagemaker"}


@pytest.mark.parametrize(
    ("asked", "formats"),
    [
        (request(b'{"instances": [1]}'), BY_ROWS),
        (request(b'{"instances": [1]}', b""), BY_ROWS),
        (LATE, BY_ROWS),
        (request(b'{"inputs": [1]}'), {"tf-serving", "mlflow"}),
        (request(OIP), {"oip"}),
        (BINARY, {"oip", "oip-binary", "raw", "torchserve"}),
        (request(b'{"dataframe_split": {}}'), {"mlflow"}),
        (request(b"1,2", b"text/csv"), {"sagemaker", "raw", "torchserve"}),
        (request(b"[1]\n", b"application/jsonlines"), {"sagemaker", "raw", "torchserve"}),
        (request(b"\xff\xd8", b"image/jpeg"), {"raw", "torchserve"}),
        (request(b"\xff\xd8", b"application/x-www-form-urlencoded"), {"raw", "torchserve"}),
        (request(b'{"data": 1}'), {"torchserve"}),
    ],
)
def test_a_request_is_told_by_its_headers_and_first_bytes(asked: Request, formats: set[str]) -> None:
    told = {name for name in FORMATS if format_named(name).speaks(asked)}
    assert told - {"sagemaker-csv", "sagemaker-jsonlines"} == formats


def body_for(format: str, batch: Batch, *, parameters: dict[str, Any] | None = None, **declared: Any) -> Any:
    return orjson.loads(format_named(format).write_call(Call(batch, parameters or {}), model(**declared)).body)


def test_parameters_are_written_beside_the_rows() -> None:
    rows = np.array([1])
    assert body_for("ai-platform", rows, parameters={"a": [1]}) == {"instances": [1], "parameters": {"a": [1]}}
    assert body_for("mlflow", rows, parameters={"a": 1}) == {"inputs": [1], "params": {"a": 1}}
    written = body_for("tf-serving", rows, parameters={"signature_name": "s", "other": 1})
    assert written == {"instances": [1], "signature_name": "s"}


@pytest.mark.parametrize(
    ("batch", "body"),
    [
        (
            {"a": np.array([1, 2]), "b": ["x", "y"]},
            {"dataframe_split": {"columns": ["a", "b"], "data": [[1, "x"], [2, "y"]]}},
        ),
        ({"a": np.array([[1, 2]]), "b": ["x"]}, {"inputs": {"a": [[1, 2]], "b": ["x"]}}),
        ([{"a": 1}, {"a": None}], {"dataframe_records": [{"a": 1}, {"a": None}]}),
        (np.array([[1.5, 2.5]]), {"inputs": [[1.5, 2.5]]}),
        (["a"], {"inputs": ["a"]}),
        ([b"\x00\x01"], {"inputs": ["AAE="]}),
    ],
)  # fmt: skip
def test_mlflow_is_sent_tables_where_values_have_names(batch: Batch, body: Any) -> None:
    assert body_for("mlflow", batch) == body


def test_mlflow_is_sent_the_columns_that_a_model_declares() -> None:
    written = body_for("mlflow", np.array([[1.5, 2.5]]), inputs={"a": "FP64", "b": "FP64"})
    assert written == {"dataframe_split": {"columns": ["a", "b"], "data": [[1.5, 2.5]]}}


def test_mlflow_reads_tables_and_tensors() -> None:
    mlflow = format_named("mlflow")
    table = {"index": [7, 8], "columns": ["a", "b"], "data": [[1, "x"], [2, "y"]]}
    call = mlflow.read_call(request(orjson.dumps({"dataframe_split": table, "params": {"p": 1}})))
    assert plain(call.batch) == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]
    assert call.parameters == {"p": 1}
    assert plain(mlflow.read_call(request(b'{"inputs": {"a": [[1], [2]]}}')).batch) == [{"a": [1]}, {"a": [2]}]
    assert plain(mlflow.read_answer(Message(b'{"predictions": {"a": [1, NaN]}}'), model())) == [{"a": 1.0}, {"a": None}]


def test_tf_serving_is_sent_and_answers_by_rows_or_by_columns() -> None:
    columns = {"a": np.array([1, 2]), "b": [b"\x00", b"\xff"]}
    assert body_for("tf-serving", columns) == {"inputs": {"a": [1, 2], "b": [{"b64": "AA=="}, {"b64": "/w=="}]}}
    tf = format_named("tf-serving")
    by_columns = tf.read_call(request(b'{"signature_name": "s", "inputs": {"a": [1, 2]}}'))
    assert by_columns.parameters == {"signature_name": "s"}
    assert plain(by_columns.batch) == [{"a": 1}, {"a": 2}]
    answered = tf.write_answer({"p": np.array([0.5]), "q": ["x"]}, by_columns, "m").body
    assert orjson.loads(answered) == {"outputs": {"p": [0.5], "q": ["x"]}}
    assert orjson.loads(tf.write_answer({"p": np.array([0.5])}, by_columns, "m").body) == {"outputs": [0.5]}
    by_rows = tf.read_call(request(b'{"instances": [{"a": 1}]}'))
    assert orjson.loads(tf.write_answer({"p": np.array([0.5])}, by_rows, "m").body) == {"predictions": [0.5]}
    two = tf.write_answer({"p": np.array([0.5]), "q": ["x"]}, by_rows, "m").body
    assert orjson.loads(two) == {"predictions": [{"p": 0.5, "q": "x"}]}


def test_large_inputs_of_tf_serving_are_one_array() -> None:
    array = np.arange(6000.0).reshape(2, 3000)
    call = format_named("tf-serving").read_call(request(orjson.dumps({"inputs": array.tolist()})))
    assert call.columns
    assert isinstance(call.batch, np.ndarray)
    assert np.array_equal(call.batch, array)


@pytest.mark.parametrize(
    ("row", "body", "content_type"),
    [
        (b"\x89PNG\r\n\x1a\n.", b"\x89PNG\r\n\x1a\n.", b"image/png"),
        (b"RIFF....WAVE", b"RIFF....WAVE", b"audio/wav"),
        (b"RIFF....WEBP", b"RIFF....WEBP", b"image/webp"),
        (b"\x00", b"\x00", b"application/octet-stream"),
        (Content.of(b"a", b"audio/own"), b"a", b"audio/own"),
        ("é", "é".encode(), b"text/plain; charset=utf-8"),
        ([1, "a"], b'[1,"a"]', b"application/json"),
        ({"data": b"\x00"}, b'{"data":{"b64":"AA=="}}', b"application/json"),
        (None, b"null", b"application/json"),
    ],
)
def test_torchserve_is_sent_one_row_in_its_own_type(row: Any, body: bytes, content_type: bytes) -> None:
    message = format_named("torchserve").write_call(Call([row]), model())
    assert (message.body, message.content_type) == (body, content_type)


@pytest.mark.parametrize(
    ("body", "content_type", "prediction"),
    [
        (b'{"cat": 0.5}', b"", {"cat": 0.5}),
        (b'{"cat": 0.5}', b"text/plain", {"cat": 0.5}),
        (b'{"cat": NaN}', b"application/json", {"cat": None}),
        (b"cat", b"", "cat"),
        (b"cat", b"text/plain", "cat"),
        (b"7", b"text/plain", "7"),
        (b"7", b"", 7),
        (b"\xff", b"", b"\xff"),
        (b"RIFF", b"audio/wav", b"RIFF"),
        (b"{", b"", "{"),
    ],
)
@pytest.mark.parametrize("format", ["torchserve", "raw"])
def test_the_prediction_of_one_row_is_read_by_its_type(
    format: str, body: bytes, content_type: bytes, prediction: Any
) -> None:
    assert plain(format_named(format).read_answer(Message(body, content_type), model())) == [prediction]


@pytest.mark.parametrize(("body", "content_type"), [(b"{", b"application/json"), (b"\xff", b"text/plain")])
def test_the_prediction_of_one_row_is_what_it_says_to_be(body: bytes, content_type: bytes) -> None:
    with pytest.raises(ModelServerGarbled):
        format_named("torchserve").read_answer(Message(body, content_type), model())


@pytest.mark.parametrize("row", [b"a", [b"a"], {"image_bytes": b"a"}, bytearray(b"a"), "a"])
def test_raw_takes_the_only_bytes_of_a_row(row: Any) -> None:
    assert format_named("raw").write_call(Call([row]), model()).body == b"a"


@pytest.mark.parametrize("row", [1, [1], {"a": b"a", "b": b"b"}, None])
def test_raw_refuses_rows_without_bytes(row: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"instances\[0\] is .* takes the bytes of a file"):
        format_named("raw").write_call(Call([row]), model())


@pytest.mark.parametrize("format", ["raw", "torchserve"])
def test_formats_of_one_row_refuse_several(format: str) -> None:
    with pytest.raises(InvalidArgument, match="There are 2 rows"):
        format_named(format).write_call(Call([b"a", b"b"]), model())


@pytest.mark.parametrize(
    ("content_type", "accept", "wanted", "body"),
    [
        (b"application/json", b"", b"application/json", b'{"predictions":[[0.5,1.0],[2.0,3.5]]}'),
        (b"text/csv", b"", b"text/csv", b"0.5,1.0\n2.0,3.5\n"),
        (b"text/csv; charset=utf-8", b"*/*", b"text/csv", b"0.5,1.0\n2.0,3.5\n"),
        (b"text/csv", b"application/json", b"application/json", b'{"predictions":[[0.5,1.0],[2.0,3.5]]}'),
        (b"application/x-jsonlines", b"", b"application/jsonlines", b"[0.5,1.0]\n[2.0,3.5]\n"),
    ],
)
def test_sagemaker_answers_in_the_type_that_is_accepted(
    content_type: bytes, accept: bytes, wanted: bytes, body: bytes
) -> None:
    sent = {b"application/json": b'{"instances": [[1, 2]]}', b"text/csv": b"1,2\n"}
    asked = request(sent.get(content_type.split(b";")[0], b"[1, 2]\n"), content_type, accept=accept)
    sagemaker = format_named("sagemaker")
    call = sagemaker.read_call(asked)
    assert plain(call.batch) == [[1, 2]]
    response = sagemaker.write_answer(np.array([[0.5, 1], [2, 3.5]]), call, "m")
    assert response.content_type == wanted
    assert response.body == body


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        (b"1,2\r\n3,4\r\n", [[1, 2], [3, 4]]),
        (b"1.5,\n,2", [[1.5, None], [None, 2]]),
        (b'a,1\n"b,c",2.5\n', [["a", 1], ["b,c", 2.5]]),
        (b"1\n2\n3", [[1], [2], [3]]),
        (b"nan,inf\n", [["nan", "inf"]]),
        (b"9223372036854775808\n", [[2**63]]),
        (b"1,2\n3\n", [[1, 2], [3]]),
        (b"\n\n", []),
    ],
)
def test_csv_is_read_without_a_header(body: bytes, rows: list[Any]) -> None:
    assert plain(format_named("sagemaker").read_call(request(body, b"text/csv")).batch) == rows
