"""What it costs to make an Open Inference request of an AI Platform one, in parsings of its JSON. In this process."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import orjson

from bench.report import Finding, Table, median
from modelport.server.exchange import Request
from modelport.server.listener.declaration import Model
from modelport.server.listener.formats.base import Call, Message
from modelport.server.listener.formats.known import format_named

_BODY_BYTES = 1_000_000
_COLUMNS = 256
_MOST = 3.0


def conversion(*, quick: bool) -> tuple[Table, list[Finding]]:
    """Convert a numeric tensor of one megabyte of JSON, and the answer of as many numbers."""
    rows = _rows(_BODY_BYTES)
    body = orjson.dumps({"instances": rows})
    predictions = np.array(rows)
    work: dict[str, Callable[[], object]] = {"orjson.loads": lambda: orjson.loads(body)}
    for name in ("oip", "oip-binary"):
        work |= _conversions(name, body, predictions)
    times = _timed(work, rounds=15 if quick else 60)
    once = times["orjson.loads"]
    table = Table(
        f"listener: converting {len(body) / 1e6:.2f} MB of AI Platform JSON, {len(rows)} x {_COLUMNS} numbers",
        ("what", "ms", "of orjson.loads"),
        tuple((name, seconds * 1e3, seconds / once) for name, seconds in times.items()),
    )
    findings = [
        Finding(f"1 MB request, {name}, of orjson.loads", seconds / once, "x", _MOST)
        for name, seconds in times.items()
        if name.startswith("ai-platform ->")
    ]
    return table, findings


def _rows(json_bytes: int) -> list[list[float]]:
    numbers = np.random.default_rng(1).uniform(0.1, 7.9, (json_bytes // 9 // _COLUMNS + 1, _COLUMNS))
    return [[round(number, 6) for number in row] for row in numbers.tolist()]


def _conversions(name: str, body: bytes, predictions: np.ndarray) -> dict[str, Callable[[], object]]:
    model = Model(
        "m",
        "s",
        "/v2/models/m/infer",
        name,
        inputs={"x": f"FP32[{_COLUMNS}]"},
        outputs={"y": f"FP64[{_COLUMNS}]"},
    )
    caller, server = format_named("ai-platform"), format_named(name)
    request = Request(b"POST", b"/predict", b"", [(b"content-type", b"application/json")], body)
    given = server.write_answer({"y": predictions}, Call(predictions, binary=name == "oip-binary"), "m")
    answer = Message(given.body, given.content_type, given.headers)
    call = caller.read_call(request)
    return {
        f"ai-platform -> {name}": lambda: server.write_call(caller.read_call(request), model),
        f"{name} -> ai-platform, the answer": lambda: caller.write_answer(server.read_answer(answer, model), call, "m"),
    }


def _timed(work: dict[str, Callable[[], object]], *, rounds: int) -> dict[str, float]:
    """Return the median seconds of each; all take turns, so that a machine that grows slower favours none."""
    seen: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, one in work.items():
            before = time.perf_counter()
            one()
            seen[name].append(time.perf_counter() - before)
    return {name: median(seconds) for name, seconds in seen.items()}
