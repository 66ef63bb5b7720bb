"""Predictions of a predictor that yields: sent item by item to those who ask for it, collected for everybody else.

The generator is called once for each instance, with a list of that one; its items make the prediction of it. So an
ordinary client gets one prediction for each instance, as the contract says: texts are put together, all else is a list.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from modelport.core.errors import ResourceExhausted
from modelport.server import failures
from modelport.server.decoding import Decoder, Instances
from modelport.server.encoding import encode
from modelport.server.exchange import Reply, Request, Response
from modelport.server.model import Batch, Calls, Model, rows_of

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

Encode = Callable[[Batch], bytes]


@dataclass(frozen=True)
class Wire:
    """How items are sent: a pure description of a format.

    Attributes:
        content_type: of the answer.
        item: makes a piece of the answer of an item's JSON and the index of its instance.
        error: makes the last piece of an error's JSON.
        end: the last piece where all went well.
    """

    content_type: bytes
    item: Callable[[bytes, int], bytes]
    error: Callable[[bytes], bytes]
    end: bytes
    headers: dict[bytes, bytes] = field(default_factory=dict)


EVENTS = Wire(
    b"text/event-stream",
    lambda item, index: b'data: {"prediction":%b,"instance":%d}\n\n' % (item, index),
    lambda error: b"event: error\ndata: %b\n\n" % error,
    b"event: done\ndata: {}\n\n",
    # A proxy that gathers the answer before it passes it on would defeat its purpose.
    {b"cache-control": b"no-cache", b"x-accel-buffering": b"no"},
)
LINES = Wire(
    b"application/x-ndjson",
    lambda item, index: b'{"prediction":%b,"instance":%d}\n' % (item, index),
    lambda error: error + b"\n",
    b"",
    {b"x-accel-buffering": b"no"},
)


def wire_for(accept: bytes) -> Wire | None:
    """Return the format that an `accept` header asks for; None for an ordinary answer."""
    kinds = {kind.partition(b";")[0].strip().lower() for kind in accept.split(b",")}
    return next((wire for wire in (EVENTS, LINES) if wire.content_type in kinds), None)


def collected(items: list[Any]) -> Any:
    """Return the prediction that the items of one instance make: one text of texts, else their list."""
    if items and all(isinstance(item, str) for item in items):
        return "".join(items)
    return items


class StreamPrediction:
    """The handler of the predict route for a model that yields.

    Args:
        model: its `info.calls` is STREAM or ASYNC_STREAM.
        tasks: where requests run; it outlives the handler.
        at_once: how many streams may be under way; ordinary generators have a thread each, and no more than
            `info.threads` run.
        max_waiting: how many more may wait for one of those to end.
        encode: makes the answer of predictions.
    """

    def __init__(
        self, model: Model, tasks: TaskGroup, *, at_once: int, max_waiting: int, encode: Encode = encode
    ) -> None:
        self._model = model
        self._threaded = model.info.calls is Calls.STREAM
        from anyio import CapacityLimiter  # only where a predictor yields

        if self._threaded:
            at_once = min(at_once, model.info.threads)
        # A limit of its own: the threads that others share may all be taken.
        self._threads = CapacityLimiter(at_once)
        self._crowd = _Crowd(tasks, at_once=at_once, max_waiting=max_waiting)
        self._decode = Decoder(model.info.form)
        self._encode = encode

    def __call__(self, request: Request, reply: Reply) -> None:
        """Decode, and answer from a task."""
        instances = self._decode(request.body)
        request.rows = rows_of(instances.batch)
        wire = wire_for(request.header(b"accept"))
        answer = _Streamed(reply, wire, self._encode) if wire else _Collected(reply, instances, self._encode)
        self._crowd.admit(self._answer, instances, answer)

    async def _answer(self, instances: Instances, answer: _Streamed | _Collected) -> None:
        try:
            if self._threaded:
                await self._pull_in_thread(instances, answer)
            else:
                await self._pull(instances, answer)
            await answer.finish()
        except Exception as error:  # the model's own code may raise anything
            await answer.fail(error)
        finally:
            answer.leave()

    async def _pull(self, instances: Instances, answer: _Streamed | _Collected) -> None:
        inputs = self._model.preprocess(instances.batch, instances.parameters)
        async with aclosing(self._model.predict(inputs, instances.parameters)) as items:
            async for index, item in items:
                if not await answer.put(*answer.prepared(index, item)):
                    return

    async def _pull_in_thread(self, instances: Instances, answer: _Streamed | _Collected) -> None:
        from anyio import from_thread, to_thread

        def pull() -> None:
            # One thread from the first item to the last: what the code holds in its thread stays there.
            inputs = self._model.preprocess(instances.batch, instances.parameters)
            items = self._model.predict(inputs, instances.parameters)
            try:
                for index, item in items:
                    from_thread.check_cancelled()  # the server ends
                    # Returns when the caller has taken the item in, so the generator is not ahead of its reader.
                    if not from_thread.run(answer.put, *answer.prepared(index, item)):
                        return
            finally:
                items.close()

        await to_thread.run_sync(pull, limiter=self._threads)


class _Streamed:
    """An answer that is sent while it comes to be; starts with the first item, so that an error before has a status."""

    def __init__(self, reply: Reply, wire: Wire, encode: Encode) -> None:
        self._reply = reply
        self._wire = wire
        self._encode = encode
        self._started = False
        self._ended = False

    def prepared(self, index: int, item: Any) -> tuple[int, bytes]:
        body = self._encode([item])
        return index, self._wire.item(body[body.index(b"[") + 1 : body.rindex(b"]")], index)

    async def put(self, index: int, chunk: bytes) -> bool:
        """Send an item; return whether somebody wants more."""
        self._start()
        await self._reply.write(chunk)
        return not self._reply.closed

    async def finish(self) -> None:
        self._start()
        if self._wire.end and not self._reply.closed:
            await self._reply.write(self._wire.end)
        self._end()

    async def fail(self, error: Exception) -> None:
        answer = failures.response(error)
        if not self._started:
            self._ended = True
            self._reply.send(answer)
            return
        await self._reply.write(self._wire.error(answer.body))
        self._end()

    def leave(self) -> None:
        """Cut off what was started and is not whole."""
        if self._started and not self._ended:
            self._reply.abort()

    def _start(self) -> None:
        if not self._started:
            self._started = True
            self._reply.start(self._wire.content_type, self._wire.headers)

    def _end(self) -> None:
        self._ended = True
        self._reply.end()


class _Collected:
    """An ordinary answer, made of all items when the last one is there."""

    def __init__(self, reply: Reply, instances: Instances, encode: Encode) -> None:
        self._reply = reply
        self._encode = encode
        self._items: list[list[Any]] = [[] for _ in range(rows_of(instances.batch))]

    def prepared(self, index: int, item: Any) -> tuple[int, Any]:
        return index, item

    async def put(self, index: int, item: Any) -> bool:
        self._items[index].append(item)
        return not self._reply.closed

    async def finish(self) -> None:
        if self._reply.closed:
            self._reply.abort()
        else:
            self._reply.send(Response(200, self._encode([collected(items) for items in self._items])))

    async def fail(self, error: Exception) -> None:
        self._reply.send(failures.response(error))

    def leave(self) -> None:
        pass


class _Crowd:
    """The requests that have tasks: so many at once, so many waiting, and no more."""

    def __init__(self, tasks: TaskGroup, *, at_once: int, max_waiting: int) -> None:
        from anyio import CapacityLimiter  # only where a predictor yields

        self._tasks = tasks
        self._limit = CapacityLimiter(at_once)
        self._most = at_once + max_waiting
        self._there = 0

    def admit(self, work: Callable[..., Any], *arguments: Any) -> None:
        """Start a task that runs `work` as soon as its turn comes; `work` must catch what it raises.

        Raises:
            ResourceExhausted: too many wait already.
        """
        if self._there >= self._most:
            raise ResourceExhausted(
                f"{self._there} requests are under way or wait for the model",
                hint="Try again later, or add replicas",
            )
        self._there += 1
        self._tasks.start_soon(self._run, work, arguments)

    async def _run(self, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        try:
            async with self._limit:
                await work(*arguments)
        finally:
            self._there -= 1
