"""Rules for predictions that reach the server's code and fail there."""

from __future__ import annotations

import re

from modelport.doctor import trials
from modelport.doctor.answers import Answer, answer_of, predicted
from modelport.doctor.evidence import Evidence, Prediction, Purpose
from modelport.doctor.findings import Severity
from modelport.doctor.log_text import matching, plain, quoted
from modelport.doctor.refusals import refusals
from modelport.doctor.rule import Found, Rule, rule
from modelport.doctor.rules import predict_route
from modelport.doctor.rules.response import response_has_nan, response_not_serialisable
from modelport.doctor.stacks import Stack, recognise

_WORKER_DIED = r"Worker \(pid:\d+\) was sent SIG(?:SEGV|ABRT|BUS|ILL|FPE|KILL)!|Child process \[\d+\] died"
# What frameworks say when they are given an object where the model wants rows.
_WRAPPED = (
    r"array=\{'instances'",
    r"\{'instances':",
    r"could not convert string to float: '?instances",
    r"'instances' \(type <class 'str'>\)",
)
_WRAPPED_UNLESS_OBJECTS = (
    r"(?:float|int)\(\) argument must be .*not '?(?:dict|builtins\.dict)",
    r"^KeyError: (?:0|slice\(.*)$",
    r"unhashable type: '(?:slice|dict)'",
    r"'dict' object has no attribute '(?:shape|reshape|astype|values\b|ndim|tolist|append)'",
    r"must be real number, not dict",
    r"Can't handle np array of type dict|can't convert np\.ndarray of type numpy\.object_",
    r"\b(?:body|data|input|inputs|payload|rows|json)\.(?:map|forEach|reduce|slice|flat|every|filter) is not a function",
    r"\b(?:body|data|input|inputs|payload|rows|json) is not iterable",
)
_NO_MODEL = (
    r"'NoneType' object has no attribute '(?:predict\w*|transform|forward|run|generate|infer\w*|score|encode|eval"
    r"|decision_function|get_inputs|classify|call|signatures)'",
    r"'NoneType' object is not callable",
    r"name '\w*(?:model|predictor|pipeline|classifier|session|tokenizer)\w*' is not defined",
    r"has no attribute '_?(?:model|predictor|pipeline|classifier|session|tokenizer)'",
    r"(?i)\bmodel\b[^.\n]{0,40}\b(?:is not|isn't|not|never|hasn't been|has not been|wasn't) (?:yet )?"
    r"(?:loaded|ready|initiali[sz]ed|available)",
    r"(?i)\b(?:failed to|could not|cannot|can't) load (?:the )?model",
    r"Cannot read propert(?:y|ies) (?:'(?:predict|run|forward|infer)' )?of (?:undefined|null)"
    r"(?: \(reading '(?:predict|run|forward|infer|execute)'\))",
    r"\bmodel\.?\w* is not (?:defined|a function)",
)
_LOAD_FAILED = (
    r"(?i)\b(?:fail(?:ed|ure)?|error|could ?n[o']t|cannot|unable)\b.{0,40}\bload(?:ing)?\b",
    r"(?i)\bload(?:ing)?\b.{0,60}\b(?:fail(?:ed|ure)?|error)\b",
    r"(?i)\bmodel\b.{0,40}\bnot found\b",
)
_SHAPE = (
    r"X has (?P<given>\d+) features?, but \w+ is expecting (?P<wanted>\d+) features?",
    r"Expected 2D array, got (?:1D|scalar) array",
    r"Found array with dim \d+",
    r"Feature shape mismatch, expected: (?P<wanted>\d+), got:? (?P<given>\d+)",
    r"number of features in data \((?P<given>\d+)\) is not the same as it was in training data \((?P<wanted>\d+)\)",
    r"mat1 and mat2 shapes cannot be multiplied",
    r"Input \d+ (?:of layer|with name).{0,80}incompatible with the layer",
    r"(?:Got )?[Ii]nvalid dimensions for input|Invalid rank for input|Invalid input shape|Unexpected input data type",
    r"columns are missing: |feature names (?:should match|mismatch|must match)",
    r"not in index|None of \[.*\] are in the \[(?:columns|index)\]",
    r"could not broadcast input array|shapes? .{1,40} not aligned|inhomogeneous shape",
    r"size of tensor a \(\d+\) must match",
)


