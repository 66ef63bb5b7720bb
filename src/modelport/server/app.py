"""The routes of a server: which handler answers which request."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from modelport.core.errors import Error, MethodNotFound
from modelport.server import failures, open_inference
from modelport.server.exchange import Handler, Reply, Request, Response

_PROTOCOL = b"/v2/"  # below it, errors have the form of the Open Inference Protocol


class App:
    """Finds the handler of a request; answers 404 and 405 itself, with what there is instead."""

    def __init__(self, routes: Mapping[tuple[bytes, bytes], Handler]) -> None:
        self._routes = dict(routes)

    def __call__(self, request: Request, reply: Reply) -> None:
        """Handle one request."""
        path = request.path
        handler = self._routes.get((request.method, path))
        if handler is None and b"%" in path:
            path = unquote_to_bytes(path)
            handler = self._routes.get((request.method, path))
        if handler is None:
            reply.send(self._absent(path))
            return
        try:
            handler(request, reply)
        except Error as error:
            reply.send(failures.response(error))

    def _absent(self, path: bytes) -> Response:
        form = open_inference.refusal if path.startswith(_PROTOCOL) else failures.response
        allowed = sorted(method.decode() for method, one in self._routes if one == path)
        if allowed:
            names = ", ".join(allowed)
            answer = form(MethodNotFound(f"`{_text(path)}` is answered to {names} only"))
            return Response(405, answer.body, headers={b"allow": names.encode()})
        known = ", ".join(sorted({one.decode() for _, one in self._routes}))
        return form(MethodNotFound(f"There is nothing at `{_text(path)}`", hint=f"Known: {known}"))


def with_heads(routes: Mapping[tuple[bytes, bytes], Handler]) -> dict[tuple[bytes, bytes], Handler]:
    """Return routes that answer HEAD wherever they answer GET; the connection leaves the body of such an answer out."""
    return {**routes, **{(b"HEAD", path): handler for (method, path), handler in routes.items() if method == b"GET"}}


def _text(path: bytes) -> str:
    return path[:200].decode("latin-1")
