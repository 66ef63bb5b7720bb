"""The sweep: what a replica answers on routes that servers usually have, where the configured ones are no good.

It asks nothing that changes anything: GET for health routes, OPTIONS for predict routes, never POST.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime

import anyio
import httpx

from modelport.core.replicas import Address
from modelport.doctor import openapi
from modelport.doctor.evidence import REFUSED, Exchange, SpecFacts
from modelport.doctor.exchange import exchange

OPENAPI_ROUTE = "/openapi.json"
ABSENT_ROUTE = "/modelport-asks-for-what-is-not-there"  # what a server answers to everything tells nothing
REQUESTS = 22
_BUDGET_S = 3.0
_AT_ONCE = 4  # small servers queue five connections, and answer one at a time
_OTHER_PORTS = 3
_OPENAPI_BYTES = 512 * 1024

_HEALTH_ROUTES = (
    "/health",
    "/healthz",
    "/ping",
    "/ready",
    "/health/ready",
    "/health-check",
    "/v2/health/ready",
)
_PREDICT_ROUTES = ("/predict", "/invocations", "/predictions", "/v1/predict", "/infer")
_LOOKS_HEALTHY = re.compile(r"(^|[/_-])(health\w*|ready|readiness|live|liveness|ping|status)/?$", re.IGNORECASE)
_LOOKS_PREDICTIVE = re.compile(r"predict|infer|invocation|invoke|score|classify", re.IGNORECASE)


async def sweep(
    client: httpx.AsyncClient,
    address: Address,
    *,
    spec: SpecFacts,
    now: Callable[[], datetime],
    ports: tuple[int, ...] = (),
    timeout_s: float = 1.0,
) -> tuple[Exchange, ...]:
    """Return what the usual routes answer; at most `REQUESTS` requests and three seconds in all.

    Args:
        client: see `http_client`.
        address: where the replica is reached; any host and port, also such as only its sockets show.
        spec: the configured routes are asked too, also with their trailing slash changed.
        now: the clock.
        ports: further ports of the same host, at most three of which are asked.
        timeout_s: for each request.
    """
    asking = _Sweep(client, now, timeout_s)
    origins = [address, *(Address(address.host, port) for port in ports if port != address.port)][: _OTHER_PORTS + 1]
    first, *others = questions(spec)
    with anyio.move_on_after(_BUDGET_S):
        await asking.ask((origin, *first) for origin in origins)
        open_origins = [origin for origin in origins if asking.is_open(origin)]
        share = (REQUESTS - len(origins)) // max(1, len(open_origins))
        await asking.ask((origin, *question) for origin in open_origins for question in others[:share])
        # What the server itself says comes on top, where requests are left.
        told = [(origin, "GET", path) for origin in open_origins for path in asking.told_health_routes(origin)]
        await asking.ask(told[: REQUESTS - len(asking.answers)])
    return tuple(asking.answers.values())


async def ask_openapi(
    client: httpx.AsyncClient, address: Address, *, now: Callable[[], datetime], timeout_s: float = 2.0
) -> Exchange:
    """Ask for the server's OpenAPI document; where there is one, the body of the exchange is its abridged form."""
    content = b""

    def keep(received: bytes) -> None:
        nonlocal content
        content = received

    url = address.base_url + OPENAPI_ROUTE
    answer = await exchange(client, "GET", url, now=now, timeout_s=timeout_s, read=_OPENAPI_BYTES, on_answer=keep)
    document = openapi.parsed(content.decode("utf-8", errors="replace")) if answer.status == 200 else None
    return replace(answer, body=openapi.abridged(document) or answer.body) if document else answer


def questions(spec: SpecFacts) -> tuple[tuple[str, str], ...]:
    """Return methods and paths to ask, the most telling first, no more than `REQUESTS`; pure."""
    health, predict = spec.health_route or "/health", spec.predict_route or "/predict"
    served = _served_model(spec)
    asked = [
        ("GET", health),
        ("GET", OPENAPI_ROUTE),
        ("OPTIONS", predict),
        ("GET", _slash_changed(health)),
        ("OPTIONS", _slash_changed(predict)),
        ("OPTIONS", ABSENT_ROUTE),
        *(("GET", route) for route in _HEALTH_ROUTES[:3]),
        *(("OPTIONS", route) for route in _PREDICT_ROUTES[:2]),
        ("GET", served),
        *(("GET", route) for route in _HEALTH_ROUTES[3:]),
        ("GET", "/"),
        ("OPTIONS", f"{served}:predict"),
        *(("OPTIONS", route) for route in _PREDICT_ROUTES[2:]),
    ]
    return tuple(dict.fromkeys(asked))[:REQUESTS]


