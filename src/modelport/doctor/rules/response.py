"""Rules for predictions that are answered, with something that the contract does not allow."""

from __future__ import annotations

import json
import re
from typing import Any

from modelport.doctor import trials
from modelport.doctor.answers import predicted
from modelport.doctor.evidence import Evidence, Prediction
from modelport.doctor.findings import Severity
from modelport.doctor.rule import Found, Rule, rule
from modelport.doctor.stacks import Stack, recognise

_NOT_SERIALISABLE = (
    r"Object of type '?(?P<type>\w+)'? is not JSON serializable",
    r"Unable to serialize unknown type: <class '(?P<type>[\w.]+)'>",
    r"'(?P<type>numpy\.\w+|Tensor|EagerTensor|Timestamp|NAType|Decimal)' object is not iterable",
    r"Type is not JSON serializable: (?P<type>[\w.]+)",
    r"TypeError: Do not know how to serialize a (?P<type>BigInt)",
    r"(?P<type>Tensor|ndarray) is not JSON serializable",
    r"cannot convert dictionary update sequence element .*vars\(\) argument must have __dict__ attribute",
)
_NAN_REFUSED = (
    r"Out of range float values are not JSON compliant",
    r"cannot serialize NaN|nan is not JSON compliant",
)
_NAN_TOKEN = re.compile(r"(?<![\w\"])(?:-?Infinity|NaN|nan|-?inf)(?![\w\"])")
_OUTER = {
    "outputs": "TensorFlow Serving's column format",
    "prediction": "the singular",
    "data": "a format of the container's own",
    "result": "a format of the container's own",
    "results": "a format of the container's own",
    "output": "a format of the container's own",
}


@rule("RESPONSE_NOT_SERIALISABLE")
def response_not_serialisable(evidence: Evidence) -> Found | None:
    """The model predicts, and its result cannot be written as JSON.

    Symptom: predictions are answered with 500; the log shows `TypeError: Object of type ndarray is not JSON
    serializable` (also float32, int64, Timestamp), `PydanticSerializationError: Unable to serialize unknown type:
    <class 'numpy.ndarray'>`, or with FastAPI `ValueError: [TypeError("'numpy.int64' object is not iterable"),
    TypeError('vars() argument must have __dict__ attribute')]`.

    Cause: numpy, pandas and torch have number types of their own, which JSON writers do not know.

    Proof: the exception that came with the prediction.

    Fix: make them plain before answering: `predictions.tolist()`, `float(value)`, `int(value)`,
    `tensor.detach().cpu().tolist()`.
    """
    failed = trials.failing(evidence)
    told = trials.said(evidence, failed, *_NOT_SERIALISABLE) if failed is not None else None
    if failed is None or told is None:
        return None
    kind = (told.groupdict().get("type") or "ndarray").rpartition(".")[2]
    fix = {
        "ndarray": 'return {"predictions": predictions.tolist()}',
        "Tensor": 'return {"predictions": predictions.detach().cpu().tolist()}',
        "EagerTensor": 'return {"predictions": predictions.numpy().tolist()}',
        "DataFrame": 'return {"predictions": predictions.to_dict("records")}',
        "Series": 'return {"predictions": predictions.tolist()}',
        "BigInt": "Number(value)",
    }.get(kind, 'return {"predictions": [value.item() for value in predictions]}   (or `float(value)`, `int(value)`)')
    return Found(
        summary=f"The model predicts, and its result ({kind}) cannot be written as JSON.",
        cause=f"{kind} is no type that JSON has.",
        remedy=fix,
        evidence=trials.prediction_lines(evidence, failed),
    )


