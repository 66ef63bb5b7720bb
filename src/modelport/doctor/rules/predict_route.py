"""Rules for predictions that do not reach the server's code: the route, the method, credentials, the content type."""

from __future__ import annotations

import re

from modelport.doctor import trials
from modelport.doctor.evidence import Evidence, Exchange
from modelport.doctor.findings import Remedy
from modelport.doctor.route_survey import answers, predict_answer, predict_route
from modelport.doctor.rule import Found, Rule, rule
from modelport.doctor.stacks import Stack, recognise
from modelport.doctor.sweep import ABSENT_ROUTE

_NO_POST = re.compile(r"Unsupported method \('POST'\)")


@rule("PREDICT_ROUTE_NOT_FOUND")
def predict_route_not_found(evidence: Evidence) -> Found | None:
    """The server does not have the predict route to which predictions are sent.

    Symptom: the version is ready, and every prediction is answered with 404. Elsewhere: "501 Received http2 header
    with status: 404" (Vertex AI), `Cannot POST /v1/models/m/versions/v:predict` (Express), "404 page not found" (Go).

    Cause: a version without `routes` is asked at `/v1/models/MODEL/versions/VERSION:predict`; most containers have
    `/predict` or `/invocations`.

    Proof: a prediction is answered with 404; where the server's OpenAPI document or its answers to OPTIONS show
    another path that takes POST, it is named.

    Fix: set the route that the container has: `"routes": {"predict": "/predict"}`; or serve the path in
    AIP_PREDICT_ROUTE: `@app.post(os.environ["AIP_PREDICT_ROUTE"])`.
    """
    failed = trials.failing(evidence)
    if failed is None or failed.exchange.status != 404 or _only_other_methods(evidence):
        return None
    route = predict_route(evidence)
    if route and route == evidence.spec.predict_route:
        return None  # the route is there, and says 404 of something else
    path = failed.exchange.path
    shown = predict_answer(evidence) if route else None
    return Found(
        summary=f"POST {path} is answered with 404.",
        cause=f"The container takes predictions on {route}." if route else "The container has no such path.",
        remedy=Remedy(f'Set routes.predict to "{route}"', (("add", "/routes/predict", route),))
        if route
        else f"{_post_line(evidence)}, or set routes.predict to the path that the container has",
        evidence=(*trials.prediction_lines(evidence, failed), *((_shown_line(route, shown),) if shown else ())),
    )


@rule("PREDICT_METHOD_NOT_ALLOWED")
def predict_method_not_allowed(evidence: Evidence) -> Found | None:
    """The predict route exists and does not take POST.

    Symptom: every prediction is answered with 405 `Method Not Allowed`, or by Python's http.server with 501
    `Unsupported method ('POST')`.

    Cause: the route is declared for GET only (`@app.route("/predict")` in Flask means GET), or the version names a
    route that is another's, such as that of a page.

    Proof: a prediction is answered with 405; the `allow` header tells which methods there are.

    Fix: `@app.route("/predict", methods=["POST"])`, `@app.post("/predict")`, `app.post("/predict", handler)`,
    `def do_POST(self)`.
    """
    failed = trials.failing(evidence)
    if failed is None:
        return None
    exchange = failed.exchange
    no_post = exchange.status == 501 and bool(_NO_POST.search(exchange.body))
    elsewhere = exchange.status == 404 and _only_other_methods(evidence)
    if exchange.status != 405 and not no_post and not elsewhere:
        return None
    route, allowed = predict_route(evidence), exchange.header("allow")
    other = route if route != evidence.spec.predict_route else ""
    patch = (("add", "/routes/predict", other),) if other else ()
    lines = (f"answer: allow: {allowed}",) if allowed else ()
    return Found(
        summary=f"POST {exchange.path} is answered with {exchange.status}: the path does not take POST.",
        cause=f"It is declared for {allowed}." if allowed else "It is declared for other methods.",
        remedy=Remedy(f'Set routes.predict to "{other}"' if other else _post_line(evidence), patch),
        evidence=(*trials.prediction_lines(evidence, failed), *lines),
    )


