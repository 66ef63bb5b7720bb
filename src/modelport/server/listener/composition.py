"""Puts a listener together out of what is declared; the only place that knows all its parts."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from modelport.server.exchange import Handler
from modelport.server.listener.children.model_server import ModelServer
from modelport.server.listener.declaration import Listener, Stack, Step
from modelport.server.listener.formats.known import format_named
from modelport.server.listener.front import Front, Target
from modelport.server.listener.metrics import ListenerMetrics
from modelport.server.listener.router import EACH, Router
from modelport.server.listener.steps.each_way import EachWay
from modelport.server.listener.steps.flow import Flow
from modelport.server.listener.steps.gathering import gathered
from modelport.server.listener.steps.step_code import StepCode
from modelport.server.listener.steps.work import Work, given
from modelport.server.listener.wire.model_call import ModelCall
from modelport.server.listener.wire.upstream import Address, Upstream
from modelport.server.listener.wire.watched_upstream import WatchedUpstream

_OIP = ("oip", "oip-binary")  # callers of both are understood by both
_PATIENCE_S = 60.0  # with a server of which no model is declared

StartSoon = Callable[..., object]


@dataclass(frozen=True)
class Handlers:
    """What answers requests.

    Attributes:
        predict: on the predict route.
        infer: in the Open Inference Protocol, by the name of the stack or model.
        code: of the Python steps, which must be started before they answer.
    """

    predict: Handler
    infer: Mapping[str, Handler]
    code: StepCode


def model_servers(
    listener: Listener,
    start_soon: StartSoon,
    loop: asyncio.AbstractEventLoop,
    environ: Mapping[str, str],
    over: Callable[[int], None],
    folder: Path | None = None,
) -> dict[str, tuple[ModelServer, Upstream]]:
    """Return every declared server, not started yet, with the connections to it, by name.

    Args:
        listener: what was declared.
        start_soon: starts a coroutine in a task group.
        loop: the event loop.
        environ: the variables of the listener.
        over: called with the exit code where a server's end is the listener's.
        folder: that they are started in; None: that of the listener.
    """
    found: dict[str, tuple[ModelServer, Upstream]] = {}
    for one in listener.servers:
        probes = Upstream(one.name, Address.of(one.url), start_soon, connections=1, loop=loop)
        upstream = WatchedUpstream(one.name, Address.of(one.url), start_soon, connections=one.connections, loop=loop)
        patience_s = max(
            (model.timeout_s for model in listener.models if model.server == one.name), default=_PATIENCE_S
        )
        upstream.watched = ModelServer(
            one, probes, environ, over, patience_s=patience_s, folder=folder, clock=loop.time
        )
        found[one.name] = upstream.watched, upstream
    return found


def handlers(
    listener: Listener,
    upstreams: Mapping[str, Upstream],
    start_soon: StartSoon,
    *,
    loop: asyncio.AbstractEventLoop,
    metrics: ListenerMetrics,
    folder: Path,
) -> Handlers:
    """Return what answers requests; nothing of the user's code is loaded yet.

    Args:
        listener: what was declared.
        upstreams: the connections to its servers by their names.
        start_soon: starts a coroutine in a task group.
        loop: the event loop.
        metrics: counts what each step does.
        folder: what files of Python steps are relative to.
    """
    code = StepCode(listener, folder)
    calls = {one.name: ModelCall(one, upstreams[one.server], format_named(one.format)) for one in listener.models}
    # Who gathers the rows of several callers cannot pass on the bytes of one.
    access = {one.name: calls[one.name].access for one in listener.models if one.max_rows <= 1}
    asks = {one.name: gathered(calls[one.name], one, start_soon, loop) for one in listener.models}

    def work(stack: Stack, step: Step) -> Work:
        if step.model:
            ready = given(asks[step.model], step.parameters)
        else:
            ready = gathered(code.steps[stack.name, step.name], step, start_soon, loop)
        return metrics.measured(ready, stack.name, step.name)

    targets = {name: Target(metrics.measured(ask, name, name), access.get(name)) for name, ask in asks.items()}
    for stack in listener.stacks:
        works = {step.name: work(stack, step) for step in stack.steps if not step.merge}
        targets[stack.name] = Target(Flow(stack, works))
    router = Router(listener, random.random)
    each = Target(EachWay(router, {name: target.work for name, target in targets.items()}))

    def front(formats: Iterable[str], router: Router) -> Front:
        return Front(tuple(map(format_named, formats)), router, {**targets, EACH: each}, start_soon, loop=loop)

    infer = {name: front([_by_path(listener, name)], _only(listener, name)) for name in targets}
    return Handlers(front(listener.accepts, router), infer, code)


def _by_path(listener: Listener, name: str) -> str:
    """Return the format of the route of one target: where its model speaks the protocol itself, bytes are passed on."""
    own = next((one.format for one in listener.models if one.name == name), "")
    return own if own in _OIP else _OIP[0]


def _only(listener: Listener, name: str) -> Router:
    """Return what chooses this target whatever the request says."""
    stacks = tuple(one for one in listener.stacks if one.name == name)
    models = tuple(one for one in listener.models if one.name == name)
    return Router(replace(listener, stacks=stacks, models=models, routes=None), random.random)
