import json
from dataclasses import replace

import pytest

from modelport.core.replicas import Exit
from modelport.doctor.evidence import Evidence, Phase, Purpose
from modelport.doctor.exchange import CLOSED
from modelport.doctor.findings import Severity
from tests.doctor.living import PREDICT_ROUTE, asked, cause, cause_code, codes, lines, predicting, prediction

SAFE, BARE = Purpose.SAFE, Purpose.BARE
FLASK_404 = "<!doctype html>\n<html lang=en>\n<title>404 Not Found</title>\n<h1>Not Found</h1>"


def raised(*last: str, source: str = "    result = model.predict(data)") -> tuple[str, ...]:
    return (
        f"[2026-11-21 11:59:55,100] ERROR in app: Exception on {PREDICT_ROUTE} [POST]",
        "Traceback (most recent call last):",
        '  File "/app/main.py", line 20, in predict',
        source,
        *last,
    )


def failing(*last: str, purpose: Purpose = Purpose.SAMPLE, **more: str) -> Evidence:
    return predicting(prediction(500, "Internal Server Error", purpose=purpose), said=raised(*last, **more))


def missing(*where: str) -> str:
    return json.dumps({"detail": [{"type": "missing", "loc": where, "msg": "Field required", "input": {}}]})


WRAPPED_SKLEARN = (
    "ValueError: Expected 2D array, got scalar array instead:",
    "array={'instances': [[1.0, 2.0], [3.0, 4.0]]}.",
    "Reshape your data either using array.reshape(-1, 1) if your data has a single feature",
)
NO_MODEL = "AttributeError: 'NoneType' object has no attribute 'predict'"
LIST_WANTED = '{"detail":[{"type":"list_type","loc":["body"],"msg":"Input should be a valid list","input":{}}]}'


@pytest.mark.parametrize("purpose", [Purpose.SAMPLE, SAFE])
@pytest.mark.parametrize(
    ("code", "status", "body", "log"),
    [
        ("PREDICT_ROUTE_NOT_FOUND", 404, FLASK_404, ()),
        ("PREDICT_ROUTE_NOT_FOUND", 404, "Cannot POST /v1/models/m/versions/v:predict", ()),
        ("PREDICT_METHOD_NOT_ALLOWED", 405, '{"detail":"Method Not Allowed"}', ()),
        ("PREDICT_METHOD_NOT_ALLOWED", 501, "<p>Message: Unsupported method ('POST').</p>", ()),
        ("PREDICT_UNAUTHORIZED", 401, '{"detail":"Not authenticated"}', ()),
        ("PREDICT_UNAUTHORIZED", 403, "<h1>Forbidden</h1><p>CSRF verification failed. Request aborted.</p>", ()),
        ("PREDICT_REDIRECTS", 307, "", ()),
        ("CONTENT_TYPE_REFUSED", 415, "<h1>Unsupported Media Type</h1>", ()),
        ("INSTANCES_NOT_UNWRAPPED", 500, "", raised(*WRAPPED_SKLEARN)),
        ("INSTANCES_NOT_UNWRAPPED", 500, "", raised("KeyError: 0")),
        ("INSTANCES_NOT_UNWRAPPED", 500, "", raised("TypeError: unhashable type: 'slice'")),
        (
            "INSTANCES_NOT_UNWRAPPED",
            400,
            '{"error": "float() argument must be a string or a real number, not \'dict\'"}',
            (),
        ),
        ("INSTANCES_NOT_UNWRAPPED", 500, "<pre>TypeError: req.body.map is not a function<br> at /app/s.js:9</pre>", ()),
        ("INSTANCES_NOT_UNWRAPPED", 422, LIST_WANTED, ()),
        ("PARAMETERS_REQUIRED", 422, missing("body", "parameters"), ()),
        ("PARAMETERS_REQUIRED", 500, "", raised("KeyError: 'parameters'")),
        ("REQUEST_FORMAT_MISMATCH", 422, missing("body", "text"), ()),
        ("REQUEST_FORMAT_MISMATCH", 422, missing("query", "text"), ()),
        ("REQUEST_FORMAT_MISMATCH", 500, "", raised("KeyError: 'x'", source="    rows = request.get_json()['x']")),
        ("HEALTHY_BUT_CANNOT_PREDICT", 500, "", raised(NO_MODEL)),
        ("HEALTHY_BUT_CANNOT_PREDICT", 500, "", raised("NameError: name 'model' is not defined")),
        ("HEALTHY_BUT_CANNOT_PREDICT", 503, '{"error": "Model is not loaded"}', ()),
        (
            "HEALTHY_BUT_CANNOT_PREDICT",
            500,
            "TypeError: Cannot read properties of undefined (reading 'predict')",
            (),
        ),
        (
            "RESPONSE_NOT_SERIALISABLE",
            500,
            "",
            raised("TypeError: Object of type ndarray is not JSON serializable", source="    return jsonify(result)"),
        ),
    ],
)
def test_a_prediction_that_fails_proves_the_same_with_a_sample_and_with_a_guess(
    code: str, status: int, body: str, log: tuple[str, ...], purpose: Purpose
) -> None:
    assert cause_code(predicting(prediction(status, body, purpose=purpose), said=log)) == code


