"""The route survey: which paths a server has on which port, as the sweep and its OpenAPI document show. Pure."""

from __future__ import annotations

import re

from modelport.doctor import openapi, sweep
from modelport.doctor.evidence import Evidence, Exchange

# Best first; a liveness path says less than a readiness path.
_HEALTH = re.compile(
    r"/(?:health\w*|health[-_]check|ping|ready|readyz|readiness|status|is_?alive|heartbeat)/?$", re.IGNORECASE
)
_LIVENESS = re.compile(r"/(?:alive|live|livez|liveness)/?$", re.IGNORECASE)
_NO_ROUTE = re.compile(
    r'^\{"detail":\s*"Not Found"\}$|The requested URL was not found on the server|Cannot (?:GET|POST) /'
    r"|^404: Not Found$|^404 page not found|Whitelabel Error Page|<center><h1>404 Not Found</h1></center>"
    r"|The requested resource (?:was not found on this server|/\S* was not found)|<title>404: Not Found</title>"
    r'|"path"\s*:\s*"/[^"]*"[^}]*"status"\s*:\s*404|"status"\s*:\s*404\b[^}]*"path"\s*:|Page not found\s*</h1>'
)


def asked_port(evidence: Evidence, exchange: Exchange) -> int | None:
    """Return the port inside the replica that was asked; the health checks' address stands for the version's port."""
    if any(_authority(exchange) == _authority(health) for health in evidence.health):
        return evidence.spec.port
    port = _authority(exchange).rpartition(":")[2]
    return int(port) if port.isdecimal() else None


def answers(evidence: Evidence, port: int | None = None) -> tuple[Exchange, ...]:
    """Return the answers of the sweep on one port, by default the version's."""
    wanted = evidence.spec.port if port is None else port
    return tuple(one for one in evidence.sweep if one.status is not None and asked_port(evidence, one) == wanted)


def health_answer(evidence: Evidence, port: int | None = None) -> Exchange | None:
    """Return the best path that answers 200 to GET as a health route does, other than the version's on its own port."""
    configured = evidence.spec.health_route if port in (None, evidence.spec.port) else ""
    fine = [
        one
        for one in answers(evidence, port)
        if one.method == "GET"
        and one.status == 200
        and one.path not in (configured, sweep.OPENAPI_ROUTE, sweep.ABSENT_ROUTE)
        and not is_metrics(one)
    ]
    same = [one for one in fine if configured and one.path.rstrip("/") == configured.rstrip("/")]
    for chosen in (same, *([one for one in fine if wanted.search(one.path)] for wanted in (_HEALTH, _LIVENESS))):
        if chosen:
            return min(chosen, key=lambda one: one.path.count("/"))
    return min(fine, key=lambda one: one.path == "/", default=None)


def is_readiness(exchange: Exchange) -> bool:
    """Return whether the path is one that says more than that the process lives."""
    return bool(_HEALTH.search(exchange.path))


def predict_route(evidence: Evidence, port: int | None = None) -> str:
    """Return the path that takes predictions, the version's own first, or nothing."""
    here = answers(evidence, port)
    document = _openapi(evidence, port)
    if document is not None and evidence.spec.predict_route in openapi.routes(document, "post"):
        return evidence.spec.predict_route
    return sweep.predict_path(one for one in here if not is_metrics(one))


def predict_answer(evidence: Evidence, port: int | None = None) -> Exchange | None:
    """Return the answer that shows the path that takes predictions."""
    if not (route := predict_route(evidence, port)):
        return None
    shown = [one for one in answers(evidence, port) if one.path in (route, sweep.OPENAPI_ROUTE)]
    return next((one for one in shown if one.path == route), next(iter(shown), None))


def is_metrics(exchange: Exchange) -> bool:
    """Return whether the answer is a page of metrics, which some servers give for every path."""
    return exchange.body.lstrip().startswith(("# HELP", "# TYPE")) or "version=0.0.4" in exchange.header("content-type")


def says_no_such_route(exchange: Exchange) -> bool:
    """Return whether a 404 is a framework's own for a path that it does not have, not the program's."""
    return exchange.status == 404 and bool(_NO_ROUTE.search(exchange.body.strip()))


def _openapi(evidence: Evidence, port: int | None) -> dict[str, object] | None:
    told = sweep.openapi_exchange(answers(evidence, port))
    return openapi.parsed(told.body) if told is not None else None


def _authority(exchange: Exchange) -> str:
    return exchange.url.partition("://")[2].partition("/")[0]
