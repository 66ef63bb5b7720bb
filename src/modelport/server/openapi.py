"""The OpenAPI document of a server: what it answers, with schemas from type hints or from the model's own inputs.

Pure; an example among them is one that the model was seen to predict, and is what `modelport check` sends.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

from modelport.core.errors import Internal
from modelport.server.config import ServerConfig
from modelport.server.encoding import encode
from modelport.server.exchange import Handler, Reply, Request, Response
from modelport.server.model import Calls, ModelInfo, TensorInfo

_EXAMPLE_BYTES = 8192
_STREAMS = (Calls.STREAM, Calls.ASYNC_STREAM)
_TYPES = {"FP": "number", "BF": "number", "IN": "integer", "UI": "integer", "BO": "boolean", "BY": "string"}
_SCHEMAS = "#/components/schemas/"


def document(info: ModelInfo, config: ServerConfig) -> dict[str, Any]:
    """Return the document, OpenAPI 3.1."""
    schemas: dict[str, Any] = {
        "Instance": _instance(info),
        "Prediction": _prediction(info),
        "Error": _ERROR,
        "InferenceRequest": _INFERENCE_REQUEST,
        "InferenceResponse": _INFERENCE_RESPONSE,
    }
    if info.parameters_schema is not None:
        schemas["Parameters"] = dict(info.parameters_schema)
    components: dict[str, Any] = {}
    for name, schema in schemas.items():
        components[name] = _hoisted(schema, components)
    return {
        "openapi": "3.1.0",
        "info": {"title": config.model_name, "version": config.model_version or "0"},
        "paths": _paths(info, config),
        "components": {"schemas": components},
    }


def handler(info: ModelInfo, config: ServerConfig) -> Handler:
    """Return what answers `GET /openapi.json`."""
    response = Response(200, orjson.dumps(document(info, config)))

    def answer(request: Request, reply: Reply) -> None:
        reply.send(response)

    return answer


def example_of(rows: Any, *, max_bytes: int = _EXAMPLE_BYTES) -> list[Any]:
    """Return rows as they are sent in JSON, from the first on as many as are short enough to show."""
    if isinstance(rows, np.ndarray):
        rows = rows.tolist()
    if not isinstance(rows, Sequence):
        return []
    shown: list[Any] = []
    size = 0
    for row in rows:
        try:
            text = encode([row])
        except Internal:
            return shown
        size += len(text)
        if size > max_bytes:
            return shown
        shown += orjson.loads(text)["predictions"]
    return shown


def row_schema(tensors: Sequence[TensorInfo]) -> dict[str, Any]:
    """Return the schema of one row of named tensors: of a single one its values, else an object with each by name."""
    if len(tensors) == 1:
        return _values(tensors[0])
    names = [tensor.name for tensor in tensors]
    return {
        "type": "object",
        "properties": {tensor.name: _values(tensor) for tensor in tensors},
        "required": names,
    }


def _paths(info: ModelInfo, config: ServerConfig) -> dict[str, Any]:
    model = f"/v2/models/{config.model_name}"
    # The Open Inference Protocol has no streams over REST.
    inference = {} if info.calls in _STREAMS else {f"{model}/infer": {"post": _infer()}}
    return {
        config.predict_route: {"post": _predict(info)},
        config.health_route: {"get": _plain("health", "Whether the model is loaded and predicts.")},
        model: {"get": _plain("v2Model", "Names, types and shapes of inputs and outputs.")},
        f"{model}/ready": {"get": _plain("v2ModelReady", "Whether the model predicts.")},
        **inference,
        "/v2": {"get": _plain("v2Server", "Name and extensions of the server.")},
        "/v2/health/live": {"get": _plain("v2Live", "Whether the server runs.")},
        "/v2/health/ready": {"get": _plain("v2Ready", "Whether the model predicts.")},
        "/metrics": {"get": _plain("metrics", "Figures for Prometheus.", content="text/plain")},
    }


def _predict(info: ModelInfo) -> dict[str, Any]:
    properties: dict[str, Any] = {"instances": {"type": "array", "items": {"$ref": f"{_SCHEMAS}Instance"}}}
    required = ["instances"]
    if info.parameters_schema is not None:
        properties["parameters"] = {"$ref": f"{_SCHEMAS}Parameters"}
        required += ["parameters"] if info.parameters_schema.get("required") else []
    body: dict[str, Any] = {"schema": {"type": "object", "properties": properties, "required": required}}
    if example := example_of(info.warm_up):
        body["example"] = {"instances": example}
    streams = info.calls in _STREAMS
    # Of a stream the schema is that of an item; the items of an instance are collected for an ordinary client.
    prediction = {} if streams else {"$ref": f"{_SCHEMAS}Prediction"}
    answer = {
        "type": "object",
        "properties": {"predictions": {"type": "array", "items": prediction}},
        "required": ["predictions"],
    }
    content: dict[str, Any] = {"application/json": {"schema": answer}}
    if streams:
        item = {"prediction": {"$ref": f"{_SCHEMAS}Prediction"}, "instance": {"type": "integer"}}
        content["application/x-ndjson"] = {"schema": {"type": "object", "properties": item}}
        content["text/event-stream"] = {"schema": {"type": "string"}}
    return {
        "operationId": "predict",
        "summary": "Predict: one prediction for each instance.",
        "requestBody": {"required": True, "content": {"application/json": body}},
        "responses": {"200": {"description": "The predictions.", "content": content}, **_ERRORS},
    }


def _infer() -> dict[str, Any]:
    def media(name: str) -> dict[str, Any]:
        return {"application/json": {"schema": {"$ref": _SCHEMAS + name}}}

    return {
        "operationId": "v2Infer",
        "summary": "Predict, in the form of the Open Inference Protocol.",
        "requestBody": {"required": True, "content": media("InferenceRequest")},
        "responses": {"200": {"description": "The outputs.", "content": media("InferenceResponse")}, **_ERRORS},
    }


def _plain(operation: str, summary: str, *, content: str = "application/json") -> dict[str, Any]:
    answer = {"description": "It is so.", "content": {content: {"schema": {}}}}
    return {"operationId": operation, "summary": summary, "responses": {"200": answer, **_ERRORS}}


def _instance(info: ModelInfo) -> dict[str, Any]:
    if info.request_schema is not None:
        return dict(info.request_schema)
    return row_schema(info.inputs) if info.inputs else {}


def _prediction(info: ModelInfo) -> dict[str, Any]:
    if info.response_schema is not None:
        return dict(info.response_schema)
    return row_schema(info.outputs) if info.outputs else {}


def _values(tensor: TensorInfo) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": _TYPES.get(tensor.datatype[:2], "string")}
    for size in reversed(tensor.shape[1:]):  # the first is the number of rows
        bounds = {"minItems": size, "maxItems": size} if size > 0 else {}
        schema = {"type": "array", "items": schema, **bounds}
    return schema


def _hoisted(schema: Any, components: dict[str, Any]) -> Any:
    """Return a schema whose `$defs` have gone to the document's own schemas, references following them."""
    if isinstance(schema, list):
        return [_hoisted(one, components) for one in schema]
    if not isinstance(schema, dict):
        return schema
    for name, one in schema.get("$defs", {}).items():
        components[_own_name(name)] = _hoisted(one, components)
    moved = {key: _hoisted(value, components) for key, value in schema.items() if key != "$defs"}
    if isinstance(reference := moved.get("$ref"), str) and reference.startswith("#/$defs/"):
        moved["$ref"] = _SCHEMAS + _own_name(reference.removeprefix("#/$defs/"))
    return moved


