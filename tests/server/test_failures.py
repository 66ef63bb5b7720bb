from typing import Any

import orjson
import pytest

from modelport.core.errors import InvalidArgument, Unavailable, Violation
from modelport.server.failures import RowFailure, response


def error_of(error: Exception) -> dict[str, Any]:
    answer = response(error)
    body: dict[str, Any] = orjson.loads(answer.body)["error"]
    assert body["code"] == answer.status
    return body


class Broken(RuntimeError):
    def __str__(self) -> str:
        raise KeyError("no text")


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (ValueError("4 features, not 5"), 400, "The model refuses the instances: ValueError: 4 features, not 5"),
        (TypeError("x"), 400, "TypeError: x"),
        (KeyError("age"), 400, "KeyError: 'age'"),
        (IndexError("x"), 400, "IndexError: x"),
        (RuntimeError("x"), 500, "The model failed: RuntimeError: x"),
        (MemoryError(), 429, "The memory does not suffice"),
        (Broken(), 500, "Broken: (its text cannot be had: KeyError)"),
        (RuntimeError("\ud800"), 500, "\\ud800"),
        (Unavailable("Not ready"), 503, "Not ready"),
    ],
)
def test_an_exception_is_judged_by_its_type(error: Exception, code: int, text: str) -> None:
    body = error_of(error)
    assert body["code"] == code
    assert text in body["message"]


def test_the_answer_has_the_shape_of_googles_apis() -> None:
    error = InvalidArgument("No", hint="Do", violations=(Violation("instances[0].a", "missing"),), row="0")
    assert error_of(error) == {
        "code": 400,
        "message": "No",
        "status": "INVALID_ARGUMENT",
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "INVALID_ARGUMENT",
                "domain": "modelport.server",
                "metadata": {"row": "0", "hint": "Do"},
            },
            {
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "fieldViolations": [{"field": "instances[0].a", "description": "missing"}],
            },
        ],
    }


def test_a_long_text_of_a_library_is_cut() -> None:
    assert len(error_of(ValueError("x" * 100_000))["message"]) < 2100


def test_the_row_at_fault_is_named() -> None:
    body = error_of(RowFailure(3, ValueError("no such colour")))
    assert body["message"] == "instances[3]: The model refuses the instances: ValueError: no such colour"
    assert body["details"][0]["metadata"]["row"] == "3"
    assert error_of(RowFailure(3, RuntimeError("x")))["code"] == 500


def test_a_row_that_names_itself_gets_its_number_in_the_request() -> None:
    alone = InvalidArgument("instances[0] lacks `a`", row="0", violations=(Violation("instances[0].a", "missing"),))
    body = error_of(RowFailure(7, alone))
    assert body["message"] == "instances[7] lacks `a`"
    assert body["details"][0]["metadata"]["row"] == "7"
    assert body["details"][1]["fieldViolations"] == [{"field": "instances[7].a", "description": "missing"}]
