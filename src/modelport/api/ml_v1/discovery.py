"""The discovery document of ml.v1, made from the OpenAPI description of the routes. Pure."""

from __future__ import annotations

import re
from typing import Any

from modelport.api.ml_v1 import messages
from modelport.api.query import SYSTEM_PARAMETERS

_SCOPES = {
    "https://www.googleapis.com/auth/cloud-platform": {"description": "See, change and delete your data."},
    "https://www.googleapis.com/auth/cloud-platform.read-only": {"description": "View your data."},
}
_METHOD = re.compile(r"ml\.projects\.(?:[a-z]+\.)*[A-Za-z]+")
_VARIABLE = re.compile(r"\{([a-z]+)\}")
_PROPERTY_KEYS = ("type", "format", "description", "enum")
# What one OpenAPI operation stands for, where ml.v1 has one method for several paths.
_HIDDEN = ("ml.projects.predict.version",)


def discovery_document(openapi: dict[str, Any], base_url: str) -> dict[str, Any]:
    """Return the document for clients that reach the API at `base_url`, which ends with a slash."""
    document: dict[str, Any] = {
        "kind": "discovery#restDescription",
        "discoveryVersion": "v1",
        "id": "ml:v1",
        "name": "ml",
        "version": "v1",
        "version_module": True,
        "title": openapi["info"]["title"],
        "description": openapi["info"]["description"],
        "protocol": "rest",
        "rootUrl": base_url,
        "baseUrl": base_url,
        "servicePath": "",
        "basePath": "",
        "batchPath": "batch",
        "fullyEncodeReservedExpansion": True,
        "auth": {"oauth2": {"scopes": _SCOPES}},
        "parameters": {name: _system_parameter(name) for name in SYSTEM_PARAMETERS},
        "schemas": _schemas(openapi["components"]["schemas"]),
        "resources": {},
    }
    for path, operations in openapi["paths"].items():
        for verb, operation in operations.items():
            name = operation.get("operationId", "")
            if _METHOD.fullmatch(name) and name not in _HIDDEN:
                _place(document, name, _method(name, verb.upper(), path, operation))
    return document


def _place(document: dict[str, Any], name: str, method: dict[str, Any]) -> None:
    *resources, verb = name.split(".")[1:]
    place = document
    for resource in resources:
        place = place.setdefault("resources", {}).setdefault(resource, {})
    place.setdefault("methods", {})[verb] = method


def _method(name: str, verb: str, path: str, operation: dict[str, Any]) -> dict[str, Any]:
    variable, pattern, template = _template(name, path)
    method: dict[str, Any] = {
        "id": name,
        "httpMethod": verb,
        "path": template,
        "flatPath": _VARIABLE.sub(r"{\1sId}", path).removeprefix("/"),
        "description": operation.get("description", ""),
        "parameterOrder": [variable],
        "parameters": {
            variable: {"location": "path", "required": True, "type": "string", "pattern": pattern},
            **{
                parameter["name"]: {"location": "query", **_property(parameter["schema"])}
                for parameter in operation.get("parameters", ())
                if parameter["in"] == "query"
            },
        },
        "response": {"$ref": _reference(operation["responses"]["200"])},
        "scopes": list(_SCOPES),
    }
    if "requestBody" in operation:
        method["request"] = {"$ref": _reference(operation["requestBody"])}
    return method


def _template(name: str, path: str) -> tuple[str, str, str]:
    """Return the one variable that stands for a resource name, its pattern, and the path with it in place."""
    if name == "ml.projects.predict":
        return "name", "^projects/.*$", "v1/{+name}:predict"
    resource, colon, verb = path.removeprefix("/v1/").partition(":")
    collection = ""
    if not resource.endswith("}"):
        resource, _, collection = resource.rpartition("/")
    variable = "parent" if collection and collection != "operations" else "name"
    pattern = f"^{_VARIABLE.sub('[^/]+', resource)}$"
    return variable, pattern, f"v1/{{+{variable}}}" + (f"/{collection}" if collection else "") + colon + verb


def _schemas(schemas: dict[str, Any]) -> dict[str, Any]:
    result = {}
    for name, schema in schemas.items():
        if _package(name):
            full = _full_name(name)
            properties = {key: _property(value) for key, value in schema.get("properties", {}).items()}
            result[full] = {
                "id": full,
                "type": "object",
                "description": schema.get("description", ""),
                "properties": properties,
            }
    return result


def _property(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a JSON schema in the older dialect of discovery documents, which has no null."""
    if "anyOf" in schema:
        (inner,) = (part for part in schema["anyOf"] if part.get("type") != "null")
        return _property(inner)
    if "$ref" in schema:
        return {"$ref": _full_name(schema["$ref"].rpartition("/")[2])}
    result = {key: schema[key] for key in _PROPERTY_KEYS if key in schema}
    result.setdefault("type", "any")
    if "items" in schema:
        result["items"] = _property(schema["items"])
    if result["type"] == "object":
        values = schema.get("additionalProperties", True)
        result["additionalProperties"] = {"type": "any"} if values is True else _property(values)
    return result


def _reference(holder: dict[str, Any]) -> str:
    reference: str = holder["content"]["application/json"]["schema"]["$ref"]
    return _full_name(reference.rpartition("/")[2])


def _package(name: str) -> str:
    message = getattr(messages, name, None)
    return message.package if isinstance(message, type) and issubclass(message, messages.Message) else ""


def _full_name(name: str) -> str:
    return f"{_package(name)}__{'Status' if name == 'RpcStatus' else name}"


def _system_parameter(name: str) -> dict[str, Any]:
    match name:
        case "prettyPrint":
            return {"location": "query", "type": "boolean", "default": "true"}
        case "alt":
            return {"location": "query", "type": "string", "default": "json", "enum": ["json"]}
    return {"location": "query", "type": "string"}