@rule("RESPONSE_HAS_NAN")
def response_has_nan(evidence: Evidence) -> Found | None:
    """The answer holds NaN or Infinity, which JSON does not have.

    Symptom: clients fail with `Unexpected token N in JSON at position 17` or `invalid JSON`, while Python's own parser
    reads it; or predictions are answered with 500 `Out of range float values are not JSON compliant` (FastAPI).

    Cause: the model gives NaN for some rows, from missing values or a division by zero, and Python's `json.dumps`
    writes it as it is.

    Proof: the answer has the token where a value belongs, and a strict parser refuses it; or the exception says so.

    Fix: answer null in its place: `[None if math.isnan(value) else value for value in predictions]`.
    """
    failed = trials.failing(evidence)
    told = trials.said(evidence, failed, *_NAN_REFUSED) if failed is not None else None
    fix = '{"predictions": [value if math.isfinite(value) else None for value in predictions]}'
    if failed is not None and told is not None:
        return Found(
            summary="The predictions hold NaN or Infinity, which cannot be written as JSON.",
            cause="The model gives values that are no numbers, and the server refuses to write them.",
            remedy=fix,
            evidence=trials.prediction_lines(evidence, failed),
        )
    answered = trials.answered(evidence)
    body = trials.whole_body(answered) if answered is not None else None
    if answered is None or body is None or not _is_json(body) or _is_strict_json(body):
        return None
    token = _NAN_TOKEN.search(body)
    return Found(
        summary=f"The answer holds {token[0] if token else 'NaN'}, which is no JSON.",
        cause="Python writes values that are no numbers as they are, and other languages cannot read them.",
        remedy=fix,
        evidence=trials.prediction_lines(evidence, answered),
    )


@rule("RESPONSE_NOT_JSON")
def response_not_json(evidence: Evidence) -> Found | None:
    """A prediction is answered with 200 and something else than JSON.

    Symptom: clients fail with `Expecting value: line 1 column 1 (char 0)` or `Unexpected token < in JSON at position
    0`; the answer is a page, plain text, Python's own notation with single quotes, or nothing.

    Cause: the handler answers text, as with `return str(predictions)`; or the route is that of a page; or an error is
    shown as a page with status 200.

    Proof: the status is 200, and the body cannot be read as JSON.

    Fix: `return jsonify(predictions=predictions.tolist())` (Flask), `return {"predictions": [...]}` (FastAPI),
    `response.json({predictions})` (Express).
    """
    answered = trials.answered(evidence)
    body = trials.whole_body(answered) if answered is not None else None
    if answered is None or body is None:
        return None
    kind = answered.exchange.header("content-type").partition(";")[0].strip()
    if _is_json(body):
        if not kind or kind.endswith("json"):
            return None
        return Found(
            summary=f"The answer is JSON and says that it is {kind}.",
            cause="The handler answers text that happens to be JSON; many clients go by the content type.",
            remedy=_json_line(evidence),
            evidence=(*trials.prediction_lines(evidence, answered), f"answer: content-type: {kind}"),
            severity=Severity.ADVICE,
        )
    start = body.lstrip()
    what = (
        "nothing"
        if not start
        else "a page of HTML"
        if start.startswith("<")
        else "Python's own notation, not JSON"
        if re.match(r"[\[{(]", start)
        else "text"
    )
    return Found(
        summary=f"The prediction is answered with {answered.exchange.status} and {what}.",
        cause=f"The answer has to be JSON; it is {kind or 'without a content type'}.",
        remedy=_json_line(evidence),
        evidence=trials.prediction_lines(evidence, answered),
    )


@rule("PREDICTIONS_MISSING")
def predictions_missing(evidence: Evidence) -> Found | None:
    """The answer is JSON without a list under `predictions`.

    Symptom: the container answers 200, and clients fail: `KeyError: 'predictions'`, "Invalid response from prediction
    server - the response field predictions is missing" (Vertex AI).

    Cause: the handler answers a bare list (as the corrected example of a well-known guide to custom containers does),
    or has another name for it: `prediction`, `outputs`, `result`; or it answers errors with status 200.

    Proof: the status is 200, the body is JSON, and there is no list under `predictions`.

    Fix: `return jsonify(predictions=predictions.tolist())`. TorchServe: `service_envelope=json` in config.properties;
    MLflow: `PREDICTIONS_WRAPPER_ATTR_NAME=predictions`.
    """
    answered = trials.answered(evidence)
    body = trials.whole_body(answered) if answered is not None else None
    if answered is None or body is None or not _is_json(body):
        return None
    document = json.loads(body)
    if isinstance(document, dict) and isinstance(document.get("predictions"), list):
        return None
    complains = isinstance(document, dict) and bool({"error", "errors", "detail", "exception"} & document.keys())
    return Found(
        summary=f"The answer has no list under `predictions`: it is {_described(document)}.",
        cause="The code behind the predict route failed, and says so with status 200."
        if complains
        else 'The contract is {"predictions": [...]}, one for each instance.',
        remedy="Answer errors with status 500, and repair what failed" if complains else _json_line(evidence),
        evidence=trials.prediction_lines(evidence, answered),
        severity=Severity.WARNING if complains and not trials.proves(answered) else None,
    )


