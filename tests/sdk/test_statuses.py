import pytest

from modelport.core import errors
from modelport.core.errors import (
    Code,
    Error,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    ModelNotFound,
    PayloadTooLarge,
    Unavailable,
    VersionNotReady,
    Violation,
)
from modelport.sdk.statuses import error_from_response, error_from_status, status_document


def subclasses(root: type[Error]) -> list[type[Error]]:
    return [cls for one in root.__subclasses__() for cls in (one, *subclasses(one))]


@pytest.mark.parametrize("cls", [cls for cls in subclasses(Error) if cls.__module__ == errors.__name__])
def test_every_error_comes_back_as_its_own_class(cls: type[Error]) -> None:
    original = cls.__new__(cls)
    Error.__init__(original, "What is", hint="Do this", violations=(Violation("a.b", "is wrong"),), key="value")

    back = error_from_status(status_document(original)["error"])

    assert type(back) is cls
    assert back.status() == original.status()


def test_an_unknown_reason_is_kept_and_caught_by_its_code() -> None:
    status = {
        "code": 9,
        "message": "listens on loopback",
        "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "LISTENS_ON_LOOPBACK"}],
    }

    error = error_from_status(status)

    assert isinstance(error, FailedPrecondition)
    assert error.reason == "LISTENS_ON_LOOPBACK"
    assert FailedPrecondition.reason == "FAILED_PRECONDITION"


def test_the_number_of_an_operation_error_is_a_grpc_code() -> None:
    assert error_from_status({"code": 5, "message": "gone"}).code is Code.NOT_FOUND
    assert error_from_status({"code": 404, "message": "gone"}).code is Code.NOT_FOUND
    assert error_from_status({"message": "?"}).code is Code.INTERNAL


def test_a_message_of_a_class_with_its_own_wording_is_kept() -> None:
    status = status_document(ModelNotFound("projects/p/models/m"))["error"]

    assert error_from_status(status).message == "Model `projects/p/models/m` does not exist"


@pytest.mark.parametrize(
    ("http_status", "body", "cls", "message"),
    [
        (422, b'{"detail":"no"}', InvalidArgument, 'The answer is 422 Unprocessable Entity: {"detail":"no"}'),
        (500, b"", Internal, "The answer is 500 Internal Server Error, without a body"),
        (503, b"<html>", Unavailable, "The answer is 503 Service Unavailable: <html>"),
        (413, b"big", PayloadTooLarge, "The answer is 413 Request Entity Too Large: big"),
        (400, b'{"error":"as the old service wrote it"}', InvalidArgument, "as the old service wrote it"),
        (418, b"[]", InvalidArgument, "The answer is 418 I'm a Teapot: []"),
        (599, b"\xff", Internal, "The answer is 599: �"),
    ],
)
def test_an_answer_of_a_container_is_quoted(http_status: int, body: bytes, cls: type[Error], message: str) -> None:
    error = error_from_response(http_status, body)

    assert type(error) is cls
    assert message in error.message
    assert error.metadata == {"httpStatus": str(http_status)}


def test_a_long_answer_is_cut() -> None:
    assert len(error_from_response(500, b"x" * 10_000).message) < 600


def test_an_answer_in_the_shape_of_the_api_is_read() -> None:
    body = b'{"error": {"code": 400, "status": "FAILED_PRECONDITION", "message": "not yet", "details": [' + (
        b'{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "VERSION_NOT_READY"}]}}'
    )

    assert type(error_from_response(400, body)) is VersionNotReady
