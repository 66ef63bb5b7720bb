"""Rules for servers that predict, and will fail in operation: large bodies, load, the first request, the end."""

from __future__ import annotations

import re

from modelport.doctor import trials
from modelport.doctor.answers import Answer, answer_of
from modelport.doctor.evidence import Evidence, Prediction, Purpose
from modelport.doctor.findings import Severity
from modelport.doctor.log_text import matching, quoted
from modelport.doctor.rule import Found, Rule, rule
from modelport.doctor.socket_table import cut
from modelport.doctor.stacks import Stack, application, recognise

_TOO_LARGE = (
    r"client intended to send too large body",
    r"PayloadTooLargeError: request entity too large",
    r"(?i)request (?:entity|body) (?:is )?too large|payload too large|content.length too long|exceeds the limit",
    r"HTTPRequestEntityTooLarge|Maximum request body size \d+ exceeded",
)
_SLOW_FIRST_S = 2.0
_SLOW_FACTOR = 5.0
_SLOW_HEALTH_S = 2.0
_DEVELOPMENT = (
    r"WARNING: This is a development server\.",
    r"^Starting development server at http",
    r"Started reloader process \[\d+\]|WARNING:\s+Current configuration will not reload",
    r"Restarting with (?:stat|watchdog)|Debugger is active!",
)


@rule("BODY_TOO_LARGE")
def body_too_large(evidence: Evidence) -> Found | None:
    """The server refuses request bodies that callers may send.

    Symptom: larger predictions are answered with 413 `Request Entity Too Large`, or the connection is cut; smaller
    ones work. The log shows `client intended to send too large body` (nginx), `PayloadTooLargeError: request entity
    too large` (Express), `Maximum request body size 1048576 exceeded` (aiohttp).

    Cause: the server's own limit is below what callers may send, 1.5 MB: nginx and aiohttp take 1 MB, Express's
    `express.json()` 100 kB.

    Proof: a request of about 1.5 MB is answered with 413, or is cut and the log says why, where a small one is not.

    Fix: `client_max_body_size 16m;` (nginx), `express.json({limit: "16mb"})`, `web.Application(client_max_size=16 *
    1024**2)` (aiohttp), `MAX_CONTENT_LENGTH` (Flask).
    """
    refused = next((one for one in trials.of(evidence, Purpose.LARGE) if _refused_for_size(evidence, one)), None)
    if refused is None:
        return None
    nginx = "nginx" in trials.body_text(refused) or "nginx" in refused.exchange.header("server")
    fix = {
        Stack.NODE: 'app.use(express.json({ limit: "16mb" }))',
        Stack.AIOHTTP: "web.Application(client_max_size=16 * 1024**2)",
        Stack.FLASK: 'app.config["MAX_CONTENT_LENGTH"] = 16 * 1024**2',
        Stack.TORCHSERVE: "max_request_size=16777216 in config.properties",
    }.get(recognise(evidence), "Raise the limit of the request body to 16 MB")
    said = matching(trials.lines_with(evidence, refused), *_TOO_LARGE)
    return Found(
        summary=f"A request of {refused.exchange.sent_bytes / 1e6:.1f} MB is answered with {refused.exchange.outcome}.",
        cause="The server's own limit of the request body is below 1.5 MB, which callers may send.",
        remedy="client_max_body_size 16m;   (nginx.conf)" if nginx else fix,
        evidence=(f"predict: {refused.exchange}", *((quoted(said.string),) if said else ())),
    )


