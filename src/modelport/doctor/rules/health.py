"""Rules for servers that can be reached and do not answer 200 on their health route."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from modelport.doctor.evidence import NOT_HTTP, Evidence, Exchange
from modelport.doctor.findings import Remedy
from modelport.doctor.log_text import Raised, exceptions, matching, quoted
from modelport.doctor.route_survey import answers, health_answer, predict_route
from modelport.doctor.rule import Found, Rule, rule
from modelport.doctor.socket_table import alive, cut, probe_line, reachable, sockets
from modelport.doctor.stacks import Stack, banners, recognise
from modelport.doctor.trials import readable

_NO_METHOD = re.compile(r"Unsupported method \('GET'\)")
_NOT_LOADED = re.compile(
    r"Servable not found|Model with name \S+ does not exist|[Mm]odel \S+ (?:is )?not found|[Uu]nknown model"
    r"|Model version not ready"  # what Triton says of models that it does not have as well
)
_TLS_WANTED = re.compile(
    r"plain HTTP request was sent to HTTPS port|Client sent an HTTP request to an HTTPS server"
    r"|This combination of host and port requires TLS|HTTPS.{0,20}required",
    re.IGNORECASE,
)
_GRPC = re.compile(r"\bgRPC\b|\bgrpc[._ ]", re.IGNORECASE)


@rule("HEALTH_ROUTE_NOT_FOUND")
def health_route_not_found(evidence: Evidence) -> Found | None:
    """The server does not have the health route that it is asked for.

    Symptom: the server listens, and its access log shows `GET /v1/models/m/versions/v HTTP/1.1" 404` or 405 several
    times a minute. Elsewhere: "Model server never became ready. Please validate that your model file or container
    configuration are valid" (Vertex AI), "did not pass the ping health check" (SageMaker).

    Cause: a version without `routes` is asked at `/v1/models/MODEL/versions/VERSION`; most containers have `/health`,
    `/healthz` or `/ping`. Or the container has no health route at all, or answers it to POST only.

    Proof: the health route answers 404, or 405 to GET; where another usual path answers 200, it is named.

    Fix: set the routes that the container has: `"routes": {"health": "/health", "predict": "/predict"}`; or serve the
    path in AIP_HEALTH_ROUTE: `@app.get(os.environ["AIP_HEALTH_ROUTE"])`.
    """
    last = _answer(evidence)
    if last is None or not (last.status in (404, 405) or (last.status == 501 and _NO_METHOD.search(last.body))):
        return None
    route = evidence.spec.health_route or last.path
    found = health_answer(evidence)
    lines: tuple[str, ...] = probe_line(evidence)
    patch: list[tuple[str, str, Any]] = []
    if last.status == 404 and _NOT_LOADED.search(last.body):
        # Another path that answers 200 says that the server is well, and still has not this model.
        fix, cause = _model_missing(last, route)
    elif found is not None:
        lines += (f"probe: {found}",)
        patch.append(("add", "/routes/health", found.path))
        fix = f'Set routes.health to "{found.path}"'
        cause = f"The container answers 200 on {found.path}, and the version "
        cause += f"says {route}." if evidence.spec.routes_given else f"names no routes, so that {route} is asked."
    else:
        fix = _route_line(evidence, route)
        cause = (
            f"The container has no such path, and none of {len(answers(evidence))} usual ones answers 200."
            if answers(evidence) and last.status == 404
            else "The container has no such path."
            if last.status == 404
            else "The path is there for other methods than GET."
        )
    if patch and (predict := predict_route(evidence)) not in ("", evidence.spec.predict_route):
        patch.append(("add", "/routes/predict", predict))
        fix += f' and routes.predict to "{predict}"'
    return Found(f"GET {route} is answered with {last.status}.", cause, Remedy(fix, tuple(patch)), lines)


@rule("HEALTH_UNAUTHORIZED")
def health_unauthorized(evidence: Evidence) -> Found | None:
    """The health route wants credentials, and health checks carry none.

    Symptom: the access log shows `GET /health HTTP/1.1" 401` or 403. Elsewhere: "Model server never became ready"
    (Vertex AI), "did not pass the ping health check" (SageMaker).

    Cause: a login, an API key or a token is demanded of every route, the health route included.

    Proof: the health route answers 401 or 403.

    Fix: let the health route pass without credentials, such as `if request.path == "/health": return None` at the
    beginning of the function that checks them; callers are authorised by the platform before the container is reached.
    """
    last = _answer(evidence)
    if last is None or last.status not in (401, 403, 407):
        return None
    wanted = last.header("www-authenticate")
    return Found(
        summary=f"GET {last.path} is answered with {last.status}: it wants credentials.",
        cause="Authentication is demanded on the health route as well" + (f" ({wanted})." if wanted else "."),
        remedy=f'Let the health route pass: `if request.path == "{last.path}": return None` where credentials are '
        "checked",
        evidence=(*probe_line(evidence), *_body_line(last)),
    )


@rule("HEALTH_REDIRECTS")
def health_redirects(evidence: Evidence) -> Found | None:
    """The health route sends its caller elsewhere, and only 200 counts.

    Symptom: the access log shows `GET /health HTTP/1.1" 301`, 302, 307 or 308; a browser or `curl -L` sees the page.
    Elsewhere: "Model server never became ready" (Vertex AI), "did not pass the ping health check" (SageMaker).

    Cause: the route is declared with a slash at its end and asked without (or the reverse); or every request is sent
    to https, or to a login page. Health checks follow no redirect.

    Proof: the health route answers 3xx; the `location` header tells where to.

    Fix: a slash: `"routes": {"health": "/health/"}`, or declare the path as it is asked. To https: switch the redirect
    off (`SECURE_SSL_REDIRECT = False`, or exempt the path). To a login: let the health route pass without one.
    """
    last = _answer(evidence)
    if last is None or last.status is None or not 300 <= last.status < 400:
        return None
    target = last.header("location")
    parts = urlsplit(target)
    patch: tuple[tuple[str, str, Any], ...] = ()
    if parts.path.rstrip("/") == last.path.rstrip("/") and parts.path != last.path:
        cause = "The route is declared with another ending: a slash more or less."
        fix = f'Set routes.health to "{parts.path}"'
        patch = (("add", "/routes/health", parts.path),)
    elif parts.scheme == "https":
        cause = "The server sends every plain request to https."
        fix = "Switch the redirect to https off in the container (Django: SECURE_SSL_REDIRECT = False)"
    else:
        cause = f"The server sends the caller to {target or 'another place'}, as login pages do."
        fix = f"Answer 200 on {last.path} itself, without a login and without a redirect"
    return Found(
        summary=f"GET {last.path} is answered with {last.status}, a redirect; only 200 counts.",
        cause=cause,
        remedy=Remedy(fix, patch),
        evidence=(*probe_line(evidence), *((f"probe: location: {target}",) if target else ())),
    )


@rule("HEALTH_NOT_200")
def health_not_200(evidence: Evidence) -> Found | None:
    """The health route answers, and never with 200.

    Symptom: the access log shows the health route with 204, 400, 500 or 503. Elsewhere: "Model server never became
    ready" (Vertex AI), "did not pass the ping health check" (SageMaker).

    Cause: the code behind the health route fails (5xx); or the model never became ready (503); or Django refuses the
    host name (`Invalid HTTP_HOST header`, 400); or the route answers with another status of success, such as 204.

    Proof: the status of the last health checks, and the exception that the log shows with them.

    Fix: answer exactly 200 on the health route when predictions can be made: `return "ok", 200`. For Django:
    `ALLOWED_HOSTS = ["*"]`, since the container is reached by its address.
    """
    last = _answer(evidence)
    if last is None or last.status == 200 or (last.status is None and not _handler_failed(evidence)):
        return None
    if health_route_not_found(evidence) or health_unauthorized(evidence) or health_redirects(evidence):
        return None
    if last.status == 400 and _TLS_WANTED.search(last.body):
        return None
    raised = _last_exception(evidence)
    fix, lines = f'Answer 200 on {last.path}: `return "ok", 200`', (*probe_line(evidence), *_body_line(last))
    host = matching(evidence.last_words, r"Invalid HTTP_HOST header")
    if last.status == 400 and (host or "DisallowedHost" in last.body or "Invalid host header" in last.body):
        cause = "The server accepts requests for certain host names only, and is asked by its address."
        fix = 'ALLOWED_HOSTS = ["*"]   (Django), TrustedHostMiddleware(app, allowed_hosts=["*"])   (Starlette)'
        lines += (quoted(host.string),) if host else ()
    elif last.status == 400 and _NOT_LOADED.search(last.body):
        fix, cause = _model_missing(last, last.path)
    elif last.status is None:
        cause = "The code behind the health route fails, and the connection is cut without an answer."
    elif last.status in (502, 504):
        cause = "A web server in the container passes requests on to a program that does not answer."
        fix = "Start that program, and look into its log; or let it listen on the port itself"
    elif last.status == 503:
        cause = "The server says that it is not ready, and did not become so."
        fix = "Find out in the log what it waits for; answer 200 as soon as the model is loaded"
    elif last.status is not None and last.status >= 500:
        cause = "The code behind the health route fails."
    else:
        cause = "Only 200 counts as healthy."
    if raised is not None and (last.status is None or last.status >= 500):
        cause = f"{cause.rstrip('.')}: {str(raised)[:200]}."
        lines += (quoted(str(raised)),)
    summary = (
        f"GET {last.path} is answered with {last.status}, never with 200."
        if last.status is not None
        else f"GET {last.path} is cut without an answer."
    )
    return Found(summary, cause, fix, lines)


@rule("HEALTH_TIMES_OUT")
def health_times_out(evidence: Evidence) -> Found | None:
    """The server accepts the health check's connection and does not answer in time.

    Symptom: connections are accepted and no answer comes: `no answer within 10 s`. Elsewhere: "Model server never
    became ready" (Vertex AI), "did not pass the ping health check", `upstream timed out` (SageMaker).

    Cause: the port is open before anybody serves it: gunicorn listens while its workers still load the model; a server
    with one thread loads in its first request; the health route waits for something itself, such as a prediction or a
    database; or the program hangs.

    Proof: the last health check ended without an answer after the full time, on an open port.

    Fix: answer the health route at once and from memory, and load before serving, in another thread or with
    `gunicorn --preload`: `@app.get("/health")` with nothing but `return "ok" if model else ("loading", 503)`.
    """
    last = evidence.health[-1] if evidence.health else None
    if last is None or evidence.healthy_s is not None or not alive(evidence) or not reachable(evidence):
        return None
    if last.status is not None or not last.error.startswith("no answer within"):
        return None
    others = [one for one in answers(evidence) if one.path != last.path]
    if others:
        cause = f"The health route itself hangs; {others[0].path} is answered with {others[0].status}."
    elif recognise(evidence) is Stack.GUNICORN:
        cause = "gunicorn listens at once, and its workers do not serve yet, or hang."
    else:
        cause = "The port is open, and nobody answers there: the program still loads, or hangs."
    return Found(
        summary=f"GET {last.path} gets no answer: {last.error.removeprefix('no answer ')}.",
        cause=cause,
        remedy="Answer the health route at once and from memory; load the model in another thread: "
        "`threading.Thread(target=load_model, daemon=True).start()`",
        evidence=(*probe_line(evidence), *((f"probe: {others[0]}",) if others else ())),
    )


@rule("HEALTH_NOT_HTTP")
def health_not_http(evidence: Evidence) -> Found | None:
    """The port is open, and what listens there does not speak plain HTTP/1.1.

    Symptom: connections are accepted and closed without an answer; the server's log shows `Invalid HTTP request
    received`, `bad preface`, `SSL handshake failed`, or nothing. Elsewhere: "Model server never became ready"
    (Vertex AI), "did not pass the ping health check" (SageMaker).

    Cause: the server wants TLS, or it is a gRPC server (HTTP/2 alone), or the port belongs to another protocol.

    Proof: the socket table shows the open port and no health check got an HTTP answer, or the answer says that TLS is
    wanted; start-up lines with `https://` or gRPC tell which it is.

    Fix: serve plain HTTP inside the container: leave out `--ssl-keyfile`, `--certfile`, `ssl_context=`; the platform
    ends TLS before it. For a gRPC server, set `container.ports` to its REST port.
    """
    last = evidence.health[-1] if evidence.health else None
    if last is None or evidence.healthy_s is not None or not alive(evidence) or not reachable(evidence):
        return None
    told = last.status == 400 and bool(_TLS_WANTED.search(last.body))
    table = sockets(evidence)
    open_port = any(one.port == evidence.spec.port for one in table or ())
    unanswered = cut(last) and (open_port or last.error == NOT_HTTP or table is None)
    secure = next((one for one in banners(evidence) if one.scheme == "https" and one.port == evidence.spec.port), None)
    grpc = matching(evidence.last_words, _GRPC.pattern)
    if not told and (
        not unanswered or _handler_failed(evidence) or (table is None and secure is None and last.error != NOT_HTTP)
    ):
        return None
    lines = probe_line(evidence)
    if told or secure:
        cause = "It wants TLS; inside the container it is asked in plain HTTP."
        fix = "Serve plain HTTP: leave out --ssl-keyfile and --ssl-certfile (uvicorn), --certfile and --keyfile "
        fix += "(gunicorn), ssl_context= (Flask), https.createServer (Node)"
        lines += (quoted(secure.line),) if secure else _body_line(last)
    elif grpc is not None:
        cause = "It is a gRPC server; health checks and predictions come as HTTP/1.1 with JSON."
        fix = "Listen for HTTP/1.1 on the port in AIP_HTTP_PORT, or set container.ports to the server's REST port"
        lines += (quoted(grpc.string),)
    else:
        cause = "It closes connections without an answer: TLS, gRPC, or another protocol."
        fix = "Serve plain HTTP/1.1 on the port in AIP_HTTP_PORT"
    lines += tuple(f"socket table of the container: {one}" for one in table or () if one.port == evidence.spec.port)
    return Found(f"Port {evidence.spec.port} is open, and does not speak plain HTTP/1.1.", cause, fix, lines)


def _answer(evidence: Evidence) -> Exchange | None:
    """Return the last health check where the server was reached and never was healthy."""
    if not evidence.health or evidence.healthy_s is not None or not alive(evidence) or not reachable(evidence):
        return None
    last = evidence.health[-1]
    return last if last.status is not None or cut(last) else None


def _model_missing(last: Exchange, route: str) -> tuple[str, str]:
    """Return what to do about a model server that has not the model which is asked for, and why it is to be done."""
    return (
        f"Give the model the name that {route} asks for, and look into the log for why it is not loaded",
        f"The server has this kind of route, and no model of that name: {last.body.strip()[:200]}",
    )


def _handler_failed(evidence: Evidence) -> bool:
    """Return whether connections are cut because the code that answers raises, as Python's http.server does."""
    said = matching(
        evidence.last_words, r"Exception (?:occurred during processing of|happened during|on) ?(?:/|request)"
    )
    return said is not None and _last_exception(evidence) is not None


def _last_exception(evidence: Evidence) -> Raised | None:
    return next(reversed(exceptions(evidence.last_words)), None)


def _route_line(evidence: Evidence, route: str) -> str:
    lines = {
        Stack.FLASK: f'@app.get("{route}") … return "ok", 200',
        Stack.UVICORN: f'@app.get("{route}") … return {{"status": "ok"}}',
        Stack.NODE: f'app.get("{route}", (request, response) => response.sendStatus(200))',
        Stack.AIOHTTP: f'app.router.add_get("{route}", health)',
        Stack.HTTP_SERVER: f'in do_GET: if self.path == "{route}": self.send_response(200); self.end_headers()',
    }
    line = lines.get(recognise(evidence))
    return f"Answer 200 to GET {route}" + (f": `{line}`" if line else "") + ", or set routes.health to a path that does"


def _body_line(exchange: Exchange) -> tuple[str, ...]:
    text = readable(exchange.body)
    return (f"probe: body: {text[:200]}",) if text else ()


RULES: tuple[Rule, ...] = (
    health_route_not_found,
    health_unauthorized,
    health_redirects,
    health_not_http,
    health_not_200,
    health_times_out,
)
