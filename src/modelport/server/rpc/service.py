"""The protocol over gRPC: a port of its own, and calls answered by the handlers that answer REST.

Each worker listens on the port itself; the operating system spreads connections over them, and a connection stays with
its worker. The port opens when the worker is ready.
"""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc

from modelport.core.errors import Code, Error, InvalidArgument
from modelport.server import failures
from modelport.server.exchange import Handler, Request, Response
from modelport.server.rpc.messages import METHODS, SERVICE, message_types
from modelport.server.rpc.translation import Failure, message_of, request_of

_TIMING = "server-timing"
_MOST = 2**31 - 1  # that an option of gRPC may be

Call = Callable[[Any, Any], Awaitable[Any]]


class RpcServer:
    """Answers the calls of one worker."""

    def __init__(self, handler: Handler, *, max_body_bytes: int, idle_timeout_s: float) -> None:
        """Take what answers requests, how large one may be, and how long a connection without any is kept."""
        self._handler = handler
        self._types = message_types()
        options = (
            ("grpc.so_reuseport", 1),
            ("grpc.max_receive_message_length", min(max_body_bytes, _MOST)),
            ("grpc.max_connection_idle_ms", min(int(idle_timeout_s * 1e3), _MOST)),
            ("grpc.max_send_message_length", -1),
        )
        self._server = grpc.aio.server(options=options)
        methods = {method: self._method(method) for method in METHODS}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))

    async def start(self, host: str, port: int) -> int:
        """Listen from now on; return the port.

        Raises:
            InvalidArgument: the address cannot be used.
        """
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            bound = self._server.add_insecure_port(where)
        except RuntimeError as error:
            raise InvalidArgument(
                f"The server cannot listen on `{where}` for gRPC: {error}", hint="Name another with --grpc-port"
            ) from error
        await self._server.start()
        return int(bound)

    async def stop(self, grace_s: float) -> None:
        """Take no more calls, and let those that run end within the time."""
        await self._server.stop(grace_s)

    def _method(self, method: str) -> Any:
        return grpc.unary_unary_rpc_method_handler(
            self._call(method),
            request_deserializer=self._types[f"{method}Request"].FromString,
            response_serializer=self._types[f"{method}Response"].SerializeToString,
        )

    def _call(self, method: str) -> Call:
        async def call(message: Any, context: Any) -> Any:
            try:
                response = await self._answered(request_of(method, message))
                timing = response.headers.get(_TIMING.encode())
                if timing is not None:
                    context.set_trailing_metadata(((_TIMING, timing.decode()),))
                return message_of(method, self._types, response)
            except Failure as failure:
                await _abort(context, failure.code, failure.message)
            except Error as error:
                status = failures.status_of(error)
                await _abort(context, status.code, failures.words_of(status))
            except Exception:  # a defect of a handler, as over REST
                traceback.print_exc(file=sys.stderr)
                await _abort(context, Code.INTERNAL, "The server failed. See its log")

        return call

    async def _answered(self, request: Request) -> Response:
        reply = _Reply()
        try:
            self._handler(request, reply)
            return await reply.response
        finally:
            reply.closed = True


class _Reply:
    """A reply that somebody awaits; it is closed when nobody does any more."""

    __slots__ = ("_chunks", "_head", "closed", "response")

    def __init__(self) -> None:
        self.closed = False
        self.response: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._head: tuple[bytes, Mapping[bytes, bytes]] = (b"", {})
        self._chunks: list[bytes] = []

    def send(self, response: Response) -> None:
        """Answer in one piece."""
        if not self.response.done():
            self.response.set_result(response)

    def start(self, content_type: bytes, headers: Mapping[bytes, bytes]) -> None:
        """Begin an answer of unknown length, which is gathered: a call has one message as its answer."""
        self._head = content_type, headers

    async def write(self, chunk: bytes) -> None:
        """Gather a piece."""
        self._chunks.append(chunk)

    def end(self) -> None:
        """Answer with what was gathered."""
        content_type, headers = self._head
        self.send(Response(200, b"".join(self._chunks), content_type, headers))

    def abort(self) -> None:
        """Give up answering."""
        self.response.cancel()


async def _abort(context: Any, code: Code, message: str) -> None:
    await context.abort(grpc.StatusCode[code.value], message)
