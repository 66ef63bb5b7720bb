import pytest

from modelport.doctor.evidence import Purpose
from modelport.doctor.findings import Severity
from tests.doctor.living import cause, cause_code, codes, predicting, prediction

JSON = (("content-type", "application/json"),)


@pytest.mark.parametrize("purpose", [Purpose.SAMPLE, Purpose.SAFE])
@pytest.mark.parametrize(
    ("code", "body"),
    [
        ("", '{"predictions": [1, 2]}'),
        ("", '{"predictions": [[0.1, 0.9], [0.2, 0.8]], "model": "m"}'),
        ("", '{"predictions": ["NaN", null]}'),
        ("PREDICTIONS_MISSING", "[1, 2]"),
        ("PREDICTIONS_MISSING", '{"outputs": [1, 2]}'),
        ("PREDICTIONS_MISSING", '{"prediction": [1, 2]}'),
        ("PREDICTIONS_MISSING", '{"predictions": 3}'),
        ("PREDICTIONS_MISSING", '"{\\"predictions\\": [1, 2]}"'),
        ("PREDICTIONS_MISSING", "0.7"),
        ("PREDICTIONS_COUNT_MISMATCH", '{"predictions": [1]}'),
        ("PREDICTIONS_COUNT_MISMATCH", '{"predictions": [[1, 2]]}'),
        ("PREDICTIONS_COUNT_MISMATCH", '{"predictions": []}'),
        ("RESPONSE_NOT_JSON", "<html><body>ok</body></html>"),
        ("RESPONSE_NOT_JSON", "{'predictions': [1, 2]}"),
        ("RESPONSE_NOT_JSON", "[1. 2.]"),
        ("RESPONSE_NOT_JSON", ""),
        ("RESPONSE_HAS_NAN", '{"predictions": [NaN, 1.0]}'),
        ("RESPONSE_HAS_NAN", '{"predictions": [-Infinity, 1.0]}'),
    ],
)
def test_an_answer_proves_the_same_whatever_the_instances(code: str, body: str, purpose: Purpose) -> None:
    assert cause_code(predicting(prediction(200, body, purpose=purpose, headers=JSON))) == code


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("ndarray", "TypeError: Object of type ndarray is not JSON serializable"),
        ("float32", "TypeError: Object of type float32 is not JSON serializable"),
        (
            "ndarray",
            "pydantic_core._pydantic_core.PydanticSerializationError: Unable to serialize unknown type:"
            " <class 'numpy.ndarray'>",
        ),
        (
            "int64",
            "ValueError: [TypeError(\"'numpy.int64' object is not iterable\"),"
            " TypeError('vars() argument must have __dict__ attribute')]",
        ),
        ("BigInt", "TypeError: Do not know how to serialize a BigInt"),
    ],
)
def test_a_result_that_cannot_be_written_is_named_by_its_type(kind: str, words: str) -> None:
    log = ("Traceback (most recent call last):", '  File "/app/main.py", line 9, in predict', words)
    found = cause(predicting(prediction(500, "Internal Server Error", purpose=Purpose.SAFE), said=log))
    assert found is not None
    assert found.code == "RESPONSE_NOT_SERIALISABLE"
    assert f"({kind})" in found.summary


def test_a_server_that_refuses_to_write_nan_is_told_apart() -> None:
    log = (
        "Traceback (most recent call last):",
        '  File "/usr/lib/python3.11/json/encoder.py", line 258, in iterencode',
        "ValueError: Out of range float values are not JSON compliant",
    )
    assert cause_code(predicting(prediction(500, purpose=Purpose.SAFE), said=log)) == "RESPONSE_HAS_NAN"


def test_the_summary_says_what_came_instead() -> None:
    found = cause(predicting(prediction(200, '{"outputs": [1, 2]}')))
    assert found is not None
    assert "an object with `outputs` (TensorFlow Serving's column format)" in found.summary


def test_an_error_with_status_200_is_a_warning_where_the_instances_were_a_guess() -> None:
    body = '{"error": "bad rows"}'
    assert cause_code(predicting(prediction(200, body))) == "PREDICTIONS_MISSING"
    assert cause_code(predicting(prediction(200, body, purpose=Purpose.SAFE))) == ""


def test_json_with_another_content_type_is_advice() -> None:
    html = (("content-type", "text/html; charset=utf-8"),)
    evidence = predicting(prediction(200, '{"predictions": [1, 2]}', headers=html))
    assert (cause_code(evidence), codes(evidence)) == ("", {"RESPONSE_NOT_JSON"})


def test_an_answer_of_which_only_the_beginning_is_known_proves_nothing() -> None:
    long = prediction(200, '{"predictions": [1, 2')
    cut = type(long)(long.purpose, long.instances, type(long.exchange)(**{**vars(long.exchange), "size_bytes": None}))
    assert codes(predicting(cut)) == set()


def test_one_list_too_much_is_recognised() -> None:
    found = cause(predicting(prediction(200, '{"predictions": [[1, 2]]}')))
    assert found is not None
    assert found.remedy.text == "Answer the inner list: `predictions[0]`"
    assert found.severity is Severity.ERROR


def test_predictions_are_counted_in_every_request_that_worked() -> None:
    one = prediction(200, '{"predictions": [1]}', instances=[[1.0]])
    assert cause_code(predicting(one, prediction(200, '{"predictions": [1]}'))) == "PREDICTIONS_COUNT_MISMATCH"