def test_rows_that_work_as_a_bare_list_prove_that_instances_are_not_unwrapped() -> None:
    evidence = predicting(prediction(400, "bad input", purpose=SAFE), prediction(200, "[1, 2]", purpose=BARE))
    found = cause(evidence)
    assert found is not None
    assert found.code == "INSTANCES_NOT_UNWRAPPED"
    assert found.evidence[-1] == "predict: the same rows as a bare list → 200"


def test_rows_that_are_objects_do_not_prove_that_instances_are_not_unwrapped() -> None:
    refused = prediction(500, instances=[{"age": 3}, {"age": 4}])
    evidence = predicting(
        refused, said=raised("TypeError: float() argument must be a string or a real number, not 'dict'")
    )
    assert cause_code(evidence) == "PREDICT_FAILS"


@pytest.mark.parametrize(
    "words",
    [
        "ValueError: X has 2 features, but LogisticRegression is expecting 4 features as input.",
        "RuntimeError: mat1 and mat2 shapes cannot be multiplied (2x2 and 4x3)",
        "ValueError: columns are missing: {'age'}",
        "KeyError: \"None of [Index(['age'], dtype='object')] are in the [columns]\"",
    ],
)
def test_a_shape_that_does_not_fit_is_an_error_of_a_sample_and_advice_for_a_guess(words: str) -> None:
    assert cause_code(failing(words)) == "INPUT_SHAPE_MISMATCH"
    assert cause_code(failing(words, purpose=SAFE)) == ""
    assert codes(failing(words, purpose=SAFE)) == {"INPUT_SHAPE_MISMATCH"}


def test_a_field_inside_an_instance_is_a_matter_of_its_shape() -> None:
    evidence = predicting(prediction(422, missing("body", "instances", "0", "age"), purpose=SAFE))
    assert codes(evidence) == {"INPUT_SHAPE_MISMATCH"}


@pytest.mark.parametrize(("status", "body"), [(400, "bad request"), (422, "no"), (500, "Internal Server Error")])
def test_a_guess_that_fails_for_no_known_reason_is_no_error(status: int, body: str) -> None:
    assert codes(predicting(prediction(status, body, purpose=SAFE))) == {"PREDICT_NOT_TRIED"}


def test_a_sample_that_fails_for_no_known_reason_is_told_with_the_exception_and_its_place() -> None:
    found = cause(failing("ZeroDivisionError: division by zero"))
    assert found is not None
    assert (found.code, found.cause) == ("PREDICT_FAILS", "ZeroDivisionError: division by zero")
    assert found.remedy.text == 'Repair what raises: File "/app/main.py", line 20, in predict'


def test_an_exception_of_long_before_is_not_taken_for_that_of_the_prediction() -> None:
    old = lines(("Traceback (most recent call last):", '  File "/a.py", line 1, in f', NO_MODEL), ago_s=60)
    assert cause_code(predicting(prediction(500, "oops"), log=old)) == "PREDICT_FAILS"


def test_a_guess_after_which_another_works_is_no_failure() -> None:
    evidence = predicting(prediction(500, purpose=SAFE), prediction(200, '{"predictions": [1, 2]}', purpose=SAFE))
    assert codes(evidence) == set()


def test_a_load_that_failed_before_explains_predictions_that_fail() -> None:
    before = lines(("WARNING: failed to load model /model/model.pkl: EOFError",), ago_s=18)
    found = cause(predicting(prediction(500, "Internal Server Error", purpose=SAFE), log=before))
    assert found is not None
    assert found.code == "HEALTHY_BUT_CANNOT_PREDICT"
    assert found.evidence[-1] == "log: WARNING: failed to load model /model/model.pkl: EOFError"


def test_the_route_that_takes_predictions_is_named_and_set() -> None:
    sweep = (asked("/predict", 405, method="OPTIONS", headers=(("allow", "POST"),)),)
    found = cause(predicting(prediction(404, FLASK_404, purpose=SAFE), sweep=sweep))
    assert found is not None
    assert found.remedy.patch == (("add", "/routes/predict", "/predict"),)


