"""How every ml.v1 method is answered: its query checked, its response cut to `fields` and printed."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute

from modelport.api.body import read_object
from modelport.api.ml_v1.absent import absent
from modelport.api.ml_v1.messages import Message
from modelport.api.ml_v1.reading import M, Parsed, parse
from modelport.api.partial import select
from modelport.api.query import parse_query

DEFAULT_PAGE = 20
MAX_PAGE = 100


class MethodRoute(APIRoute):
    """A route with the system parameters of Google's APIs; fields without a value are left out of responses."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **(options | {"response_model_exclude_none": True}))

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of FastAPI with the query checked before and the response shaped after."""
        answer = super().get_route_handler()
        own = {parameter.alias for parameter in self.dependant.query_params}

        async def handle(request: Request) -> Response:
            if any(":" in str(part) for part in request.path_params.values()):
                # No name has a colon, so this is a custom verb that has no route of its own.
                raise absent(request.method, request.url.path)
            query = parse_query(request.scope["query_string"].decode("latin-1"), own)
            scope = {**request.scope, "query_string": query.text.encode()}
            response = await answer(Request(scope, request.receive))
            if response.headers.get("content-type") != "application/json":
                return response
            value = orjson.loads(bytes(response.body))
            if query.fields is not None:
                value = select(value, query.fields)
            option = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE if query.pretty else 0
            return Response(orjson.dumps(value, option=option), response.status_code, media_type="application/json")

        return handle


def ml_router() -> APIRouter:
    """Return a router for methods of ml.v1."""
    return APIRouter(prefix="/v1", route_class=MethodRoute)


def accepts(message: type[Message]) -> dict[str, Any]:
    """Return what OpenAPI says of a body that is read by `read_message`."""
    schema = {"$ref": f"#/components/schemas/{message.__name__}"}
    return {"requestBody": {"content": {"application/json": {"schema": schema}}}}


async def read_message(request: Request, kind: type[M], root: str) -> Parsed[M]:
    """Return the message in the body; `root` is what its fields' paths begin with."""
    return parse(await read_object(request), kind, root)


def page_size(sent: int | None) -> int:
    """Return how many items a page has: 20 unless told, never more than 100."""
    return min(sent or DEFAULT_PAGE, MAX_PAGE)
