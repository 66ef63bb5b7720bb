"""Requests of the Open Inference Protocol v2, for servers that are asked for predictions in it. Pure.

Such a server tells at `/v2/models/NAME` which tensors its model takes; what is sent is one of zeros for each. What JSON
cannot carry is left out: it may be optional, which nothing tells.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from modelport.check.samples import Origin, Sample

_INFER = re.compile(r"/v2/models/[^/]+(?:/versions/[^/]+)?(?=/infer$)")
_MOST_VALUES = 200_000
_ZEROS: dict[str, Any] = {
    "BOOL": False,
    "BYTES": "text",
    **{f"{sign}INT{bits}": 0 for sign in ("", "U") for bits in (8, 16, 32, 64)},
    # FP16 and BF16 are not to be had in JSON.
    **{f"FP{bits}": 0.0 for bits in (32, 64)},
}


def metadata_route(predict_route: str) -> str | None:
    """Return where a server describes the model of an infer route; None for routes of other protocols."""
    found = _INFER.match(predict_route)
    return found[0] if found else None


def given_request(instances: list[Any]) -> Sample | None:
    """Return the user's own request, an object with `inputs`; None for instances of another kind."""
    given = instances[0]
    return Sample([given], {}, Origin.GIVEN, native=True) if isinstance(given, dict) and "inputs" in given else None


def described_request(metadata: bytes) -> Sample | None:
    """Return a request made after a server's answer on the metadata route; None where it describes no model."""
    try:
        document = json.loads(metadata)
    except (ValueError, RecursionError):
        return None
    described = document.get("inputs") if isinstance(document, dict) else None
    if not isinstance(described, list) or not described:
        return None
    tensors = [tensor for one in described if (tensor := _tensor(one))]
    return Sample([{"inputs": tensors}], {}, Origin.METADATA, native=True) if tensors else None


def _tensor(described: Any) -> dict[str, Any] | None:
    """Return a tensor as described, of size one along each axis that may have any; None where that cannot be."""
    if not isinstance(described, dict):
        return None
    name, datatype, shape = (described.get(key) for key in ("name", "datatype", "shape"))
    if datatype not in _ZEROS or not isinstance(shape, list) or not all(isinstance(size, int) for size in shape):
        return None
    sizes = [1 if size < 0 else size for size in shape]
    if math.prod(sizes) > _MOST_VALUES:
        return None
    return {"name": name, "datatype": datatype, "shape": sizes, "data": [_ZEROS[datatype]] * math.prod(sizes)}
