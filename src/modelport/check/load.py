"""The load stages: one prediction of about 1.5 MB, and eight at a time while the health route is asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import anyio
import httpx

from modelport.check.predictions import send_prediction
from modelport.check.samples import Sample
from modelport.doctor.evidence import Exchange, Prediction, Purpose, SpecFacts
from modelport.doctor.exchange import exchange

LARGE_BYTES = 1_572_864 - 1024  # just below what the original service took
_AT_ONCE = 8
_PREDICTIONS = 200
_HEALTH_PERIOD_S = 0.1
_HEALTH_CHECKS = 60
_MARGIN_S = 1.0  # so that a health check that began while new predictions did runs out of time first


@dataclass(frozen=True)
class UnderLoad:
    """What a busy replica answered: predictions by outcome, and its health route over time, both folded.

    Of what is folded into one, the slowest is shown.
    """

    predictions: tuple[Prediction, ...]
    health: tuple[Exchange, ...]


async def predict_large(
    client: httpx.AsyncClient,
    base_url: str,
    spec: SpecFacts,
    sample: Sample,
    *,
    now: Callable[[], datetime],
    timeout_s: float,
) -> Prediction:
    """Send the sample in a body of about 1.5 MB.

    White space makes it large, which JSON allows between any two values: the model has no more to do than before, so
    what comes back tells about the limit for bodies and about nothing else.
    """
    url = base_url + spec.predict_route
    return await send_prediction(
        client,
        url,
        Purpose.LARGE,
        padded(sample.body),
        len(sample.instances),
        native=sample.native,
        now=now,
        timeout_s=timeout_s,
    )


async def predict_concurrently(
    client: httpx.AsyncClient,
    base_url: str,
    spec: SpecFacts,
    sample: Sample,
    *,
    now: Callable[[], datetime],
    timeout_s: float,
    probe_timeout_s: float,
    lasts_s: float = 2.0,
) -> UnderLoad:
    """Predict eight at a time, at most 200 times, and ask the health route every 100 ms meanwhile.

    New predictions begin for `lasts_s` seconds; those under way then are waited for, as slow ones are what starves
    the health route, but only as long as a health check may take.

    Args:
        client: see `http_client`.
        base_url: what URLs of the replica begin with.
        spec: for its routes.
        sample: one that works.
        now: the clock.
        timeout_s: longest time for one prediction.
        probe_timeout_s: longest time for one health check.
        lasts_s: how long new predictions begin.
    """
    predictions: list[Prediction] = []
    health: list[Exchange] = []
    until = anyio.current_time() + lasts_s
    begun = 0

    async def keep_predicting() -> None:
        nonlocal begun
        while begun < _PREDICTIONS and anyio.current_time() < until:
            begun += 1
            url = base_url + spec.predict_route
            predictions.append(
                await send_prediction(
                    client,
                    url,
                    Purpose.CONCURRENT,
                    sample.body,
                    len(sample.instances),
                    native=sample.native,
                    now=now,
                    timeout_s=timeout_s,
                )
            )

    async def keep_asking() -> None:
        while len(health) < _HEALTH_CHECKS or anyio.current_time() < until:
            url = base_url + spec.health_route
            health.append(await exchange(client, "GET", url, now=now, timeout_s=probe_timeout_s))
            await anyio.sleep(_HEALTH_PERIOD_S)

    async with anyio.create_task_group() as asking:
        asking.start_soon(keep_asking)
        with anyio.move_on_after(lasts_s + probe_timeout_s + _MARGIN_S):
            async with anyio.create_task_group() as group:
                for _ in range(_AT_ONCE):
                    group.start_soon(keep_predicting)
        asking.cancel_scope.cancel()
    return UnderLoad(_folded_predictions(predictions), folded(health))


def padded(body: bytes, size: int = LARGE_BYTES) -> bytes:
    """Return the same JSON object in so many bytes."""
    return body[:-1] + b" " * max(0, size - len(body)) + body[-1:]


def folded(exchanges: list[Exchange]) -> tuple[Exchange, ...]:
    """Return the exchanges with neighbours of one outcome folded into the slowest of them."""
    kept: list[Exchange] = []
    for one in exchanges:
        if kept and kept[-1].outcome == one.outcome:
            kept[-1] = _slower(kept[-1], one)
        else:
            kept.append(one)
    return tuple(kept)


def _folded_predictions(predictions: list[Prediction]) -> tuple[Prediction, ...]:
    by_outcome: dict[str, Prediction] = {}
    for one in predictions:
        before = by_outcome.setdefault(one.exchange.outcome, one)
        if before is not one:
            slower = one if one.exchange.latency_s > before.exchange.latency_s else before
            times = before.exchange.times + one.exchange.times
            by_outcome[one.exchange.outcome] = replace(slower, exchange=replace(slower.exchange, times=times))
    return tuple(by_outcome.values())


def _slower(one: Exchange, other: Exchange) -> Exchange:
    return replace(max(one, other, key=lambda each: each.latency_s), times=one.times + other.times)
