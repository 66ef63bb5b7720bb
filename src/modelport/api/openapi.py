"""What FastAPI cannot see of the API: the bodies that are read by hand, and the one shape of all errors. Pure."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import models_json_schema

from modelport.api.ml_v1 import messages

_REFERENCE = "#/components/schemas/{model}"
_ERROR: dict[str, Any] = {
    "type": "object",
    "description": "What went wrong: an HTTP status, a `google.rpc.Code`, a text for people, details for programs.",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "status", "details"],
            "properties": {
                "code": {"type": "integer"},
                "message": {"type": "string"},
                "status": {"type": "string"},
                "details": {"type": "array", "items": {"type": "object"}},
            },
        }
    },
}
_ERROR_RESPONSE = {
    "description": "An error.",
    "content": {"application/json": {"schema": {"$ref": _REFERENCE.format(model="Error")}}},
}


def complete(openapi: dict[str, Any]) -> None:
    """Add to the description that FastAPI made: the messages of request bodies, and errors in place of its own."""
    schemas = openapi["components"]["schemas"]
    bodies = (messages.SetDefaultVersionRequest, messages.PredictRequest)
    _, definitions = models_json_schema(
        [(body, "validation") for body in bodies], by_alias=True, ref_template=_REFERENCE
    )
    schemas.update(definitions["$defs"])
    schemas["Error"] = _ERROR
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for operations in openapi["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = _ERROR_RESPONSE
