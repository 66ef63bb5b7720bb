"""The handler of a server of several models: which model a request is for, and the model's own handler for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

import orjson

from modelport.core.errors import Error, RouteNotFound
from modelport.server import failures, open_inference
from modelport.server.exchange import Handler, PassedOn, Reply, Request, Response
from modelport.server.multi_model.residents import Opened, Residents

_LISTED = 20
_V2, _V1 = b"/v2/models/", b"/v1/models/"
_PREDICT = b":predict"


class Dispatch:
    """Finds the model of a request and has it answered, loading the model first where it must.

    A model is named by the path (`/v2/models/NAME/infer`, `/v1/models/NAME:predict`), else on the predict route by a
    header.
    """

    def __init__(
        self,
        residents: Residents,
        others: Handler,
        start_soon: Callable[..., object],
        *,
        header: str,
        predict_route: bytes,
    ) -> None:
        """Take what it needs.

        Args:
            residents: the models.
            others: answers what is for no model, such as health and metrics.
            start_soon: starts a coroutine in a task group.
            header: that names the model on the predict route.
            predict_route: of the server.
        """
        self._residents = residents
        self._others = others
        self._start_soon = start_soon
        self._header = header.lower().encode()
        self._predict_route = predict_route

    def __call__(self, request: Request, reply: Reply) -> None:
        """Answer, now or when the model is there."""
        try:
            name = self._named(request)
            if name is None:
                self._others(request, reply)
                return
            if name not in self._residents.models:
                raise unknown(name, self._residents.models)
            opened = self._residents.hold(name)
            if opened is not None:
                self._ask(name, opened, request, reply)
            else:
                self._start_soon(self._load, name, request, reply)
        except Error as error:
            reply.send(refusal(request, error))

    def _named(self, request: Request) -> str | None:
        """Return the model that a request is for; its path is then that of a server of one model called so."""
        path = request.path
        if path == self._predict_route and request.method == b"POST":
            name = request.header(self._header).decode("latin-1")
            if not name:
                raise RouteNotFound(
                    f"The request names no model: it has no header `{self._header.decode()}`",
                    hint=f"Name one of {_listed(self._residents.models)}",
                )
            return name
        if path.startswith(_V2):
            return unquote(path[len(_V2) :].partition(b"/")[0].decode("latin-1"))
        if path.startswith(_V1) and path.endswith(_PREDICT) and request.method == b"POST":
            request.path = self._predict_route
            return unquote(path[len(_V1) : -len(_PREDICT)].decode("latin-1"))
        return None

    async def _load(self, name: str, request: Request, reply: Reply) -> None:
        try:
            opened = await self._residents.load(name)
        except Error as error:
            reply.send(refusal(request, error))
            return
        self._ask(name, opened, request, reply)

    def _ask(self, name: str, opened: Opened, request: Request, reply: Reply) -> None:
        using = _Using(reply, lambda: self._residents.release(name))
        if reply.closed:
            using.abort()
            return
        try:
            opened.handler(request, using)
        except Error as error:
            using.send(failures.response(error))
        except Exception:
            using.done()
            raise


class _Using(PassedOn):
    """A reply that tells, once, when a model is not needed for it any more."""

    __slots__ = ("_release",)

    def __init__(self, reply: Reply, release: Callable[[], None]) -> None:
        super().__init__(reply)
        self._release: Callable[[], None] | None = release

    def done(self) -> None:
        """Let the model go."""
        if self._release is not None:
            self._release()
            self._release = None

    def send(self, response: Response) -> None:
        self.done()
        self._reply.send(response)

    def end(self) -> None:
        self.done()
        self._reply.end()

    def abort(self) -> None:
        self.done()
        self._reply.abort()


def index(residents: Residents) -> Handler:
    """Return the handler that lists the models, and which of them are in memory."""

    def handle(request: Request, reply: Reply) -> None:
        states: list[dict[str, Any]] = [
            {"name": name, "state": "READY" if name in residents else "UNAVAILABLE"} for name in residents.models
        ]
        reply.send(Response(200, orjson.dumps(states)))

    return handle


def unknown(name: str, models: Mapping[str, object]) -> RouteNotFound:
    """Return the error of a model that is not there."""
    return RouteNotFound(f"There is no model `{name[:100]}`", hint=f"Name one of {_listed(models)}", model=name[:100])


def refusal(request: Request, error: Error) -> Response:
    """Return a failure in the form of the protocol that the request is of."""
    return open_inference.refusal(error) if request.path.startswith(_V2) else failures.response(error)


def _listed(models: Mapping[str, object]) -> str:
    names = list(models)
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(f"`{name}`" for name in names[:_LISTED]) + more