def test_a_404_of_a_route_that_exists_is_about_something_else() -> None:
    sweep = (asked(PREDICT_ROUTE, 405, method="OPTIONS", headers=(("allow", "POST"),)),)
    assert (
        cause_code(predicting(prediction(404, '{"error": "Model m does not exist"}'), sweep=sweep)) == "PREDICT_FAILS"
    )


def test_a_route_for_get_alone_is_seen_through_a_404() -> None:
    sweep = (asked(PREDICT_ROUTE, 200, method="OPTIONS", headers=(("allow", "GET,HEAD"),)),)
    evidence = predicting(prediction(404, f"Cannot POST {PREDICT_ROUTE}", purpose=SAFE), sweep=sweep)
    assert cause_code(evidence) == "PREDICT_METHOD_NOT_ALLOWED"


def test_a_redirect_by_a_slash_is_repaired_by_the_spec() -> None:
    target = (("location", f"http://10.88.0.7:8080{PREDICT_ROUTE}/"),)
    found = cause(predicting(prediction(307, purpose=SAFE, headers=target)))
    assert found is not None
    assert found.remedy.patch == (("add", "/routes/predict", f"{PREDICT_ROUTE}/"),)


def test_instances_that_work_with_parameters_only_prove_that_these_are_required() -> None:
    evidence = predicting(
        prediction(500),
        prediction(500, purpose=Purpose.NO_PARAMETERS),
        prediction(200, '{"predictions": [1, 2]}', purpose=Purpose.WITH_PARAMETERS),
    )
    assert cause_code(evidence) == "PARAMETERS_REQUIRED"


def test_a_server_that_ends_while_it_predicts_is_told() -> None:
    cut = prediction(None, error=CLOSED)
    found = cause(predicting(cut, exits=(Exit(None, signal=11),), phase=Phase.PREDICT))
    assert found is not None
    assert (found.code, found.evidence[-1]) == ("CRASHES_WHILE_PREDICTING", "exit: ended by signal 11")


def test_a_worker_that_dies_while_it_predicts_is_told() -> None:
    cut = prediction(None, error=CLOSED)
    log = ("[2026-11-21 11:59:55 +0000] [1] [ERROR] Worker (pid:7) was sent SIGSEGV!",)
    assert cause_code(predicting(cut, said=log)) == "CRASHES_WHILE_PREDICTING"


def test_a_prediction_without_an_answer_is_an_error_of_a_sample_and_a_warning_for_a_guess() -> None:
    late = {"error": "no answer within 60 s", "latency_s": 60.0}
    assert cause_code(predicting(prediction(None, **late))) == "PREDICT_TIMES_OUT"
    guess = predicting(prediction(None, purpose=SAFE, **late))
    assert (cause_code(guess), codes(guess)) == ("", {"PREDICT_TIMES_OUT"})


def test_remedies_are_lines_of_the_recognised_stack() -> None:
    node = prediction(500, "TypeError: req.body.map is not a function", headers=(("x-powered-by", "Express"),))
    found = cause(predicting(node, log=()))
    assert found is not None
    assert found.remedy.text == "const { instances } = request.body"
    assert found.severity is Severity.ERROR


@pytest.mark.parametrize("purpose", [Purpose.SAMPLE, SAFE])
def test_a_server_that_fails_with_more_than_one_instance_is_told(purpose: Purpose) -> None:
    one = prediction(200, '{"predictions": [1]}', purpose=purpose, instances=[[1.0]])
    found = cause(predicting(one, prediction(500, "oops", purpose=purpose)))
    assert found is not None
    assert found.summary == "One instance is predicted, 2 of the same give 500."


def test_parameters_that_only_the_repaired_sample_had_prove_that_these_are_required() -> None:
    works = prediction(200, '{"predictions": [1, 2]}', purpose=SAFE)
    sent = '{"instances": [[1.0], [2.0]], "parameters": {}}'
    works = replace(works, exchange=replace(works.exchange, sent=sent))
    evidence = predicting(prediction(500, purpose=SAFE), works, prediction(500, purpose=Purpose.NO_PARAMETERS))
    assert cause_code(evidence) == "PARAMETERS_REQUIRED"


TRACEBACK = ("Traceback (most recent call last):", '  File "/app/app.py", line 7, in predict')


def test_a_failed_import_is_the_containers_fault_whatever_was_sent() -> None:
    said = (*TRACEBACK, "    import torch", "ModuleNotFoundError: No module named 'torch'")
    assert cause_code(predicting(prediction(500, purpose=SAFE), said=said)) == "MODULE_MISSING"


def test_a_file_that_a_guess_named_is_nobodys_fault() -> None:
    said = (*TRACEBACK, "    open(row)", "FileNotFoundError: [Errno 2] No such file or directory: 'a'")
    assert cause_code(predicting(prediction(500, purpose=SAFE), said=said)) == ""
