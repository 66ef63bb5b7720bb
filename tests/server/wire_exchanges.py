"""A model behind a real batcher, asked without sockets."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio
import orjson

from modelport.core.errors import Error
from modelport.server import failures
from modelport.server.batching import Batcher, BatchLimits
from modelport.server.exchange import Handler, Request, Response
from modelport.server.execution import Executor
from modelport.server.model import Direct, ModelInfo


class Function(Direct):
    """A model that is a function of its rows."""

    def __init__(self, function: Callable[..., Any], **info: Any) -> None:
        self.function = function
        self.info = ModelInfo(**{"framework": "TEST", **info})
        self.parameters: Mapping[str, Any] = {}
        self.batch: Any = None

    def predict(self, inputs: Any, parameters: Mapping[str, Any]) -> Any:
        self.batch, self.parameters = inputs, parameters
        return self.function(inputs)


@dataclass
class Recorded:
    """A reply that keeps what it is sent."""

    closed: bool = False
    responses: list[Response] = field(default_factory=list)
    answered: anyio.Event = field(default_factory=anyio.Event)

    def send(self, response: Response) -> None:
        self.responses.append(response)
        self.answered.set()


def batcher_of(model: Function) -> Batcher:
    loop = asyncio.get_running_loop()
    return Batcher(Executor(model, loop=loop), model.info, BatchLimits(), loop=loop)


async def ask(
    handler: Handler, body: bytes | Mapping[str, Any] = b"", headers: list[tuple[bytes, bytes]] | None = None
) -> Response:
    """Return the one answer of a handler."""
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    reply = Recorded()
    request = Request(b"POST", b"/", headers=headers or [], body=content)
    try:
        handler(request, reply)  # type: ignore[arg-type]
    except Error as error:  # as the app does
        return failures.response(error)
    with anyio.fail_after(20):
        await reply.answered.wait()
    assert len(reply.responses) == 1
    return reply.responses[0]
