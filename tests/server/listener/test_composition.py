"""What the parts make together: every way that a request can take through a whole listener, in one process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from modelport.server.exchange import Reply, Request, Response
from modelport.server.listener.composition import handlers, model_servers
from modelport.server.listener.declaration import Listener, Model, RouteBy, Routes, Server, Stack, Step
from modelport.server.listener.listener_config import ListenerConfig
from modelport.server.listener.metrics import ListenerMetrics
from modelport.server.listener.routes import Routes as ListenerRoutes
from tests.server.serving import serving

pytestmark = pytest.mark.anyio


class Behind:
    """A model server: of AI Platform and of the Open Inference Protocol, by what it is asked."""

    def __init__(self, health: int = 200) -> None:
        self.health = health
        self.requests = 0
        self.parameters: object = None  # of the last request

    def __call__(self, request: Request, reply: Reply) -> None:
        if request.method == b"GET":
            reply.send(Response(self.health, b"{}"))
        else:
            self.requests += 1
            self.parameters = json.loads(request.body).get("parameters")
            reply.send(answer_to(request))


def answer_to(request: Request) -> Response:
    asked = json.loads(request.body)
    name = request.path.rpartition(b"/")[2].decode()
    if "instances" in asked:
        body: dict[str, Any] = {"predictions": [f"{name}:{row}" for row in asked["instances"]]}
    else:
        values = [value * 2 for value in asked["inputs"][0]["data"]]
        output = {"name": "y", "datatype": "INT64", "shape": [len(values)], "data": values}
        body = {"model_name": name, "outputs": [output]}
    return Response(200, json.dumps(body).encode())


@asynccontextmanager
async def listening(
    listener: Listener, behind: Behind | None = None, *, open_them: bool = True
) -> AsyncIterator[httpx.AsyncClient]:
    """Serve a listener whose servers are all at `http://127.0.0.1:1`, which stands for a model server of the test."""
    loop = asyncio.get_running_loop()
    behind = behind or Behind()
    async with serving(behind) as model_server, anyio.create_task_group() as tasks:
        servers = tuple(Server(one.name, f"http://127.0.0.1:{model_server.port}") for one in listener.servers)
        listener = Listener(servers, listener.models, listener.stacks, listener.routes, listener.accepts)
        parts = model_servers(listener, tasks.start_soon, loop, {}, lambda code: None)
        watched = [server for server, _ in parts.values()]
        metrics = ListenerMetrics("m", "v1")
        metrics.servers = watched
        routes = ListenerRoutes(listener, ListenerConfig(), watched, metrics)
        upstreams = {name: upstream for name, (_, upstream) in parts.items()}
        made = handlers(listener, upstreams, tasks.start_soon, loop=loop, metrics=metrics, folder=Path())
        await made.code.start()
        if open_them:
            routes.open(made)
        for server in watched:
            tasks.start_soon(server.run)
        async with (
            serving(routes.app()) as front,
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{front.port}") as client,
        ):
            with anyio.fail_after(20):
                while open_them and (await client.get("/health")).status_code != behind.health:
                    await anyio.sleep(0.01)
            yield client
        await made.code.close()
        for upstream in upstreams.values():
            upstream.close()
        tasks.cancel_scope.cancel()


BY_HEADER = Routes(RouteBy.HEADER, "x-model", {"a": "a", "b": "b"}, default="a")


def two(routes: Routes = BY_HEADER, **more: Any) -> Listener:
    models = tuple(Model(name, "s", f"/{name}", **more) for name in ("a", "b"))
    return Listener((Server("s", "http://127.0.0.1:1"),), models, routes=routes)


async def predictions(
    client: httpx.AsyncClient, rows: list[Any], headers: Mapping[str, str] | None = None
) -> list[Any]:
    answer = await client.post("/predict", json={"instances": rows}, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()["predictions"]  # type: ignore[no-any-return]


@pytest.mark.parametrize(("names", "sent"), [(None, {"k": 1, "t": 2}), (("k",), {"k": 1}), ((), None)])
async def test_the_model_of_a_step_is_given_those_parameters_that_are_declared(
    names: tuple[str, ...] | None, sent: dict[str, int] | None
) -> None:
    behind = Behind()
    step = Step("ask", model="a", parameters=names)
    listener = Listener((Server("s", "http://127.0.0.1:1"),), (Model("a", "s", "/a"),), (Stack("one", (step,)),))
    async with listening(listener, behind) as client:
        answer = await client.post("/predict", json={"instances": [1], "parameters": {"k": 1, "t": 2}})
    assert answer.status_code == 200
    assert behind.parameters == sent


async def test_instances_that_go_their_own_ways_are_answered_in_their_places() -> None:
    listener = two(Routes(RouteBy.INSTANCE_KEY, "to", {"1": "a", "2": "b"}, default="1"))
    async with listening(listener) as client:
        found = await predictions(client, [{"to": "2", "x": 0}, {"to": "1", "x": 1}, {"to": "2", "x": 2}])
    assert [one.partition(":")[0] for one in found] == ["b", "a", "b"]


async def test_a_header_chooses_the_model() -> None:
    async with listening(two()) as client:
        assert await predictions(client, ["x"], {"x-model": "b"}) == ["b:x"]
        assert await predictions(client, ["x"]) == ["a:x"]
        answer = await client.post("/predict", json={"instances": ["x"]}, headers={"x-model": "c"})
        assert (answer.status_code, answer.json()["error"]["status"]) == (404, "NOT_FOUND")


async def test_rows_of_callers_are_gathered_where_that_is_declared() -> None:
    asked: list[int] = []

    def count(rows: list[str]) -> list[str]:
        asked.append(len(rows))
        return rows

    steps = (Step("count", python=count, max_rows=64, max_delay_ms=50), Step("ask", model="a"))
    model = Model("a", "s", "/a")
    listener = Listener((Server("s", "http://127.0.0.1:1"),), (model,), (Stack("both", steps),))
    async with listening(listener) as client, anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(predictions, client, ["x"])
    assert sum(asked) == 8
    assert max(asked) > 1


async def test_a_model_that_gathers_answers_each_caller_its_own() -> None:
    behind = Behind()
    async with listening(two(max_rows=8), behind) as client, anyio.create_task_group() as tasks:

        async def call(number: int) -> None:
            assert await predictions(client, [number]) == [f"a:{number}"]

        for number in range(24):
            tasks.start_soon(call, number)
    assert 0 < behind.requests < 24


INFER = {"inputs": [{"name": "x", "datatype": "INT64", "shape": [2], "data": [1, 2]}]}


@pytest.mark.parametrize("format", ["oip", "oip-binary"])
async def test_a_target_is_asked_by_its_path_in_the_open_inference_protocol(format: str) -> None:
    listener = two(format=format, inputs={"x": "INT64"}, outputs={"y": "INT64"})
    async with listening(listener) as client:
        answer = await client.post("/v2/models/b/infer", json=INFER)
        assert answer.status_code == 200, answer.text
        assert answer.json()["outputs"][0]["data"] == [2, 4]
        unknown = await client.post("/v2/models/c/infer", json=INFER)
        assert unknown.status_code == 404
        assert isinstance(unknown.json()["error"], str)


async def test_a_stack_is_asked_by_its_path_too() -> None:
    model = Model("a", "s", "/a", format="oip", inputs={"x": "INT64"}, outputs={"y": "INT64"})
    stack = Stack("twice", (Step("one", model="a"), Step("two", model="a")))
    listener = Listener((Server("s", "http://127.0.0.1:1"),), (model,), (stack,))
    async with listening(listener) as client:
        answer = await client.post("/v2/models/twice/infer", json=INFER)
        assert answer.status_code == 200, answer.text
        assert (answer.json()["model_name"], answer.json()["outputs"][0]["data"]) == ("twice", [4, 8])
        assert "one;dur=" in answer.headers["server-timing"]


async def test_nothing_is_sent_to_a_server_that_was_not_ready_yet() -> None:
    behind = Behind(health=503)
    async with listening(two(), behind) as client:
        answer = await client.post("/predict", json={"instances": ["x"]})
        error = answer.json()["error"]
        assert (answer.status_code, error["details"][0]["reason"]) == (503, "MODEL_SERVER_DOWN")
        assert "`/health` was answered with 503" in error["message"]
        assert behind.requests == 0
        behind.health = 200
        with anyio.fail_after(20):
            while (await client.get("/health")).status_code != 200:
                await anyio.sleep(0.01)
        behind.health = 503  # from now on it is asked whatever its health says
        assert await predictions(client, ["x"]) == ["a:x"]


async def test_every_route_says_no_until_it_is_open() -> None:
    async with listening(two(), open_them=False) as client:
        health = await client.get("/health")
        assert (health.status_code, health.json()["listener"]) == (503, "its Python steps are being loaded")
        assert (await client.post("/predict", json={"instances": [1]})).json()["error"]["status"] == "UNAVAILABLE"
        refused = await client.post("/v2/models/a/infer", json=INFER)
        assert (refused.status_code, type(refused.json()["error"])) == (503, str)
        assert (await client.get("/v2/models/a/ready")).json() == {"name": "a", "ready": False}
        assert (await client.get("/v2/health/live")).status_code == 200