@rule("CRASHES_WHILE_PREDICTING")
def crashes_while_predicting(evidence: Evidence) -> Found | None:
    """The server dies of a prediction.

    Symptom: the health route answers 200, the first prediction gets `connection reset`, `Server disconnected without
    sending a response` or 502, and the container starts anew. Elsewhere: "Model server exited unexpectedly" (Vertex
    AI), `Worker (pid:7) was sent SIGSEGV!` (gunicorn).

    Cause: native code under the model crashes, the prediction needs more memory than there is, or the program ends
    itself (`sys.exit`, `process.exit`, an exception that nothing catches, as in Node).

    Proof: a prediction got no answer, and the container, or the worker that had it, ended by itself then.

    Fix: run that very prediction in the container by hand and look at what ends it; in Node, answer errors in the
    handler: `try { … } catch (error) { response.status(500).json({error: String(error)}) }`.
    """
    unanswered = (one for one in evidence.predictions if one.exchange.status is None)
    cut = next((one for one in unanswered if answer_of(one) is not Answer.LATE), None)
    if cut is None or evidence.healthy_s is None or cut.purpose is Purpose.DRAINING:
        return None
    ended = evidence.exit is not None and evidence.stopping is None  # by itself
    worker = matching(trials.lines_with(evidence, cut), _WORKER_DIED)
    if not ended and worker is None:
        return None
    how = str(evidence.exit) if ended else "a worker process was ended"
    lines = trials.prediction_lines(evidence, cut)
    lines += (f"exit: {evidence.exit}",) if ended else ()
    lines += (quoted(worker.string),) if worker else ()
    found = trials.raised(evidence, cut)
    return Found(
        summary=f"The server dies of a prediction: {how}.",
        cause=f"{found[-1]}."[:300] if found else "The prediction ended the process that made it.",
        remedy="Run the same prediction in the container by hand to see what ends it; catch errors in the handler and "
        "answer 500",
        evidence=lines,
    )


@rule("INSTANCES_NOT_UNWRAPPED")
def instances_not_unwrapped(evidence: Evidence) -> Found | None:
    """The server takes the whole body for the rows, and does not look under `instances`.

    Symptom: predictions are answered with 500; the log shows `Expected 2D array, got scalar array instead:
    array={'instances': …}`, `float() argument must be a string or a real number, not 'dict'`, `KeyError: 0`,
    `unhashable type: 'slice'`, `data.map is not a function`; or with 422 `Input should be a valid list`.

    Cause: requests come as `{"instances": [row, row]}`, and the handler gives the whole object to the model. Tried by
    hand, with a bare list, it works.

    Proof: the same rows as a bare list are answered with 200; or the server's error quotes the object.

    Fix: `data = request.get_json()["instances"]`.
    """
    failed = trials.failing(evidence)
    if failed is None or failed.exchange.status in (401, 403, 404, 405, 413, 415):
        return None
    bare = next((one for one in trials.of(evidence, Purpose.BARE) if _predicts(one)), None)
    lines = trials.prediction_lines(evidence, failed)
    if bare is not None:
        shape = "one instance alone" if bare.exchange.sent.startswith("{") else "the same rows as a bare list"
        lines += (f"predict: {shape} → {bare.exchange.outcome}",)
    elif not _wants_list(failed) and not _quotes_object(evidence, failed):
        return None
    return Found(
        summary="The server gives the whole request body to the model, and not what is under `instances`.",
        cause='Requests come as {"instances": [...]}; the handler expects the rows without the object around them.',
        remedy=_unwrap_line(evidence),
        evidence=lines,
    )