@rule("HEALTH_STARVED_BY_PREDICTIONS", Severity.WARNING)
def health_starved_by_predictions(evidence: Evidence) -> Found | None:
    """While predictions are made, the health route does not answer.

    Symptom: the version works when it is tried, and turns unhealthy under load: replicas leave and come back, callers
    get 503. Elsewhere: `ping` timeouts with `upstream timed out` (SageMaker).

    Cause: one worker with one thread does everything, or the prediction blocks the event loop (`async def` with a
    model call in it). The health check waits until the predictions before it are done.

    Proof: health checks that were made while predictions were under way got no answer, another status than 200, or an
    answer after seconds.

    Fix: `gunicorn --threads 8`; in FastAPI `def predict` in place of `async def predict`; `waitress-serve
    --threads=8`; `ThreadingHTTPServer` in place of `HTTPServer`.
    """
    asked = evidence.health_under_load
    bad = [one for one in asked if one.status != 200]
    slow = [one for one in asked if one.latency_s >= _SLOW_HEALTH_S]
    if not bad and not slow:
        return None
    worst = max(bad or slow, key=lambda one: one.latency_s)
    fix = {
        Stack.GUNICORN: "gunicorn --worker-class gthread --threads 8",
        Stack.UVICORN: "def predict(…) in place of async def predict(…), or await run_in_threadpool(…)",
        Stack.FLASK: f"CMD exec gunicorn --threads 8 --bind 0.0.0.0:$AIP_HTTP_PORT {application(evidence)}",
        Stack.WAITRESS: "waitress-serve --threads=8",
        Stack.HTTP_SERVER: "ThreadingHTTPServer in place of HTTPServer",
        Stack.AIOHTTP: "await asyncio.to_thread(model.predict, instances)",
        Stack.NODE: "Predict in a worker thread (`new Worker(...)`)",
    }.get(recognise(evidence), "Serve the health route from another thread than predictions")
    return Found(
        summary=f"While predictions are made, the health route answers {worst.outcome} after {worst.latency_s:.1f} s.",
        cause="Predictions and health checks wait for the same single thread.",
        remedy=fix,
        evidence=tuple(f"probe while predicting: {one} after {one.latency_s:.1f} s" for one in (bad or slow)[:3]),
    )


@rule("SLOW_FIRST_PREDICTION", Severity.WARNING)
def slow_first_prediction(evidence: Evidence) -> Found | None:
    """The first prediction takes far longer than the next.

    Symptom: the first callers after each start get 504 or wait for seconds; later ones do not.

    Cause: the model is loaded, compiled or fetched in the first request.

    Proof: the first prediction took several times as long as the same one repeated, or got no answer in time.

    Fix: load and make one prediction before the health route says 200: `model = load(); model.predict(example)` at
    start.
    """
    first = next(iter(trials.tried(evidence)), None)
    again = next((one for one in trials.of(evidence, Purpose.REPEAT) if answer_of(one) is Answer.WORKS), None)
    if first is None or again is None:
        return None
    late = answer_of(first) is Answer.LATE
    before, after = first.exchange.latency_s, again.exchange.latency_s
    if not late and (answer_of(first) is not Answer.WORKS or before < _SLOW_FIRST_S or before < _SLOW_FACTOR * after):
        return None
    return Found(
        summary=f"The first prediction takes {before:.1f} s, the next {after:.2f} s."
        if not late
        else f"The first prediction gets no answer within {before:.0f} s, the next after {after:.2f} s.",
        cause="The model is loaded, compiled or fetched in the first request.",
        remedy="Load at start and predict once before the health route says 200: `model.predict(example)`",
        evidence=(f"predict: {first.exchange} after {before:.2f} s", f"predict: {again.exchange} after {after:.2f} s"),
        severity=Severity.ERROR if late and trials.proves(first) else None,
    )


@rule("IGNORES_SIGTERM", Severity.WARNING)
def ignores_sigterm(evidence: Evidence) -> Found | None:
    """The container does not end when it is told to, and has to be killed.

    Symptom: every deletion, update and scale-down takes the whole grace period; the container ends with code 137.

    Cause: the command is written as a shell line, so that a shell is process 1 and passes no signals on; or the
    program is process 1 itself and has no handler, for which the kernel drops SIGTERM (Flask's own server, Node and
    plain Python scripts).

    Proof: the container was sent SIGTERM and still ran when its grace was over.

    Fix: the exec form, `CMD ["gunicorn", "main:app"]`, or `exec` in the script: `exec gunicorn main:app`; or an init:
    `ENTRYPOINT ["tini", "--"]`; or a handler: `signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))`.
    """
    stopping = evidence.stopping
    if stopping is None or not stopping.killed:
        return None
    command = " ".join(evidence.facts.command) if evidence.facts else ""
    shell = re.match(r"^(?:\S*/)?(?:ba|da|a)?sh\b", command) is not None
    fix = {
        Stack.NODE: 'process.on("SIGTERM", () => server.close(() => process.exit(0)))',
        Stack.FLASK: "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))   (or serve with gunicorn)",
        Stack.HTTP_SERVER: "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))",
    }.get(recognise(evidence), "Handle SIGTERM: `signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))`")
    return Found(
        summary=f"SIGTERM is ignored: the container was killed after {stopping.took_s:.0f} s.",
        cause="A shell is its first process, which passes no signals on."
        if shell
        else "The program has no handler for SIGTERM, or does not end in time.",
        remedy='Use the exec form: `CMD ["gunicorn", "main:app"]`, or `exec` before the last command of the script'
        if shell
        else fix,
        evidence=(
            f"stop: SIGTERM, then SIGKILL after {stopping.took_s:.1f} s of {stopping.grace_s:.0f} s grace",
            *((f"command: {command[:200]}",) if command else ()),
        ),
    )


