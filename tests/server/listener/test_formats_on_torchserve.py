"""The format `torchserve` on the real TorchServe: all kinds of rows, and what it says when it fails."""

import json
from typing import Any

import numpy as np
import pytest

from modelport.core.errors import Error, InvalidArgument, ModelServerFailed
from modelport.server.exchange import Request
from modelport.server.listener.declaration import Model
from modelport.server.listener.formats.base import Message
from modelport.server.listener.formats.torchserve import TorchServe as TorchServeFormat
from modelport.server.listener.wire.model_call import failure
from tests.model_servers.torchserve import TorchServe
from tests.server.listener.asking import answered, predicted

pytestmark = [pytest.mark.slow, pytest.mark.anyio]


def model(name: str = "double") -> Model:
    return Model(name, "torchserve", f"/predictions/{name}", format="torchserve")


ROWS: dict[str, tuple[Any, Any]] = {
    "numbers": ([1, -2.5], [2, -5.0]),
    "vectors": ([[1, 2], [3, 4]], [[2, 4], [6, 8]]),
    "ragged vectors": ([[1, 2], [3], []], [[2, 4], [6], []]),
    "matrices": ([[[1.5, 2], [3, 4]]], [[[3.0, 4.0], [6.0, 8.0]]]),
    "beyond 2^53": ([[2**53 + 1]], [[2**54 + 2]]),
    "booleans": ([[True, False]], [[2, 0]]),
    "texts": (["abc", "", "Ünïcödé 語 🙂"], ["cba", "", "🙂 語 édöcïnÜ"]),
    "an array": (np.array([[1, 2], [3, 4]], np.int64), [[2, 4], [6, 8]]),
    "an array of floats": (np.array([[0.25]], np.float64), [[0.5]]),
    "no rows": ([], []),
}


@pytest.mark.parametrize(("rows", "wanted"), ROWS.values(), ids=ROWS)
async def test_rows_come_back_in_their_order(torchserve: TorchServe, rows: Any, wanted: Any) -> None:
    assert await predicted(torchserve.url, model(), rows) == wanted


async def test_many_rows_are_asked_for_one_by_one(torchserve: TorchServe) -> None:
    rows = [[number] for number in range(40)]

    assert await predicted(torchserve.url, model(), rows) == [[2 * number] for number in range(40)]


async def test_bytes_are_sent_as_they_are(torchserve: TorchServe) -> None:
    picture = bytes(range(256))

    assert await predicted(torchserve.url, model("measure"), [picture, b"\xff"]) == [
        {"bytes": 256, "sum": sum(picture)},
        {"bytes": 1, "sum": 255},
    ]


async def test_an_answer_of_bytes_is_a_row_of_bytes(torchserve: TorchServe) -> None:
    assert await predicted(torchserve.url, model("negative"), [b"\x00\x0f"]) == [b"\xff\xf0"]


async def test_a_handler_that_raises_is_a_failure_of_the_model_server(torchserve: TorchServe) -> None:
    """It says 503 then, as if it were not there, and nothing of the exception."""
    with pytest.raises(ModelServerFailed) as failed:
        await predicted(torchserve.url, model(), ["raise"])

    assert failed.value.message == "The model `double` on `torchserve` answered 503: Prediction failed"


async def test_one_row_that_fails_fails_the_call(torchserve: TorchServe) -> None:
    with pytest.raises(Error, match="Prediction failed"):
        await predicted(torchserve.url, model(), ["abc", "raise", "def"])


@pytest.mark.parametrize("row", [[[1, 2], [3]], {"x": 1}], ids=["a ragged matrix", "an object"])
async def test_rows_that_the_model_does_not_take_fail(torchserve: TorchServe, row: Any) -> None:
    with pytest.raises(Error, match="Prediction failed"):
        await predicted(torchserve.url, model(), [row])


async def test_an_unknown_model_is_told_in_its_words(torchserve: TorchServe) -> None:
    with pytest.raises(InvalidArgument, match="answered 404: Model not found: absent"):
        await predicted(torchserve.url, model("absent"), [[1]])


async def test_a_failure_of_the_handler_s_own_keeps_its_status_and_words(torchserve: TorchServe) -> None:
    with pytest.raises(InvalidArgument, match="answered 422: no text, please"):
        await predicted(torchserve.url, model("measure"), ["text"])
    with pytest.raises(ModelServerFailed, match="answered 500: not today"):
        await predicted(torchserve.url, model("measure"), [b"fail"])


async def test_the_format_s_own_failures_look_like_those_of_the_real_one(torchserve: TorchServe) -> None:
    """So a client of TorchServe reads both."""
    spoken = TorchServeFormat()
    theirs = await answered(torchserve.url, model("absent"), Message(b"[1]"))
    ours = spoken.write_failure(failure(theirs, model("absent"), spoken))

    document, own = json.loads(theirs.body), json.loads(ours.body)
    assert (theirs.status, document["type"]) == (404, "ModelNotFoundException")
    assert own.keys() == document.keys()
    assert own["code"] == ours.status
    assert document["message"] in own["message"]


async def test_what_a_client_of_torchserve_sends_is_read_as_a_row(torchserve: TorchServe) -> None:
    """Read and written again it is the same request to TorchServe."""
    spoken = TorchServeFormat()
    body = b'{"data": [1, 2]}'
    request = Request(b"POST", b"/predict", b"", ((b"Content-Type", b"application/json"),), body)

    call = spoken.read_call(request)

    assert json.loads(spoken.write_call(call, model()).body) == {"data": [1, 2]}