@rule("PARAMETERS_REQUIRED")
def parameters_required(evidence: Evidence) -> Found | None:
    """The server insists on `parameters`, which callers may leave out.

    Symptom: predictions without `parameters` are answered with 422 `Field required` or with 500 `KeyError:
    'parameters'`; batch prediction ends with `Non-OK result 422` (Vertex AI).

    Cause: the request's schema has `parameters` as a field without a default, or the code reads it without asking.

    Proof: the server's answer names `parameters`; or the same instances work with `parameters` and fail without.

    Fix: `parameters: dict = {}` in the pydantic model, `body.get("parameters", {})` elsewhere.
    """
    without = trials.of(evidence, Purpose.NO_PARAMETERS)
    given = trials.of(evidence, Purpose.WITH_PARAMETERS)
    failed = trials.failing(evidence) or next((one for one in without if answer_of(one) is Answer.FAILS), None)
    if failed is None or answer_of(failed) is not Answer.FAILS:
        return None
    given += tuple(one for one in trials.tried(evidence) if '"parameters"' in one.exchange.sent)
    works = next((one for one in given if answer_of(one) is Answer.WORKS), None)
    told = any(one.where[:2] == ("body", "parameters") and one.missing for one in refusals(failed))
    told = told or trials.said(evidence, failed, r"^KeyError: '?parameters'?$") is not None
    if not told and (works is None or not without):
        return None
    lines = trials.prediction_lines(evidence, failed)
    return Found(
        summary="Predictions fail without `parameters`, which callers may leave out.",
        cause="The request's schema, or the code, insists on `parameters`.",
        remedy='Make it optional: `parameters: dict = {}` (pydantic), `body.get("parameters", {})` elsewhere',
        evidence=(*lines, *((f"predict: with parameters → {works.exchange.outcome}",) if works else ())),
    )


@rule("REQUEST_FORMAT_MISMATCH")
def request_format_mismatch(evidence: Evidence) -> Found | None:
    """The server expects other fields in the body than `instances`.

    Symptom: predictions are answered with 422 `Field required`, naming a field such as `text`, `data` or `inputs`; or
    with 500 and `KeyError: 'inputs'`.

    Cause: the container has a request format of its own. Predictions come as `{"instances": [...]}` with an optional
    `parameters`, whatever the model.

    Proof: the server's answer names a field of the body that it misses; or the line of code that failed reads it.

    Fix: take `instances` and treat each of them: `class Request(BaseModel): instances: list[Any]`, then
    `{"predictions": [predict(one) for one in request.instances]}`.
    """
    failed = trials.failing(evidence)
    if failed is None or parameters_required(evidence) or instances_not_unwrapped(evidence):
        return None
    missing = [one for one in refusals(failed) if one.missing and len(one.where) == 2]
    fields = [
        one.where[1] for one in missing if one.where[0] in ("body", "query", "form") and one.where[1] != "instances"
    ]
    if not fields and (field := _key_of_body(evidence, failed)):
        fields = [field]
    if not fields:
        return None
    names = ", ".join(f"`{field}`" for field in fields[:4])
    return Found(
        summary=f"The server expects {names} in the request, and gets `instances`.",
        cause='It has a request format of its own; predictions come as {"instances": [...]}.',
        remedy='Take `instances` and answer one prediction for each: `rows = (await request.json())["instances"]`',
        evidence=trials.prediction_lines(evidence, failed),
    )


@rule("HEALTHY_BUT_CANNOT_PREDICT")
def healthy_but_cannot_predict(evidence: Evidence) -> Found | None:
    """The health route says 200 although the model was never loaded.

    Symptom: the version becomes ready, and then every prediction fails: `'NoneType' object has no attribute
    'predict'`, `name 'model' is not defined`, "Model is not loaded", 503 `Prediction failed` (TorchServe).

    Cause: the load failed, was caught and logged, and the health route does not look at it; or it is meant to happen
    later.

    Proof: the health route answers 200, a prediction fails, and its error says that there is no model, or the log
    tells of a load that failed before.

    Fix: let a failed load end the program, or answer 503 until the model is there:
    `return ("ok", 200) if model is not None else ("no model", 503)`; and repair what made the load fail.
    """
    failed = trials.failing(evidence)
    if failed is None or evidence.healthy_s is None or answer_of(failed) is not Answer.FAILS:
        return None
    status = failed.exchange.status
    told = trials.said(evidence, failed, *_NO_MODEL)
    before = tuple(line for line in evidence.last_words if line not in trials.lines_with(evidence, failed))
    load = matching(before, *_LOAD_FAILED)
    if told is None and (load is None or status is None or status < 500 or _has_other_ground(evidence, failed)):
        return None
    return Found(
        summary="The health route says 200, and there is no model to predict with.",
        cause=f"Loading the model failed: {plain(load.string).strip()[:200]}."
        if load
        else "The model was not loaded when the server said that it is healthy.",
        remedy='Answer 503 on the health route until the model is there: `return ("ok", 200) if model is not None else '
        '("no model", 503)`; and repair the load' + (", which the log tells of" if load else ""),
        evidence=(*trials.prediction_lines(evidence, failed), *((quoted(load.string),) if load else ())),
    )


