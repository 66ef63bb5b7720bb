from typing import Any

import anyio
import numpy as np
import orjson
import pytest

from modelport.server.exchange import Request
from modelport.server.model import Form
from modelport.server.prediction import Prediction
from tests.server.wire_exchanges import Function, Recorded, ask, batcher_of

pytestmark = pytest.mark.anyio


async def answer(model: Function, body: Any, **options: Any) -> tuple[int, Any]:
    response = await ask(Prediction(model.info, batcher_of(model), **options), body)
    document = orjson.loads(response.body)
    return response.status, document.get("predictions", document.get("error"))


def double(rows: Any) -> Any:
    return rows * 2


async def test_rows_go_to_the_model_and_its_predictions_come_back() -> None:
    model = Function(double)
    assert await answer(model, {"instances": [[1, 2], [3, 4]], "parameters": {"a": 1}}) == (200, [[2, 4], [6, 8]])
    assert model.parameters == {"a": 1}
    assert model.batch.dtype == np.int64


async def test_the_answer_tells_where_the_time_went() -> None:
    model = Function(double)
    response = await ask(Prediction(model.info, batcher_of(model)), {"instances": [1]})
    assert response.headers[b"server-timing"].startswith(b"parse;dur=")


async def test_no_rows_need_no_model() -> None:
    model = Function(double)
    assert await answer(model, {"instances": []}) == (200, [])
    assert model.batch is None


async def test_a_model_that_takes_lists_is_given_lists() -> None:
    model = Function(lambda rows: [len(row) for row in rows], form=Form.PYTHON)
    assert await answer(model, {"instances": [[1], [2, 3]]}) == (200, [1, 2])


async def test_a_body_that_cannot_be_read_is_the_callers_fault() -> None:
    status, error = await answer(Function(double), b"[1]")
    assert (status, error["message"]) == (400, "The body is a list, not an object")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (lambda rows: rows[:1], "The model gave 1 predictions for 2 instances"),
        (lambda rows: [1, 2, 3], "The model gave 3 predictions for 2 instances"),
        (lambda rows: {"a": [1, 2], "b": [1]}, "The model gave 1 predictions for 2 instances"),
        (lambda rows: {}, "The model gave 0 predictions for 2 instances"),
        (lambda rows: None, "one value of type `NoneType`"),
        (lambda rows: [object()] * 2, "predictions[0] cannot be written as JSON"),
    ],
)
async def test_predictions_that_do_not_fit_the_instances_are_the_models_fault(given: Any, text: str) -> None:
    status, error = await answer(Function(given), {"instances": [1, 2]})
    assert status == 500
    assert text in error["message"]


async def test_an_object_that_fails_when_it_is_written_is_the_models_fault() -> None:
    class Hostile:
        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            raise ValueError("no")

    for outputs, text in ((Hostile(), "ValueError: no"), ([Hostile()], "predictions[0] cannot be written as JSON: no")):
        status, error = await answer(Function(lambda rows, outputs=outputs: outputs), {"instances": [1]})
        assert status == 500
        assert text in error["message"]


async def test_nan_is_null_or_an_error() -> None:
    model = Function(lambda rows: np.array([1.5, np.nan]))
    assert await answer(model, {"instances": [1, 2]}) == (200, [1.5, None])
    status, error = await answer(model, {"instances": [1, 2]}, nan="error")
    assert (status, error["details"][0]["metadata"]["row"]) == (500, "1")


async def test_the_row_at_fault_is_named() -> None:
    def roots(rows: Any) -> Any:
        if (rows < 0).any():
            raise ValueError("a negative number")
        return np.sqrt(rows)

    status, error = await answer(Function(roots), {"instances": [1, 4, 9, -16, 25]})
    assert status == 400
    assert error["message"] == "instances[3]: The model refuses the instances: ValueError: a negative number"
    assert error["details"][0]["metadata"]["row"] == "3"


async def test_nothing_is_sent_to_a_caller_who_has_hung_up() -> None:
    model = Function(double)
    handler = Prediction(model.info, batcher_of(model))
    reply = Recorded()
    handler(Request(b"POST", b"/", body=b'{"instances":[1]}'), reply)  # type: ignore[arg-type]
    reply.closed = True
    # One that comes later and is answered shows that the first one's turn is over.
    assert (await ask(handler, {"instances": [2]})).status == 200
    await anyio.lowlevel.checkpoint()
    assert not reply.responses


async def test_the_number_of_rows_is_noted_for_the_log() -> None:
    model = Function(double)
    request = Request(b"POST", b"/", body=b'{"instances":[[1],[2],[3]]}')
    reply = Recorded()
    Prediction(model.info, batcher_of(model))(request, reply)  # type: ignore[arg-type]
    await reply.answered.wait()
    assert request.rows == 3


async def test_deep_requests_at_once_are_all_answered() -> None:
    model = Function(lambda rows: [1] * len(rows), form=Form.PYTHON)
    handler = Prediction(model.info, batcher_of(model))
    deep = b"[" * 1015 + b"]" * 1015
    bodies = [b'{"instances":[%b]}' % deep, b'{"instances":[1],"parameters":{"a":%b}}' % deep] * 3
    statuses: list[int] = []

    async def one(body: bytes) -> None:
        statuses.append((await ask(handler, body)).status)

    async with anyio.create_task_group() as tasks:
        for body in bodies:
            tasks.start_soon(one, body)
    assert len(statuses) == len(bodies)
    assert set(statuses) == {200}
