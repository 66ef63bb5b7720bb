"""The SIGTERM stage: tells a replica to end while a prediction is under way, and sees how it goes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import anyio
import httpx

from modelport.check.predictions import send_prediction
from modelport.check.samples import Sample
from modelport.core.errors import EngineUnreachable
from modelport.core.replicas import Exit, Replica, ReplicaState
from modelport.doctor.evidence import Prediction, Purpose, SpecFacts, Stopping
from modelport.drivers.base import Driver

_LOOK_EVERY_S = 0.05
_UNDER_WAY_S = 0.05  # from the connection until the server has read the request, on a busy machine too
_CONNECT_S = 2.0
_READ_S = 2.0
_SIGKILL = 9
_KILLED_CODE = 128 + _SIGKILL


async def drain(
    client: httpx.AsyncClient,
    driver: Driver,
    name: str,
    *,
    base_url: str,
    spec: SpecFacts,
    sample: Sample | None,
    grace_s: float,
    now: Callable[[], datetime],
    timeout_s: float,
) -> tuple[Stopping, tuple[Prediction, ...]]:
    """Stop the replica, and return how it ended and what became of the prediction that was under way.

    Args:
        client: see `http_client`.
        driver: stops and removes the replica.
        name: of the replica.
        base_url: what its URLs begin with.
        spec: for its predict route.
        sample: one that works; without it nothing is under way.
        grace_s: time between SIGTERM and SIGKILL.
        now: the clock.
        timeout_s: longest time for the prediction; it ends with the replica anyhow.
    """
    predictions: list[Prediction] = []
    done = anyio.Event()
    connected = anyio.Event()

    async def predict(sample: Sample) -> None:
        url, body, instances = base_url + spec.predict_route, sample.body, len(sample.instances)
        predictions.append(
            await send_prediction(
                client,
                url,
                Purpose.DRAINING,
                body,
                instances,
                native=sample.native,
                now=now,
                timeout_s=timeout_s,
                on_connect=connected.set,
            )
        )
        connected.set()  # where it could not connect at all, nothing is to be waited for
        done.set()

    async with anyio.create_task_group() as group:
        if sample is not None:
            group.start_soon(predict, sample)
            with anyio.move_on_after(_CONNECT_S):
                await connected.wait()
                await anyio.sleep(_UNDER_WAY_S)
        stopping = await _stop(driver, name, grace_s)
        if sample is not None:
            # The replica is gone: what has not been answered never will be, only read.
            with anyio.move_on_after(_READ_S):
                await done.wait()
        group.cancel_scope.cancel()
    return stopping, tuple(predictions)


async def _stop(driver: Driver, name: str, grace_s: float) -> Stopping:
    """Stop the replica and watch it meanwhile: `stop` also removes it, which takes a while and hides how it ended."""
    began = anyio.current_time()
    ended_s: float | None = None
    seen: Exit | None = None

    async def watch() -> None:
        nonlocal ended_s, seen
        while ended_s is None:
            replica = await _look(driver, name)
            if replica is not None and replica.state is ReplicaState.EXITED:
                ended_s, seen = anyio.current_time() - began, replica.exit
            await anyio.sleep(_LOOK_EVERY_S)

    async with anyio.create_task_group() as group:
        group.start_soon(watch)
        await driver.stop(name, grace_s=grace_s)
        group.cancel_scope.cancel()
    took_s = anyio.current_time() - began if ended_s is None else ended_s
    return Stopping(grace_s, took_s, killed=was_killed(took_s, grace_s, seen), exit=seen)


def was_killed(took_s: float, grace_s: float, end: Exit | None) -> bool:
    """Return whether it was SIGKILL that ended a replica after its grace; pure.

    Args:
        took_s: from SIGTERM to its end, or to its removal where its end was not seen.
        grace_s: how long it had.
        end: how it ended, where that was seen.
    """
    if took_s < grace_s:
        return False
    return end is None or end.signal == _SIGKILL or end.code == _KILLED_CODE


async def _look(driver: Driver, name: str) -> Replica | None:
    try:
        return next((replica for replica in await driver.list() if replica.name == name), None)
    except EngineUnreachable:
        return None  # `stop` will tell
