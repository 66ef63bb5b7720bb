"""The Open Inference Protocol before a listener: each stack and model is a model of its own, by its path."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from modelport import __version__
from modelport.server.exchange import Handler
from modelport.server.listener.declaration import Listener, Model
from modelport.server.listener.validation.tensor_types import ANY, parse
from modelport.server.open_inference import constant, readiness

_PLATFORM = "modelport_listener"


def oip_routes(
    listener: Listener, infer: Mapping[str, Handler], ready: Callable[[], bool]
) -> dict[tuple[bytes, bytes], Handler]:
    """Return the handlers of the protocol by method and path.

    Args:
        listener: what was declared.
        infer: answers inference requests for a stack or model.
        ready: whether every server is.
    """
    found: dict[tuple[bytes, bytes], Handler] = {
        (b"GET", b"/v2"): constant({"name": "modelport", "version": __version__, "extensions": []}),
        (b"GET", b"/v2/health/live"): constant({"live": True}),
        (b"GET", b"/v2/health/ready"): readiness(ready, {}),
    }
    models = {one.name: one for one in listener.models}
    for name, handler in infer.items():
        base = f"/v2/models/{name}".encode()
        found[b"GET", base] = constant(_metadata(name, models.get(name)))
        found[b"GET", base + b"/ready"] = readiness(ready, {"name": name})
        found[b"POST", base + b"/infer"] = handler
    return found


def _metadata(name: str, model: Model | None) -> dict[str, Any]:
    """Return what is known of a model; of a stack, that it is there."""
    inputs, outputs = (model.inputs, model.outputs) if model is not None else ({}, {})
    return {
        "name": name,
        "versions": [],
        "platform": _PLATFORM,
        "inputs": [_tensor(one, written) for one, written in inputs.items()],
        "outputs": [_tensor(one, written) for one, written in outputs.items()],
    }


def _tensor(name: str, written: str) -> dict[str, Any]:
    found = parse(written)
    return {"name": name, "datatype": found.datatype, "shape": [ANY, *(found.shape or ())]}
