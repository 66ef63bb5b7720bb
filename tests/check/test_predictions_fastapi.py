"""Predictions asked of FastAPI servers, which describe themselves and say exactly what is wrong with a request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import pytest
from fastapi import FastAPI
from pydantic import BaseModel, Field

from modelport.check.predictions import Predicted, predict
from modelport.check.samples import Origin
from modelport.doctor.evidence import Purpose
from modelport.doctor.exchange import http_client
from modelport.doctor.sweep import ask_openapi
from tests.check.servers import SPEC, now, uvicorn_serving

pytestmark = pytest.mark.anyio


class Row(BaseModel):
    age: Annotated[int, Field(gt=17)]
    kind: Literal["a", "b"]
    tags: list[str]
    note: str | None = None


class Parameters(BaseModel):
    top_k: Annotated[int, Field(ge=1)]


class Rows(BaseModel):
    instances: list[Row]


class Fours(BaseModel):
    instances: list[Annotated[list[float], Field(min_length=4, max_length=4)]]


class WithParameters(BaseModel):
    instances: list[list[float]]
    parameters: Parameters


class Flat(BaseModel):
    features: list[float]


def rows(body: Rows) -> dict[str, Any]:
    return {"predictions": [row.age for row in body.instances]}


def fours(body: Fours) -> dict[str, Any]:
    return {"predictions": [sum(row) for row in body.instances]}


def with_parameters(body: WithParameters) -> dict[str, Any]:
    return {"predictions": [body.parameters.top_k for _ in body.instances]}


def flat(body: Flat) -> dict[str, Any]:
    return {"predictions": [sum(body.features)]}


def bare_rows(body: list[Row]) -> dict[str, Any]:
    return {"predictions": [row.age for row in body]}


async def ask(handler: Callable[..., Any], *, documented: bool) -> Predicted:
    async def no_log() -> str:
        return ""

    app = FastAPI(openapi_url="/openapi.json" if documented else None)
    app.post("/predict")(handler)
    async with uvicorn_serving(app) as address, http_client() as client:
        return await predict(
            client,
            address.base_url,
            SPEC,
            instances=None,
            openapi=await ask_openapi(client, address, now=now),
            now=now,
            timeout_s=5,
            new_log=no_log,
        )


@pytest.mark.parametrize(
    ("handler", "instances"),
    [
        (rows, [{"age": 18, "kind": "a", "tags": ["text"]}]),
        (fours, [[0.0, 0.0, 0.0, 0.0]]),
    ],
)
async def test_a_described_body_works_at_once_and_another_soon(
    handler: Callable[..., Any], instances: list[Any]
) -> None:
    described = await ask(handler, documented=True)
    assert described.tried.origin is Origin.SCHEMA
    assert described.working == described.tried
    assert described.tried.instances == instances
    guessed = await ask(handler, documented=False)
    assert guessed.working is not None
    assert (guessed.working.instances, guessed.working.origin) == (instances, Origin.LEARNED)


@pytest.mark.parametrize("documented", [True, False])
async def test_parameters_with_required_fields_are_filled_in(documented: bool) -> None:
    predicted = await ask(with_parameters, documented=documented)
    assert predicted.working is not None
    assert predicted.working.with_parameters
    assert predicted.working.parameters == {"top_k": 1}
    assert predicted.predictions[-1].purpose is Purpose.NO_PARAMETERS
    assert predicted.predictions[-1].exchange.status == 422


@pytest.mark.parametrize("documented", [True, False])
@pytest.mark.parametrize(
    ("handler", "sent"),
    [
        (flat, '{"features": [0.0]}'),
        (bare_rows, '[{"age": 18, "kind": "a", "tags": ["text"]}]'),
    ],
)
async def test_a_body_without_instances_is_proved_by_sending_it(
    handler: Callable[..., Any], sent: str, documented: bool
) -> None:
    predicted = await ask(handler, documented=documented)
    assert predicted.working is None
    last = predicted.predictions[-1]
    assert (last.purpose, last.exchange.status, last.exchange.sent) == (Purpose.BARE, 200, sent)