@rule("PREDICT_UNAUTHORIZED")
def predict_unauthorized(evidence: Evidence) -> Found | None:
    """The predict route wants credentials that the platform does not send.

    Symptom: every prediction is answered with 401 or 403: `Not authenticated`, `CSRF verification failed. Request
    aborted.` (Django).

    Cause: the container demands a token, a cookie or an API key of its own. The platform authorises callers before
    they reach the container.

    Proof: a prediction is answered with 401 or 403.

    Fix: demand nothing on the predict route; in Django put `@csrf_exempt` on the view.
    """
    failed = trials.failing(evidence)
    if failed is None or failed.exchange.status not in (401, 403):
        return None
    csrf = "CSRF" in trials.body_text(failed)
    path = failed.exchange.path
    return Found(
        summary=f"POST {path} is answered with {failed.exchange.status}: it wants credentials.",
        cause="Django's protection of forms refuses requests of programs."
        if csrf
        else "The container demands credentials of its own.",
        remedy="Put @csrf_exempt on the view"
        if csrf
        else f"Let {path} pass without credentials of the container's own",
        evidence=trials.prediction_lines(evidence, failed),
    )


@rule("PREDICT_REDIRECTS")
def predict_redirects(evidence: Evidence) -> Found | None:
    """The predict route sends its caller elsewhere.

    Symptom: predictions are answered with 301, 302, 307 or 308 and no body.

    Cause: the route is declared with a slash at its end and asked without (or the reverse), or everything is sent to
    https or to a login page.

    Proof: a prediction is answered with 3xx; the `location` header tells where to.

    Fix: `"routes": {"predict": "/predict/"}`, or declare the path as it is asked.
    """
    failed = trials.failing(evidence)
    if failed is None or failed.exchange.status is None or not 300 <= failed.exchange.status < 400:
        return None
    exchange, target = failed.exchange, failed.exchange.header("location")
    path = re.sub(r"^https?://[^/]+", "", target)
    slash = path.rstrip("/") == exchange.path.rstrip("/") and path != exchange.path
    return Found(
        summary=f"POST {exchange.path} is answered with {exchange.status}, a redirect to {target or 'elsewhere'}.",
        cause="The route is declared with another ending: a slash more or less."
        if slash
        else "The server sends its callers elsewhere.",
        remedy=Remedy(f'Set routes.predict to "{path}"', (("add", "/routes/predict", path),))
        if slash
        else f"Answer on {exchange.path} itself",
        evidence=(*trials.prediction_lines(evidence, failed), f"answer: location: {target}"),
    )


@rule("CONTENT_TYPE_REFUSED")
def content_type_refused(evidence: Evidence) -> Found | None:
    """The server does not take `application/json`.

    Symptom: predictions are answered with 415 `Unsupported Media Type`.

    Cause: the handler wants a form, an upload or plain text. Predictions come as POST with `Content-Type:
    application/json`.

    Proof: a prediction is answered with 415.

    Fix: read JSON: `request.get_json()` (Flask), `await request.json()` (Starlette), `app.use(express.json())`
    (Express).
    """
    failed = trials.failing(evidence)
    if failed is None or failed.exchange.status != 415:
        return None
    return Found(
        summary=f"POST {failed.exchange.path} is answered with 415: it does not take application/json.",
        cause="The handler wants another content type; predictions come as JSON.",
        remedy="Read JSON: `request.get_json()` (Flask), `await request.json()` (Starlette), `app.use(express.json())` "
        "(Express)",
        evidence=trials.prediction_lines(evidence, failed),
    )


def _only_other_methods(evidence: Evidence) -> bool:
    """Return whether the predict route says of itself that it takes other methods; some servers then answer 404."""
    asked = [one for one in answers(evidence) if one.method == "OPTIONS" and one.path == evidence.spec.predict_route]
    allowed = [one.header("allow").upper() for one in asked]
    absent = [one.header("allow").upper() for one in answers(evidence) if one.path == ABSENT_ROUTE]
    return any("GET" in one and "POST" not in one and one not in absent for one in allowed)


def _shown_line(route: str, shown: Exchange) -> str:
    return f"probe: {shown} (shows POST {route})"


def _post_line(evidence: Evidence) -> str:
    route = evidence.spec.predict_route or "/predict"
    lines = {
        Stack.FLASK: f'@app.route("{route}", methods=["POST"])',
        Stack.GUNICORN: f'@app.route("{route}", methods=["POST"])',
        Stack.UVICORN: f'@app.post("{route}")',
        Stack.NODE: f'app.post("{route}", handler)',
        Stack.AIOHTTP: f'app.router.add_post("{route}", predict)',
        Stack.HTTP_SERVER: f'def do_POST(self): … if self.path == "{route}"',
    }
    line = lines.get(recognise(evidence), "")
    return f"Take POST on {route}" + (f": `{line}`" if line else "")


RULES: tuple[Rule, ...] = (
    predict_route_not_found,
    predict_method_not_allowed,
    predict_unauthorized,
    predict_redirects,
    content_type_refused,
)
