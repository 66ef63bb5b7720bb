"""Errors as callers of each format expect them, and found in what servers of each kind answer."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from modelport.core.errors import InvalidArgument, ModelServerDown, RouteNotFound, StepTimeout
from modelport.server.failures import RowFailure
from modelport.server.listener.formats.base import Failure, Message
from modelport.server.listener.formats.known import FORMATS, format_named
from tests.server.listener.formats.messages import answer

BAD = InvalidArgument("The rows are bad", hint="Send others")
SAID = "The rows are bad. Send others"


@pytest.mark.parametrize(
    ("format", "error", "status", "body"),
    [
        ("oip", BAD, 400, {"error": SAID}),
        ("oip-binary", BAD, 400, {"error": SAID}),
        ("torchserve", BAD, 400, {"code": 400, "type": "BadRequestException", "message": SAID}),
        ("torchserve", ModelServerDown("a"), 503, {"code": 503, "type": "ServiceUnavailableException", "message": "a"}),
        ("torchserve", RuntimeError("a"), 500, {"code": 500, "type": "InternalServerException"}),
        ("tf-serving", BAD, 400, {"error": SAID}),
        ("mlflow", BAD, 400, {"error_code": "BAD_REQUEST", "message": SAID}),
        ("mlflow", RouteNotFound("a"), 404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "a"}),
        ("sagemaker", BAD, 400, {"code": "ValidationError", "message": SAID}),
        ("sagemaker", StepTimeout("a"), 504, {"code": "ModelError", "message": "a"}),
    ],
)
def test_a_failure_has_the_words_of_the_format(
    format: str, error: Exception, status: int, body: dict[str, Any]
) -> None:
    response = format_named(format).write_failure(error)
    assert response.status == status
    written = orjson.loads(response.body)
    assert written | body == written


@pytest.mark.parametrize("format", ["ai-platform", "raw"])
def test_a_failure_is_the_envelope_of_google_where_no_other_is_known(format: str) -> None:
    response = format_named(format).write_failure(BAD)
    assert response.status == 400
    assert orjson.loads(response.body)["error"]["message"] == "The rows are bad"


@pytest.mark.parametrize("format", FORMATS)
def test_a_failure_that_is_written_is_read(format: str) -> None:
    one = format_named(format)
    assert "The rows are bad" in one.read_failure(answer(one.write_failure(BAD))).words
    assert "half \\ud800" in one.read_failure(answer(one.write_failure(InvalidArgument("half \ud800")))).words
    assert "instances[3]" in one.read_failure(answer(one.write_failure(RowFailure(3, ValueError("no"))))).words


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error": "no such model"}', "no such model"),  # Triton, TensorFlow Serving, KServe
        (b'{"code": 404, "type": "ModelNotFoundException", "message": "Model not found: m"}', "Model not found: m"),
        (b'{"error_code": "BAD_REQUEST", "message": "no"}', "no"),  # MLflow
        (b'{"error": {"code": 400, "message": "bad", "status": "INVALID_ARGUMENT"}}', "bad"),
        (b'{"detail": "Model with name m does not exist."}', "Model with name m does not exist."),
        (b'{"detail": [{"loc": ["body", "inputs"], "msg": "field required"}]}', "body.inputs: field required"),
        (b'{"Message": "a"}', "a"),
        (b'"a"', "a"),
        (b"<html>", ""),
        (b"", ""),
        (b'{"error": null, "message": 7}', ""),
    ],
)
def test_what_servers_say_is_found(body: bytes, said: str) -> None:
    for one in FORMATS:
        assert format_named(one).read_failure(Message(body, status=400)) == Failure(400, said)


def test_a_plain_text_of_a_server_is_what_it_says() -> None:
    assert format_named("raw").read_failure(Message(b"too large", b"text/plain")).words == "too large"


@pytest.mark.parametrize(
    ("trace", "said"),
    [
        ('Traceback:\n  File "x"\nValueError: bad rows\n', "It cannot (ValueError: bad rows)"),
        ("Traceback:\nIt cannot", "It cannot"),
        ("", "It cannot"),
        (7, "It cannot"),
    ],
)
def test_mlflow_tells_only_in_a_trace_what_the_model_said(trace: object, said: str) -> None:
    body = orjson.dumps({"error_code": "BAD_REQUEST", "message": "It cannot", "stack_trace": trace})
    assert format_named("mlflow").read_failure(Message(body, status=400)) == Failure(400, said)


@pytest.mark.parametrize(("kind", "status"), [("InternalServerException", 500), ("ServiceUnavailableException", 503)])
def test_torchserve_says_503_of_a_handler_that_raises_and_means_500(kind: str, status: int) -> None:
    body = orjson.dumps({"code": 503, "type": kind, "message": "Prediction failed"})
    assert format_named("torchserve").read_failure(Message(body, status=503)) == Failure(status, "Prediction failed")