@rule("PREDICTIONS_COUNT_MISMATCH")
def predictions_count_mismatch(evidence: Evidence) -> Found | None:
    """There are more or fewer predictions than instances.

    Symptom: results of a batch are assigned to the wrong rows, or a client finds fewer results than rows.

    Cause: the handler predicts for the first row only, flattens the rows or their results, leaves out rows that it
    cannot treat, or wraps the whole result in one more list.

    Proof: the length of `predictions` differs from the number of instances that were sent.

    Fix: one prediction for each instance, in their order: `[predict(row) for row in instances]`, null for a row that
    cannot be treated.
    """
    counted = [(one, _predictions(one)) for one in trials.tried(evidence)]
    wrong = [(one, found) for one, found in counted if found is not None and len(found) != one.instances]
    if not wrong:
        return None
    answered, predictions = wrong[0]
    wrapped = len(predictions) == 1 and isinstance(predictions[0], list) and len(predictions[0]) == answered.instances
    return Found(
        summary=f"{answered.instances} instances give {len(predictions)} predictions.",
        cause="The whole result is wrapped in one more list." if wrapped else "Each instance must have its prediction.",
        remedy="Answer the inner list: `predictions[0]`"
        if wrapped
        else 'Answer one for each instance, in order: `{"predictions": [predict(row) for row in instances]}`',
        evidence=trials.prediction_lines(evidence, answered),
    )


def _predictions(prediction: Prediction) -> list[Any] | None:
    """Return what is under `predictions` in an answer with status 200."""
    body = trials.whole_body(prediction)
    if prediction.exchange.status != 200 or body is None or not _is_json(body):
        return None
    document = json.loads(body)
    return predicted(body) if isinstance(document, dict) and "predictions" in document else None


def _is_json(body: str) -> bool:
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True


def _is_strict_json(body: str) -> bool:
    def refuse(token: str) -> Any:
        raise ValueError(token)

    try:
        json.loads(body, parse_constant=refuse)
    except ValueError:
        return False
    return True


def _described(document: Any) -> str:
    if isinstance(document, list):
        return "a bare list"
    if isinstance(document, dict):
        if "predictions" in document:
            return f"an object whose `predictions` is {_kind(document['predictions'])}"
        keys = ", ".join(f"`{key}`" for key in list(document)[:4]) or "nothing in it"
        known = next((words for key, words in _OUTER.items() if key in document), "")
        return f"an object with {keys}" + (f" ({known})" if known else "")
    if isinstance(document, str) and _is_json(document):
        return "JSON inside a JSON string: it was written twice"
    return _kind(document)


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return "an object"
    return "null" if value is None else f"a {type(value).__name__.replace('str', 'string')}"


def _json_line(evidence: Evidence) -> str:
    lines = {
        Stack.FLASK: "return jsonify(predictions=predictions.tolist())",
        Stack.GUNICORN: "return jsonify(predictions=predictions.tolist())",
        Stack.NODE: "response.json({ predictions })",
        Stack.AIOHTTP: 'return web.json_response({"predictions": predictions})',
        Stack.HTTP_SERVER: 'self.wfile.write(json.dumps({"predictions": predictions}).encode())',
        Stack.TORCHSERVE: "service_envelope=json in config.properties",
    }
    return lines.get(recognise(evidence), 'return {"predictions": predictions.tolist()}')


RULES: tuple[Rule, ...] = (
    response_not_serialisable,
    response_has_nan,
    response_not_json,
    predictions_missing,
    predictions_count_mismatch,
)