@rule("INPUT_SHAPE_MISMATCH")
def input_shape_mismatch(evidence: Evidence) -> Found | None:
    """The instances have another shape than the model takes.

    Symptom: predictions are answered with 500, or 400; the log shows `X has 3 features, but LogisticRegression is
    expecting 4 features as input`, `Expected 2D array, got 1D array instead`, `mat1 and mat2 shapes cannot be
    multiplied`, `columns are missing`.

    Cause: the instances are not what the model was trained on: more or fewer numbers, other names, one nesting more or
    less. Where the instances were a guess, this says nothing against the container.

    Proof: the exception that came with the prediction.

    Fix: send instances as the model takes them; for a check, `modelport check --instances FILE`.
    """
    failed = trials.failing(evidence)
    if failed is None or answer_of(failed) is not Answer.FAILS or instances_not_unwrapped(evidence):
        return None
    told = trials.said(evidence, failed, *_SHAPE)
    inside = next((one for one in refusals(failed) if one.where[:2] == ("body", "instances")), None)
    if told is None and inside is None:
        return None
    words = " ".join(told[0].split()) if told else str(inside)
    guess = not trials.proves(failed)
    return Found(
        summary=f"The instances {'of the trial, a guess, ' if guess else ''}do not fit the model: {words}.",
        cause="They have another shape than the model takes." + (" The container may be fine." if guess else ""),
        remedy="Give instances that the model takes: `modelport check --instances FILE`, a JSON list",
        evidence=trials.prediction_lines(evidence, failed),
        severity=Severity.ADVICE if guess else None,
    )


@rule("PREDICT_TIMES_OUT")
def predict_times_out(evidence: Evidence) -> Found | None:
    """A prediction takes longer than callers wait.

    Symptom: predictions end with 504 or `upstream request timeout`. Elsewhere: "Non-OK result 504 (upstream request
    timeout) from server" (Vertex AI).

    Cause: the model is too slow for the machine, waits for something that never comes, or hangs, as forked processes
    do that use a lock or a GPU of their parent.

    Proof: the prediction was sent, and no answer came within the time that a prediction has.

    Fix: send fewer instances at a time, take a larger machine type or a GPU; where even one instance never comes back,
    look for a lock or a download in the handler (gunicorn: leave out `--preload` with libraries that use threads).
    """
    failed = trials.failing(evidence)
    if failed is None or answer_of(failed) is not Answer.LATE:
        return None
    if any(answer_of(one) is Answer.WORKS for one in trials.of(evidence, Purpose.REPEAT)):
        return None
    return Found(
        summary=f"A prediction gets no answer: {failed.exchange.error.removeprefix('no answer ')}.",
        cause=f"It takes longer than {failed.exchange.latency_s:.0f} s, or the handler hangs.",
        remedy="Make one prediction in the container by hand; take a larger machineType or a GPU where it is only slow",
        evidence=trials.prediction_lines(evidence, failed),
        severity=None if trials.proves(failed) else Severity.WARNING,
    )


@rule("PREDICT_FAILS")
def predict_fails(evidence: Evidence) -> Found | None:
    """Predictions with good instances fail.

    Symptom: predictions are answered with 500, 400 or another error. Elsewhere: `{"code": 503, "type":
    "InternalServerException", "message": "Prediction failed"}` (Vertex AI with TorchServe), "Prediction failed: Error
    during model execution" (AI Platform).

    Cause: the code behind the predict route raises; the log tells what and where.

    Proof: the status of the prediction, and the exception that the log shows with it. No more particular cause is
    recognised.

    Fix: repair the line that the traceback names.
    """
    several = trials.failing_with_more(evidence)
    failed = trials.failing(evidence) or several
    if failed is None or (several is None and not trials.proves(failed)) or any(one(evidence) for one in _PARTICULAR):
        return None
    if answer_of(failed) is Answer.LATE or (failed.exchange.status or 500) < 400:
        return None
    found = trials.raised(evidence, failed)
    where = (
        next((frame for frame in reversed(found[-1].frames) if frame.startswith(("File ", "at "))), "") if found else ""
    )
    outcome = failed.exchange.outcome
    return Found(
        summary=f"One instance is predicted, {failed.instances} of the same give {outcome}."
        if several is not None
        else f"A prediction with good instances is answered with {outcome}."
        if failed.exchange.status
        else f"A prediction with good instances gets no answer: {outcome}.",
        cause=f"{found[-1]}"[:300] if found else "The code behind the predict route fails; it does not say why.",
        remedy=f"Repair what raises: {where}"
        if where
        else "Log the exception in the handler, and repair what raises it",
        evidence=(*trials.prediction_lines(evidence, failed), *((f"log: {where}",) if where else ())),
    )


