"""Declarations that several tests start from."""

from __future__ import annotations

from modelport.server.listener.declaration import Condition, Listener, Model, RouteBy, Routes, Runs, Server, Stack, Step

SENTIMENT = """\
servers:
  triton:
    command: [tritonserver, --model-repository=$(AIP_STORAGE_URI), --http-port=8001]
    url: http://127.0.0.1:8001
    health: /v2/health/ready
    env: {THREADS: 0755, EMPTY: ""}
models:
  embed:
    server: triton
    path: /v2/models/embed/infer
    format: oip-binary
    inputs: {text: "BYTES[1]"}
    outputs: {embedding: "FP32[384]"}
  de: {server: triton, path: /v2/models/de/infer, max_rows: 32}
  en: {server: triton, path: /v2/models/en/infer, timeout_s: 5}
stacks:
  sentiment:
    - clean: {python: text.py:clean}
    - embed: {model: embed}
    - language: {python: text.py:language, from: clean, runs: processes}
    - german: {model: de, from: embed, when: {language: de}}
    - other: {model: en, from: embed, when: {language: no}}
    - label: {merge: [german, other]}
routes:
  header: X-Variant
  to: {a: sentiment, b: embed}
  default: a
accepts: [raw, ai-platform]
"""


def sentiment(**changed: object) -> Listener:
    """Return the listener of the text above; arguments replace parts of it."""
    server = Server(
        "triton",
        "http://127.0.0.1:8001",
        ("tritonserver", "--model-repository=$(AIP_STORAGE_URI)", "--http-port=8001"),
        "/v2/health/ready",
        {"THREADS": "0755", "EMPTY": ""},
    )
    path = "/v2/models/{}/infer".format
    models = (
        Model("embed", "triton", path("embed"), "oip-binary", {"text": "BYTES[1]"}, {"embedding": "FP32[384]"}),
        Model("de", "triton", path("de"), max_rows=32),
        Model("en", "triton", path("en"), timeout_s=5.0),
    )
    steps = (
        Step("clean", python="text.py:clean"),
        Step("embed", model="embed"),
        Step("language", python="text.py:language", sources={"": "clean"}, runs=Runs.PROCESSES),
        Step("german", model="de", sources={"": "embed"}, when=Condition("language", "de")),
        Step("other", model="en", sources={"": "embed"}, when=Condition("language", "no")),
        Step("label", merge=("german", "other")),
    )
    routes = Routes(RouteBy.HEADER, "x-variant", {"a": "sentiment", "b": "embed"}, default="a")
    parts = {"servers": (server,), "models": models, "stacks": (Stack("sentiment", steps),), "routes": routes}
    return Listener(**{**parts, "accepts": ("raw", "ai-platform"), **changed})  # type: ignore[arg-type]


def stack_of(*steps: Step) -> Listener:
    """Return a listener with one stack of these steps, a server, and models `m` and `n` without types."""
    models = (Model("m", "s", "/m"), Model("n", "s", "/n"))
    return Listener((Server("s", "http://127.0.0.1:1"),), models, (Stack("a", steps),))