def _own_name(name: str) -> str:
    """Return a name that is not one of ours."""
    return f"{name}Value" if name in _OURS else name


_OURS = frozenset({"Instance", "Prediction", "Parameters", "Error", "InferenceRequest", "InferenceResponse"})
_ERROR = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "code": {"type": "integer"},
                "message": {"type": "string"},
                "status": {"type": "string"},
                "details": {"type": "array", "items": {"type": "object"}},
            },
            "required": ["code", "message", "status"],
        }
    },
    "required": ["error"],
}
_ERRORS = {
    "default": {
        "description": "What is wrong, and what to do about it.",
        "content": {"application/json": {"schema": {"$ref": f"{_SCHEMAS}Error"}}},
    }
}
_TENSOR = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "datatype": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "data": {"type": "array"},
        "parameters": {"type": "object"},
    },
    "required": ["name", "datatype", "shape"],
}
_INFERENCE_REQUEST = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "parameters": {"type": "object"},
        "inputs": {"type": "array", "items": _TENSOR},
        "outputs": {"type": "array", "items": {"type": "object"}},
    },
    "required": ["inputs"],
}
_INFERENCE_RESPONSE = {
    "type": "object",
    "properties": {
        "model_name": {"type": "string"},
        "model_version": {"type": "string"},
        "id": {"type": "string"},
        "parameters": {"type": "object"},
        "outputs": {"type": "array", "items": _TENSOR},
    },
    "required": ["model_name", "outputs"],
}