@rule("PREDICT_NOT_TRIED", Severity.ADVICE)
def predict_not_tried(evidence: Evidence) -> Found | None:
    """Nothing is known of predictions: there were no instances to try them with.

    Symptom: a check passes, and tells that its guess at instances was answered with an error.

    Cause: without instances of yours, and without an OpenAPI document that shows some, a guess is sent, and a server
    is right to refuse it.

    Proof: the prediction was a guess, and nothing in the answer shows that the container is at fault.

    Fix: `modelport check TARGET --instances FILE`, where FILE is a JSON list of one or more instances.
    """
    failed = trials.failing(evidence)
    if failed is None or trials.proves(failed) or answer_of(failed) is Answer.LATE:
        return None
    if any(one(evidence) for one in _PARTICULAR):
        return None
    return Found(
        summary="Predictions could not be tried: a guess at instances was answered with "
        f"{failed.exchange.outcome}, which proves nothing.",
        cause="No instances were given, and the server shows none in an OpenAPI document.",
        remedy="Give instances: `modelport check TARGET --instances FILE`, a JSON list",
        evidence=trials.prediction_lines(evidence, failed),
    )


def _predicts(bare: Prediction) -> bool:
    return answer_of(bare) is Answer.WORKS and (bare.complete_body is None or bool(predicted(bare.complete_body)))


def _wants_list(failed: Prediction) -> bool:
    """Return whether a validating framework says that the body itself has to be a list."""
    return any(one.where in (("body",), ()) and "list" in one.message.lower() for one in refusals(failed))


def _quotes_object(evidence: Evidence, failed: Prediction) -> bool:
    if trials.said(evidence, failed, *_WRAPPED) is not None:
        return True
    # Rows that are objects themselves give the same errors.
    rows = trials.sent_instances(failed)
    plain_rows = bool(rows) and not any(isinstance(row, dict) for row in rows)
    return plain_rows and trials.said(evidence, failed, *_WRAPPED_UNLESS_OBJECTS) is not None


def _key_of_body(evidence: Evidence, failed: Prediction) -> str:
    """Return the field of the body that the failed line of code reads, where the traceback shows that."""
    for one in reversed(trials.raised(evidence, failed)):
        name = one.message.strip("'\"")
        read = rf"(?:json\(\)|get_json\([^)]*\)|\.json|\bbody|json\.loads\([^)]*\))\)?\[[\"']{re.escape(name)}[\"']\]"
        if one.kind == "KeyError" and name != "instances" and any(re.search(read, frame) for frame in one.frames):
            return name
    return ""


def _has_other_ground(evidence: Evidence, failed: Prediction) -> bool:
    """Return whether the failure tells of something else than a missing model."""
    return trials.said(evidence, failed, *_SHAPE, *_WRAPPED, *_WRAPPED_UNLESS_OBJECTS) is not None or bool(
        response_not_serialisable(evidence)
    )


def _unwrap_line(evidence: Evidence) -> str:
    lines = {
        Stack.UVICORN: 'instances = (await request.json())["instances"]   (or a pydantic model with `instances: list`)',
        Stack.AIOHTTP: 'instances = (await request.json())["instances"]',
        Stack.NODE: "const { instances } = request.body",
        Stack.HTTP_SERVER: 'instances = json.loads(body)["instances"]',
    }
    return lines.get(recognise(evidence), 'data = request.get_json()["instances"]')


_OWN: tuple[Rule, ...] = (
    crashes_while_predicting,
    instances_not_unwrapped,
    parameters_required,
    request_format_mismatch,
    healthy_but_cannot_predict,
    input_shape_mismatch,
)
_PARTICULAR: tuple[Rule, ...] = (*predict_route.RULES, *_OWN, response_not_serialisable, response_has_nan)
RULES: tuple[Rule, ...] = (*_OWN, predict_times_out, predict_fails, predict_not_tried)
