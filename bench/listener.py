"""The listener: what it adds in front of a fast server, what converting costs, and what pools and batches bring."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import orjson

from bench.listener_code import MODEL_S, PREPROCESS_S
from bench.listener_conversion import conversion
from bench.listener_processes import Running, bare_server, listener, model_server
from bench.report import Finding, Part, Table, median
from bench.wrk import Load, Measured, measure

_WARM_UP_S = 1
_MOST_ADDED_MS, _LEAST_KEPT, _LEAST_BINARY = 0.5, 0.4, 5.0
_IRIS = b'{"instances":[[5.1,3.5,1.4,0.2]]}'
_JSON = {"content-type": "application/json"}


@dataclass
class Seen:
    """The rounds of one server over so many connections."""

    requests_s: list[float] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)

    def add(self, measured: Measured, cpu: float) -> None:
        """Take a round."""
        self.requests_s.append(measured.requests_s)
        self.p50_ms.append(measured.p50_ms)
        self.cpu_us.append(cpu / measured.requests * 1e6)


def listener_part(folder: Path, *, quick: bool) -> Part:
    """Measure the listener."""
    seconds = 1 if quick else 2
    added, findings = _added(folder, seconds, (1, 16) if quick else (1, 16, 64), rounds=2 if quick else 4)
    converted, more = conversion(quick=quick)
    tensors, yet_more = _tensors(folder, seconds)
    stack = _stack(folder, 2 * seconds, (1, 8) if quick else (1, 4, 16))
    return Part("listener", (added, converted, tensors, stack), (*findings, *more, *yet_more))


def _folder(folder: Path, name: str) -> Path:
    own = folder / name
    own.mkdir(exist_ok=True)
    return own


# What a listener adds that does nothing.


def _added(folder: Path, seconds: int, callers: tuple[int, ...], *, rounds: int) -> tuple[Table, list[Finding]]:
    rows, findings = [], []
    for kind, own in (("modelport-server", True), ("a bare server", False)):
        with ExitStack() as stack:
            place = _folder(folder, kind.replace(" ", "-"))
            server = stack.enter_context(model_server(place, "First") if own else bare_server(place))
            declared = (
                f"servers: {{s: {{url: 'http://127.0.0.1:{server.port}', health: {'/health' if own else '/'}}}}}\n"
                "models: {m: {server: s, path: /predict, format: ai-platform}}\n"
            )
            before = stack.enter_context(listener(_folder(folder, "no-op"), declared))
            for connections in callers:
                direct, through = _beside(server, before, connections, seconds, rounds, folder)
                rows.append(_row(f"{kind}, {connections}", direct, through))
                if connections == 1:
                    added = median([b - a for a, b in zip(direct.p50_ms, through.p50_ms, strict=True)])
                    findings.append(
                        Finding(
                            f"no-op listener before {kind}: 1 connection, added median", added, "ms", _MOST_ADDED_MS
                        )
                    )
                elif own:
                    kept = _per_core(direct, through)
                    what = (
                        f"no-op listener before {kind}: {connections} connections, requests for a second of CPU, kept"
                    )
                    findings.append(Finding(what, kept, "x", _LEAST_KEPT, at_least=True))
    columns = (
        "before, connections",
        "direct /s",
        "through /s",
        "kept",
        "direct p50 ms",
        "through p50 ms",
        "added ms",
        "direct CPU us",
        "through CPU us",
        "kept per core",
    )
    return Table("listener: one that does nothing, in front of a fast server", columns, tuple(rows)), findings


def _beside(
    server: Running, before: Running, connections: int, seconds: int, rounds: int, folder: Path
) -> tuple[Seen, Seen]:
    seen = Seen(), Seen()
    for number in range(rounds):
        order = ((server, (server,), seen[0]), (before, (server, before), seen[1]))
        for running, taking_part, found in order if number % 2 == 0 else order[::-1]:
            if number == 0:
                measure(running.url, Load(len(_IRIS), connections, _WARM_UP_S), folder, body=_IRIS)
            cpu = sum(one.cpu_s() for one in taking_part)
            measured = measure(running.url, Load(len(_IRIS), connections, seconds), folder, body=_IRIS)
            _whole(measured, running.url)
            found.add(measured, sum(one.cpu_s() for one in taking_part) - cpu)
    return seen


def _row(name: str, direct: Seen, through: Seen) -> tuple[str | float, ...]:
    return (
        name,
        median(direct.requests_s),
        median(through.requests_s),
        median([b / a for a, b in zip(direct.requests_s, through.requests_s, strict=True)]),
        median(direct.p50_ms),
        median(through.p50_ms),
        median([b - a for a, b in zip(direct.p50_ms, through.p50_ms, strict=True)]),
        median(direct.cpu_us),
        median(through.cpu_us),
        _per_core(direct, through),
    )


def _per_core(direct: Seen, through: Seen) -> float:
    """Return what is left of the requests for a second of CPU when that has to do for the listener too."""
    return median([a / b for a, b in zip(direct.cpu_us, through.cpu_us, strict=True)])


# A tensor of one megabyte, as JSON and as it lies in memory.


def _tensors(folder: Path, seconds: int) -> tuple[Table, list[Finding]]:
    tensor = np.random.default_rng(1).uniform(0.1, 7.9, (1024, 256)).astype("<f4")
    described = {"name": "x", "shape": list(tensor.shape), "datatype": "FP32"}
    numbers = [[round(number, 6) for number in row] for row in tensor.tolist()]
    flat = [number for row in numbers for number in row]
    head = orjson.dumps(
        {
            "inputs": [described | {"parameters": {"binary_data_size": tensor.nbytes}}],
            "parameters": {"binary_data_output": True},
        }
    )
    octets = {"content-type": "application/octet-stream", "inference-header-content-length": str(len(head))}
    bodies: dict[str, tuple[str, bytes, dict[str, str]]] = {
        "OIP JSON, passed on": ("/v2/models/json/infer", orjson.dumps({"inputs": [described | {"data": flat}]}), _JSON),
        "OIP binary, passed on": ("/v2/models/binary/infer", head + tensor.tobytes(), octets),
        "AI Platform JSON, made OIP JSON": (
            "/predict",
            orjson.dumps({"instances": numbers}),
            _JSON | {"x-model": "json"},
        ),
        "AI Platform JSON, made OIP binary": (
            "/predict",
            orjson.dumps({"instances": numbers}),
            _JSON | {"x-model": "binary"},
        ),
    }
    with model_server(_folder(folder, "tensors"), "First") as server:
        types = "inputs: {x: 'FP32[256]'}, outputs: {output-0: 'FP32[]'}"
        declared = (
            f"servers: {{s: {{url: 'http://127.0.0.1:{server.port}'}}}}\n"
            "models:\n"
            f"  json: {{server: s, path: /v2/models/model/infer, format: oip, {types}}}\n"
            f"  binary: {{server: s, path: /v2/models/model/infer, format: oip-binary, {types}}}\n"
            "routes: {header: x-model, to: {json: json, binary: binary}}\n"
        )
        with listener(_folder(folder, "tensors-listener"), declared) as before:
            seen = {}
            for name, (path, body, headers) in bodies.items():
                url = f"http://127.0.0.1:{before.port}{path}"
                answer = httpx.post(url, content=body, headers=headers, timeout=60)
                if not answer.is_success:
                    raise RuntimeError(f"{name}: {answer.status_code} {answer.text[:500]}")
                measure(url, Load(len(body), 1, _WARM_UP_S), folder, body=body, headers=headers)
                seen[name] = measure(url, Load(len(body), 1, seconds), folder, body=body, headers=headers)
                _whole(seen[name], url)
    json = seen["OIP JSON, passed on"].p50_ms
    table = Table(
        "listener: a tensor of 1 MiB (1024 x 256 FP32) through it to modelport-server, 1 connection",
        ("what", "body MB", "p50 ms", "/s", "times as fast as JSON"),
        tuple(
            (name, len(bodies[name][1]) / 1e6, one.p50_ms, one.requests_s, json / one.p50_ms)
            for name, one in seen.items()
        ),
    )
    binary = json / seen["OIP binary, passed on"].p50_ms
    return table, [Finding("1 MiB tensor: binary beside JSON", binary, "x", _LEAST_BINARY, at_least=True)]


# Preprocessing in front of a light model.

_INLINE = "runs: inline"
_POOL = "runs: processes"
_BATCHED = "max_rows: 16, max_delay_ms: 5"


def _stack(folder: Path, seconds: int, callers: tuple[int, ...]) -> Table:
    ways = {
        "inline, one after the other": (f"steps.py:each_row, {_INLINE}", ""),
        "in a pool of processes": (f"steps.py:each_row, {_POOL}", ""),
        "in a pool, model batched": (f"steps.py:each_row, {_POOL}", f", {_BATCHED}"),
        "in a pool, both batched": (f"steps.py:all_rows, {_POOL}, {_BATCHED}", f", {_BATCHED}"),
    }
    rows: list[tuple[str | float, ...]] = []
    with model_server(_folder(folder, "waits"), "Waits", "--batch-max-rows", "1") as server:
        rows.append(("no preprocessing, asked directly", *_asked(server, callers, seconds, folder)))
        for name, (step, model) in ways.items():
            declared = (
                f"servers: {{s: {{url: 'http://127.0.0.1:{server.port}'}}}}\n"
                f"models: {{m: {{server: s, path: /predict, format: ai-platform{model}}}}}\n"
                f"stacks: {{all: [{{prepare: {{python: {step}}}}}, {{ask: {{model: m}}}}]}}\n"
            )
            with listener(_folder(folder, "stack"), declared) as before:
                rows.append((name, *_asked(before, callers, seconds, folder)))
    columns = ["preprocessing", *(f"{count}: {what}" for count in callers for what in ("/s", "p50 ms"))]
    title = (
        f"listener: {PREPROCESS_S * 1e3:.0f} ms of preprocessing (CPU) before a model of {MODEL_S * 1e3:.0f} ms,"
        " by connections"
    )
    return Table(title, tuple(columns), tuple(rows))


def _asked(running: Running, callers: tuple[int, ...], seconds: int, folder: Path) -> list[float]:
    found = []
    for connections in callers:
        measure(running.url, Load(len(_IRIS), connections, _WARM_UP_S), folder, body=_IRIS)
        measured = measure(running.url, Load(len(_IRIS), connections, seconds), folder, body=_IRIS)
        _whole(measured, running.url)
        found += [measured.requests_s, measured.p50_ms]
    return found


def _whole(measured: Measured, url: str) -> None:
    if measured.failed:
        raise RuntimeError(f"{measured.failed} of {measured.requests} requests to {url} failed")
