"""Predictions asked in the Open Inference Protocol, of modelport's own server on an infer route."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import joblib
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from modelport.check.load import predict_large
from modelport.check.predictions import Predicted, predict
from modelport.check.samples import Origin
from modelport.doctor import trials
from modelport.doctor.answers import Answer, answer_of
from modelport.doctor.evidence import Evidence, Phase, Purpose
from modelport.doctor.exchange import http_client
from tests.check.servers import SPEC, now
from tests.server.server_process import ServerProcess

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
INFER = replace(SPEC, predict_route="/v2/models/iris/infer")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("iris")
    joblib.dump(LogisticRegression(max_iter=500).fit(*load_iris(return_X_y=True)), folder / "model.joblib")
    server = ServerProcess(folder, str(folder), "--model-name", "iris", "--workers", "1")
    try:
        server.ready()
        yield str(server.client.base_url)
    finally:
        server.end()


async def ask(url: str, instances: list[Any] | None = None) -> Predicted:
    async def nothing() -> str:
        return ""

    async with http_client() as client:
        return await predict(
            client, url, INFER, instances=instances, openapi=None, now=now, timeout_s=10, new_log=nothing
        )


async def test_what_the_model_takes_is_asked_for_and_sent(url: str) -> None:
    predicted = await ask(url)
    assert predicted.working is not None
    assert predicted.working.origin is Origin.METADATA
    assert {one.purpose for one in predicted.predictions} == {Purpose.SAFE, Purpose.REPEAT}
    assert all(one.native and answer_of(one) is Answer.WORKS for one in predicted.predictions)
    assert '"outputs"' in (predicted.predictions[0].complete_body or "")
    async with http_client() as client:
        large = await predict_large(client, url, INFER, predicted.working, now=now, timeout_s=10)
    assert answer_of(large) is Answer.WORKS


async def test_what_the_answer_looks_like_is_not_for_the_contract_to_say(url: str) -> None:
    predicted = await ask(url)
    evidence = Evidence("v", Phase.DONE, "process", now(), 1.0, spec=INFER, predictions=predicted.predictions)
    assert trials.answered(evidence) is None


async def test_a_request_of_the_users_own_that_fails_is_no_guess(url: str) -> None:
    tensor = {"name": "input", "datatype": "FP64", "shape": [1, 3], "data": [[1, 2, 3]]}
    predicted = await ask(url, [{"inputs": [tensor]}])
    assert predicted.working is None
    (only,) = predicted.predictions
    assert (only.purpose, only.exchange.status) == (Purpose.SAMPLE, 400)
