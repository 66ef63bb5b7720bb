"""Which target a request is for, by a header, a member of its body, chance, or each of its instances."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable
from itertools import accumulate
from typing import Any

from modelport.core.errors import InvalidArgument, RouteNotFound
from modelport.server.exchange import Request
from modelport.server.inference import LENGTH_HEADER
from modelport.server.listener.body_member import BodyMember
from modelport.server.listener.declaration import Listener, RouteBy, Routes
from modelport.server.listener.steps.rows_apart import rows_in
from modelport.server.model import Batch, rows_of

EACH = "each instance"  # the target of requests whose instances go their own ways; no name of a stack or model


class Router:
    """Chooses targets. A value that leads nowhere is refused; one that is missing counts as the default, if any."""

    def __init__(self, listener: Listener, chance: Callable[[], float]) -> None:
        """Take what is declared, and what gives a number from 0 to below 1."""
        self._chance = chance
        self._routes = routes = listener.routes or Routes(RouteBy.HEADER)
        self._choose: Callable[[Request], str]
        if listener.routes is None:
            only = (listener.stacks or listener.models)[0].name
            self._choose = lambda request: only
            return
        match routes.by:
            case RouteBy.HEADER:
                self._header = routes.key.lower().encode()
                self._choose = self._by_header
            case RouteBy.FIELD:
                self._member = BodyMember(routes.key)
                self._choose = self._by_field
            case RouteBy.INSTANCE_KEY:
                self._choose = lambda request: EACH
            case RouteBy.WEIGHTS:
                self._names = list(routes.weights)
                self._bounds = list(accumulate(routes.weights.values()))
                self._choose = self._by_chance

    def target(self, request: Request) -> str:
        """Return the name of the stack or model that a request is for.

        A member of the body that is asked for it is taken out of the body, as it is for the listener alone.

        Raises:
            RouteNotFound: what it says leads nowhere, or it says nothing and there is no default.
            InvalidArgument: it should be in the body, which is not JSON.
        """
        return self._choose(request)

    def split(self, batch: Batch) -> dict[str, list[int]]:
        """Return the rows of each target by the key of every instance, which stays where it is.

        Raises:
            RouteNotFound: an instance has no such key or a value that leads nowhere.
        """
        key = self._routes.key
        column = batch.get(key) if isinstance(batch, dict) else batch
        values = [None] * rows_of(batch) if column is None else rows_in(column)
        ways: dict[str, list[int]] = {}
        for row, value in enumerate(values):
            if not isinstance(batch, dict):
                value = value.get(key) if isinstance(value, dict) else None
            text = _text(value)
            target = self._routes.to.get(text or self._routes.default)
            if target is None:
                told = f"is `{text}`, which leads nowhere" if text else "is missing"
                raise RouteNotFound(f"`{key}` of instances[{row}] {told}", hint=self._hint(), row=str(row))
            ways.setdefault(target, []).append(row)
        return ways

    def _by_header(self, request: Request) -> str:
        return self._of(request.header(self._header).decode("latin-1"), "header")

    def _by_field(self, request: Request) -> str:
        length = request.header(LENGTH_HEADER)
        size = int(length) if length.isdigit() else len(request.body)
        try:
            found = self._member.find(request.body[:size])
        except ValueError as error:
            if self._routes.default:  # whoever reads the body says what is wrong with it
                return self._of("", "member of the body")
            raise InvalidArgument(
                f"The body is not JSON, so no member `{self._routes.key}` chooses its target: {error}",
                hint=self._hint(),
            ) from error
        if found is None:
            return self._of("", "member of the body")
        target = self._of(_text(found.value), "member of the body")
        if len(found.without) < size:
            request.body = found.without + request.body[size:]
            if length:
                request.headers = [
                    (name, b"%d" % len(found.without) if name.lower() == LENGTH_HEADER else value)
                    for name, value in request.headers
                ]
        return target

    def _by_chance(self, request: Request) -> str:
        name = self._names[bisect(self._bounds, self._chance() * self._bounds[-1], hi=len(self._names) - 1)]
        return self._routes.to.get(name, name)

    def _of(self, value: str, what: str) -> str:
        routes = self._routes
        target = routes.to.get(value or routes.default)
        if target is not None:
            return target
        told = f"is `{value}`, which leads nowhere" if value else "is missing"
        raise RouteNotFound(f"The {what} `{routes.key}` {told}", hint=self._hint())

    def _hint(self) -> str:
        return f"Send one of {', '.join(f'`{one}`' for one in self._routes.to)} as `{self._routes.key}`"


def _text(value: Any) -> str:
    """Return what is compared with the values of routes, as JSON and YAML write it; empty: there is none."""
    while isinstance(value, list) and len(value) == 1:  # a tensor has each of its texts in one
        (value,) = value
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list) or value is list:
        return "a list"
    return "an object" if isinstance(value, dict) or value is dict else str(value)
