"""The Open Inference Protocol, version 2, over REST: health, metadata and inference on the same model.

Not ready is answered with 503, like everywhere in this server; the protocol leaves the code open to whoever probes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from modelport import __version__
from modelport.core.errors import Error, InvalidArgument
from modelport.server import failures, inference
from modelport.server.batching import Batcher, Job
from modelport.server.exchange import Handler, Reply, Request, Response
from modelport.server.execution import Outcome, Predicted
from modelport.server.inference import LENGTH_HEADER, Inference
from modelport.server.model import ModelInfo, TensorInfo
from modelport.server.number_arrays import NumberReader
from modelport.server.prediction import counted, unwritable

_MOST_DIGITS = 18  # of a length; Python reads no number of thousands of them
_BINARY = b"application/octet-stream"
_EXTENSIONS = ["binary_tensor_data"]


def routes(
    info: ModelInfo, name: str, version: str, batcher: Batcher, ready: Callable[[], bool], *, nan: str = "null"
) -> dict[tuple[bytes, bytes], Handler]:
    """Return the handlers of the protocol by method and path.

    Args:
        info: what the model says about itself.
        name: that of the model.
        version: that of its version; where it has none there are only the routes without one.
        batcher: where its requests queue.
        ready: whether the model predicts.
        nan: what becomes of NaN and infinity among the predictions: "null" or "error".
    """
    infer = Infer(info, name, version, batcher, finite=nan == "error")
    model = f"/v2/models/{name}"
    found = server_routes(ready)
    for path in (model, f"{model}/versions/{version}") if version else (model,):
        base = path.encode()
        found[b"GET", base] = constant(_model(info, name, version))
        found[b"GET", base + b"/ready"] = readiness(ready, {"name": name})
        found[b"POST", base + b"/infer"] = infer
    return found


def server_routes(ready: Callable[[], bool]) -> dict[tuple[bytes, bytes], Handler]:
    """Return the handlers that are for no model: what the server is, and its health."""
    return {
        (b"GET", b"/v2"): constant(_server()),
        (b"GET", b"/v2/"): constant(_server()),
        (b"GET", b"/v2/health/live"): constant({"live": True}),
        (b"GET", b"/v2/health/ready"): readiness(ready, {}),
    }


class Infer:
    """The handler of inference requests."""

    def __init__(self, info: ModelInfo, name: str, version: str, batcher: Batcher, *, finite: bool) -> None:
        self._info = info
        self._name = name
        self._version = version
        self._batcher = batcher
        self._finite = finite
        self._numbers = NumberReader()

    def __call__(self, request: Request, reply: Reply) -> None:
        """Decode, queue, and answer when the model has predicted."""
        try:
            asked = inference.read(request.body, json_length(request), self._numbers)
            request.rows = asked.rows
            batch = inference.rows_for(asked, self._info)
            parsed = time.perf_counter()

            def done(outcome: Outcome) -> None:
                if reply.closed:
                    reply.abort()
                    return
                if isinstance(outcome, Predicted):
                    reply.send(self._answer(asked, outcome, parsed - request.received))
                else:
                    reply.send(refusal(outcome))

            self._batcher.submit(Job(batch, asked.parameters, done, reply))
        except Error as error:
            reply.send(refusal(error))
        except RecursionError:
            reply.send(refusal(InvalidArgument("The request is nested too deep: lists within each other")))

    def _answer(self, asked: Inference, outcome: Predicted, parse: float) -> Response:
        before = time.perf_counter()
        try:
            batch = counted(outcome.batch, asked.rows)
            outputs = inference.outputs_of(batch, self._info, finite=self._finite)
            answer = inference.answer(asked, outputs, self._name, self._version)
        except Error as error:
            return refusal(error)
        except Exception as error:  # the predictions are the model's own objects and may raise anything
            return refusal(unwritable(error))
        spans = outcome.spans
        spans.parse = parse
        spans.serialise = time.perf_counter() - before
        headers = {b"server-timing": spans.header()}
        if answer.json_length is None:
            return Response(200, answer.body, headers=headers)
        headers[LENGTH_HEADER] = b"%d" % answer.json_length
        return Response(200, answer.body, _BINARY, headers)


def refusal(error: Exception) -> Response:
    """Return a failure in the form of the protocol."""
    status = failures.status_of(error)
    return Response(status.code.http_status, orjson.dumps({"error": failures.words_of(status)}))


def json_length(request: Request) -> int | None:
    """Return the length of the JSON in front of tensors in binary form, or None where there are none.

    Raises:
        InvalidArgument: the request says a length that it cannot be.
    """
    value = request.header(LENGTH_HEADER)
    if not value:
        return None
    if not value.isdigit() or len(value) > _MOST_DIGITS or int(value) > len(request.body):
        raise InvalidArgument(
            f"Inference-Header-Content-Length is `{value[:40].decode('latin-1')}`, the body has "
            f"{len(request.body)} bytes",
            hint="Send the length of the JSON in front of the tensors",
        )
    return int(value)


def constant(document: dict[str, Any]) -> Handler:
    """Return a handler that always answers this."""
    response = Response(200, orjson.dumps(document))

    def handle(request: Request, reply: Reply) -> None:
        reply.send(response)

    return handle


def readiness(ready: Callable[[], bool], document: Mapping[str, Any]) -> Handler:
    """Return a handler that tells whether it is ready, beside what the document says."""
    responses = {
        True: Response(200, orjson.dumps({**document, "ready": True})),
        False: Response(503, orjson.dumps({**document, "ready": False})),
    }

    def handle(request: Request, reply: Reply) -> None:
        reply.send(responses[ready()])

    return handle


def _server() -> dict[str, Any]:
    return {"name": "modelport", "version": __version__, "extensions": _EXTENSIONS}


def _model(info: ModelInfo, name: str, version: str) -> dict[str, Any]:
    return {
        "name": name,
        "versions": [version] if version else [],
        "platform": info.framework.lower(),
        "inputs": [_tensor(one) for one in info.inputs],
        "outputs": [_tensor(one) for one in info.outputs],
    }


def _tensor(info: TensorInfo) -> dict[str, Any]:
    return {"name": info.name, "datatype": info.datatype, "shape": list(info.shape)}