@rule("DROPS_REQUESTS_ON_SIGTERM", Severity.WARNING)
def drops_requests_on_sigterm(evidence: Evidence) -> Found | None:
    """The server ends at once when it is told to, and cuts requests that are under way.

    Symptom: some callers get 502 or `connection reset` whenever replicas are replaced, which retries do not help as
    the request may have been carried out.

    Cause: the program exits on SIGTERM without waiting for its requests; Python scripts, Flask's own server and Node
    do so unless told otherwise.

    Proof: a prediction that was under way when SIGTERM came got no answer, though the grace was not over.

    Fix: a server that drains: gunicorn (`--graceful-timeout`), uvicorn; in Node
    `process.on("SIGTERM", () => server.close(() => process.exit(0)))`.
    """
    stopping = evidence.stopping
    dropped = next((one for one in trials.of(evidence, Purpose.DRAINING) if one.exchange.status is None), None)
    if stopping is None or dropped is None or stopping.killed or not _predicts(evidence):
        return None
    fix = {
        Stack.NODE: 'process.on("SIGTERM", () => server.close(() => process.exit(0)))',
        Stack.FLASK: "CMD exec gunicorn --bind 0.0.0.0:$AIP_HTTP_PORT main:app",
        Stack.HTTP_SERVER: "signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())",
    }.get(recognise(evidence), "Finish the requests that are under way before exiting; gunicorn and uvicorn do so")
    return Found(
        summary="A prediction that was under way when SIGTERM came was cut.",
        cause=f"The server ended {stopping.took_s:.1f} s after SIGTERM without waiting for its requests.",
        remedy=fix,
        evidence=(
            f"predict: {dropped.exchange}",
            f"stop: ended {stopping.took_s:.1f} s after SIGTERM; {stopping.grace_s:.0f} s were granted",
        ),
    )


@rule("DEVELOPMENT_SERVER", Severity.ADVICE)
def development_server(evidence: Evidence) -> Found | None:
    """The server is one that its makers mean for development.

    Symptom: `WARNING: This is a development server. Do not use it in a production deployment. Use a production WSGI
    server instead.` (Flask), `Starting development server at` (Django), `Started reloader process` (uvicorn).

    Cause: `app.run()`, `manage.py runserver` and `--reload` are made for a desk: they have no limits, restart when
    files change, and load the model twice in debug mode.

    Proof: the server's own start-up line, or the `server` header of its answers.

    Fix: `CMD exec gunicorn --threads 8 --bind 0.0.0.0:$AIP_HTTP_PORT main:app`; leave out `--reload` and `debug=True`.
    """
    said = matching(evidence.last_words, *_DEVELOPMENT)
    asked = (*evidence.health, *(one.exchange for one in evidence.predictions))
    header = next((one.header("server") for one in asked if one.header("server").startswith("Werkzeug/")), "")
    if said is None and not header:
        return None
    stack = recognise(evidence)
    reload = stack is Stack.UVICORN
    return Found(
        summary="The server is started with --reload, which is for development."
        if reload
        else f"{stack if stack is not Stack.UNKNOWN else 'Flask'}'s own server is for development.",
        cause="It watches files and restarts." if reload else "It is made for a desk, and not for load.",
        remedy="Leave out --reload"
        if reload
        else f"CMD exec gunicorn --threads 8 --bind 0.0.0.0:$AIP_HTTP_PORT {application(evidence)}",
        evidence=(quoted(said.string) if said else f"answer: server: {header}",),
    )


def _refused_for_size(evidence: Evidence, large: Prediction) -> bool:
    exchange = large.exchange
    if exchange.status == 413:
        return True
    said = matching(trials.lines_with(evidence, large), *_TOO_LARGE) is not None
    # Some servers close the connection before the body is read.
    worded = trials.said(evidence, large, *_TOO_LARGE) is not None
    return (cut(exchange) and said) or (exchange.status in (400, 500) and worded)


def _predicts(evidence: Evidence) -> bool:
    return any(answer_of(one) is Answer.WORKS for one in trials.tried(evidence))


RULES: tuple[Rule, ...] = (
    body_too_large,
    health_starved_by_predictions,
    slow_first_prediction,
    ignores_sigterm,
    drops_requests_on_sigterm,
    development_server,
)