def predict_path(exchanges: Iterable[Exchange]) -> str:
    """Return the path that takes POST and looks like predictions, or nothing; of exchanges with one server.

    The server's OpenAPI document says so, or its answer to OPTIONS does: `Allow` with POST in it, or 405.
    """
    here = list(exchanges)
    absent = next((answer for answer in here if answer.path == ABSENT_ROUTE), None)
    taking = [answer.path for answer in here if answer.method == "OPTIONS" and _takes_post(answer, absent)]
    for answer in here:
        if answer.path == OPENAPI_ROUTE and (document := openapi.parsed(answer.body)):
            posted = openapi.routes(document, "post")
            known = [path for path in taking if path in posted]
            return next(iter(known), "") or _most_predictive(posted)
    return next(iter(taking), "")


def openapi_exchange(exchanges: Iterable[Exchange]) -> Exchange | None:
    """Return the exchange that brought an OpenAPI document, if one did."""
    return next((one for one in exchanges if one.path == OPENAPI_ROUTE and openapi.parsed(one.body)), None)


class _Sweep:
    """The requests of one sweep; `answers` are in the order in which they were asked."""

    def __init__(self, client: httpx.AsyncClient, now: Callable[[], datetime], timeout_s: float) -> None:
        self.answers: dict[tuple[Address, str, str], Exchange] = {}
        self._client = client
        self._now = now
        self._timeout_s = timeout_s

    async def ask(self, asked: Iterable[tuple[Address, str, str]]) -> None:
        """Ask all of these that were not asked before, a few at a time."""
        new = [key for key in dict.fromkeys(asked) if key not in self.answers]
        limiter = anyio.CapacityLimiter(_AT_ONCE)
        found: dict[tuple[Address, str, str], Exchange] = {}

        async def one(key: tuple[Address, str, str]) -> None:
            async with limiter:
                found[key] = await self._one(*key)

        try:
            async with anyio.create_task_group() as group:
                for key in new:
                    group.start_soon(one, key)
        finally:  # also when the time is up: what was answered until then counts
            self.answers |= {key: found[key] for key in new if key in found}

    def is_open(self, origin: Address) -> bool:
        """Return whether the first question found anybody there."""
        first = next((answer for key, answer in self.answers.items() if key[0] == origin), None)
        return first is not None and first.error not in (REFUSED, "connection timed out")

    def told_health_routes(self, origin: Address) -> list[str]:
        """Return what looks like health routes in the server's own OpenAPI document."""
        answer = self.answers.get((origin, "GET", OPENAPI_ROUTE))
        document = openapi.parsed(answer.body) if answer else None
        paths = openapi.routes(document, "get") if document else ()
        return [path for path in paths if "{" not in path and _LOOKS_HEALTHY.search(path)]

    async def _one(self, origin: Address, method: str, path: str) -> Exchange:
        if path == OPENAPI_ROUTE:
            return await ask_openapi(self._client, origin, now=self._now, timeout_s=self._timeout_s)
        return await exchange(self._client, method, origin.base_url + path, now=self._now, timeout_s=self._timeout_s)


def _takes_post(answer: Exchange, absent: Exchange | None) -> bool:
    if answer.path == ABSENT_ROUTE or answer.status is None:
        return False
    everywhere = (absent.status, absent.header("allow")) if absent else (None, "")
    if (answer.status, answer.header("allow")) == everywhere:
        return False
    allowed = {method.strip().upper() for method in answer.header("allow").split(",")}
    # Servers that send no `Allow` with a 405 still tell that the path is there, and OPTIONS is not what it takes.
    return "POST" in allowed or (answer.status == 405 and allowed == {""} and everywhere[0] != 405)


def _most_predictive(paths: Iterable[str]) -> str:
    plain = [path for path in paths if "{" not in path]
    named = [path for path in _PREDICT_ROUTES if path in plain] + [
        path for path in plain if _LOOKS_PREDICTIVE.search(path)
    ]
    if named:
        return named[0]
    return plain[0] if len(plain) == 1 else ""


def _slash_changed(path: str) -> str:
    return path.rstrip("/") or "/" if path.endswith("/") else f"{path}/"


def _served_model(spec: SpecFacts) -> str:
    """Return the model route of TensorFlow Serving and KServe, by the name that the spec gives the model."""
    named = next((variable.value for variable in spec.env if variable.name == "MODEL_NAME"), "")
    match = re.match(r"/v1/models/([^/:]+)", spec.health_route) or re.match(r"/v1/models/([^/:]+)", spec.predict_route)
    return f"/v1/models/{named or (match[1] if match else 'model')}"
