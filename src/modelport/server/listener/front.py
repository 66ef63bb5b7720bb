"""The predict route of a listener: chooses the target, and converts where caller and model speak different formats."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import anyio

from modelport.server.exchange import Reply, Request, Response
from modelport.server.listener.formats.base import Format
from modelport.server.listener.router import Router
from modelport.server.listener.steps.work import Context, Work
from modelport.server.listener.wire.hang_ups import HangUps
from modelport.server.listener.wire.model_access import ModelAccess
from modelport.server.listener.wire.pass_through import PassThrough
from modelport.server.listener.wire.server_timing import timed
from modelport.server.model import Batch, rows_of


@dataclass(frozen=True)
class Target:
    """What a route leads to.

    Attributes:
        work: a stack, or the call of a model.
        access: where it is a model alone: the way to it, for what is passed on as it is.
    """

    work: Work
    access: ModelAccess | None = None


class Front:
    """The handler of the predict route."""

    def __init__(
        self,
        formats: tuple[Format, ...],
        router: Router,
        targets: Mapping[str, Target],
        start_soon: Callable[..., object],
        *,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        *self._formats, self._otherwise = formats
        self._router = router
        self._targets = targets
        self._start_soon = start_soon
        self._hang_ups = HangUps(loop=loop)
        self._pass_on = PassThrough(self._hang_ups, start_soon)

    def __call__(self, request: Request, reply: Reply) -> None:
        """Answer, now or later."""
        spoken = self._otherwise
        for one in self._formats:
            if one.speaks(request):
                spoken = one
                break
        try:
            name = self._router.target(request)
            target = self._targets[name]
            if target.access is not None and target.access.model.format == spoken.name:
                self._pass_on(request, reply, target.access, spoken)
            else:
                self._start_soon(self._convert, _Conversion(request, reply, name, target, spoken))
        except Exception as error:  # whatever it is, the caller is told in the caller's format
            spent = time.perf_counter() - (request.received or time.perf_counter())
            reply.send(timed(spoken.write_failure(error), [("route", spent)]))

    async def _convert(self, conversion: _Conversion) -> None:
        with anyio.CancelScope() as scope:
            conversion.hung_up = scope.cancel
            self._hang_ups.watch(conversion)
            response = await conversion.response()
        self._hang_ups.forget(conversion)
        if scope.cancelled_caught:
            conversion.reply.abort()
        else:
            conversion.reply.send(response)


class _Conversion:
    """One request that is read, worked on and answered in its caller's format.

    Attributes:
        hung_up: stops that.
    """

    hung_up: Callable[[], None]

    def __init__(self, request: Request, reply: Reply, name: str, target: Target, format: Format) -> None:
        self.reply = reply
        self._request = request
        self._name = name
        self._target = target
        self._format = format

    async def response(self) -> Response:
        """Return the answer, or the failure as an answer."""
        request, spoken = self._request, self._format
        context = Context()
        spans = context.spans
        begun = time.perf_counter()
        try:
            call = spoken.read_call(request)
            request.rows = rows_of(call.batch)
            context.parameters = call.parameters
            context.headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in request.headers}
            spans.append(("parse", time.perf_counter() - begun))
            # Nothing in, nothing out: not every model server bears to be asked for that.
            batch = await self._worked_on(call.batch, context) if request.rows else []
            done = time.perf_counter()
            response = spoken.write_answer(batch, call, self._name)
            spans.append(("serialise", time.perf_counter() - done))
        except Exception as error:  # a step's own code may raise anything
            response = spoken.write_failure(the_one(error))
        return timed(response, spans)

    async def _worked_on(self, batch: Batch, context: Context) -> Batch:
        told, begun = len(context.spans), time.perf_counter()
        try:
            return await self._target.work.run({"": batch}, context)
        finally:
            if len(context.spans) == told:  # a stack tells of its steps itself
                context.spans.append((self._name.replace(" ", "-"), time.perf_counter() - begun))


def the_one(error: Exception) -> Exception:
    """Return the first error of those that a task group has gathered, and any other as it is."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error
