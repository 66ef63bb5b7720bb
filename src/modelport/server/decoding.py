"""From the JSON of a request to rows: numbers straight into an array, everything else as it was written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from modelport.core.errors import InvalidArgument
from modelport.server.bytes_in_json import with_bytes
from modelport.server.model import Batch, Form, Parameters
from modelport.server.number_arrays import WORTHWHILE_BYTES, NumberReader
from modelport.server.rows import batch_of, faithful_batch_of, rounds

_WANTED = 'Send {"instances": [...]}, one entry for each row'
_MEMBERS = {"instances", "parameters", "signature_name"}
_ALIASES = ("data", "features", "instance", "rows", "inputs", "input", "examples", "dataframe_records")
_BOM = b"\xef\xbb\xbf"
# A body with these quotes only, those of "instances", has no texts in it.
_QUOTES = 2
_DEEPEST = 1000  # about as deep as the JSON library goes


@dataclass(slots=True)
class Instances:
    """The rows and the `parameters` of a request."""

    batch: Batch
    parameters: Parameters


class Decoder:
    """Reads bodies of the form `{"instances": [...], "parameters": {...}}`; not for several threads at once."""

    def __init__(self, form: Form, *, passed_on: bool = False) -> None:
        """Take what becomes of the rows.

        Args:
            form: the form in which the model wants them.
            passed_on: they go on to another server, which judges them: rows of unequal length and large whole numbers
                stay as they are, and members that are a text or a number, which may choose a route, are let through.
        """
        self._arrays = form is Form.ARRAY
        self._passed_on = passed_on
        self._batch_of = faithful_batch_of if passed_on else batch_of
        self._numbers = NumberReader()

    def __call__(self, body: bytes) -> Instances:
        """Return the rows in the form that the model wants.

        Raises:
            InvalidArgument: the body is not of that form, or numbers are not of one shape; says what and where.
        """
        if len(body) >= WORTHWHILE_BYTES and self._arrays:
            found = self._numbers.read(body)
            if found is not None and not (self._passed_on and rounds(found[0])):
                array, others = found
                return Instances(array, self._parameters(others) if others else {})
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            document = _salvaged(body, error)
        rows = document.get("instances") if type(document) is dict else None
        if type(rows) is not list:
            raise _without_instances(document)
        parameters = self._parameters(document) if len(document) > 1 else {}
        texts = body.count(b'"') > _QUOTES
        try:
            if texts and b'"b64"' in body:
                rows = with_bytes(rows)
            return Instances(self._batch_of(rows, texts=texts) if self._arrays else rows, parameters)
        except RecursionError:
            raise too_deep() from None

    def _parameters(self, document: dict[str, Any]) -> Parameters:
        if self._passed_on:
            document = {
                name: value for name, value in document.items() if name in _MEMBERS or isinstance(value, (dict, list))
            }
        return _parameters(document)


def _salvaged(body: bytes, error: orjson.JSONDecodeError) -> Any:
    """Return what a body says that begins with a byte order mark, or say why it is not JSON."""
    if body.startswith(_BOM):
        try:
            return orjson.loads(body[len(_BOM) :])
        except orjson.JSONDecodeError as other:
            error = other
            body = body[len(_BOM) :]
    if not body:
        raise InvalidArgument("The body is empty", hint=_WANTED) from error
    try:
        text = body.decode()
    except UnicodeDecodeError as broken:
        raise InvalidArgument(
            f"The body is not UTF-8: byte {broken.start} is 0x{body[broken.start]:02x}",
            hint='Send text as UTF-8, and bytes as {"b64": "..."}',
        ) from error
    before = text[: error.pos]
    if before.count("[") + before.count("{") - before.count("]") - before.count("}") >= _DEEPEST:
        raise too_deep() from error
    seen = text[error.pos : error.pos + 20]
    at = f", at `{seen}`" if seen else ""
    raise InvalidArgument(f"The body is not JSON: {error}{at}", hint=_json_hint(text, error.pos)) from error


def too_deep() -> InvalidArgument:
    """Return the refusal of a body that goes deeper than Python's stack."""
    return InvalidArgument("The body is nested too deep: lists or objects within each other", hint="Send fewer levels")


def _json_hint(text: str, position: int) -> str:
    if text.startswith(("NaN", "Infinity", "-Infinity"), max(position - 1, 0)) or text.startswith(
        ("NaN", "Infinity"), position
    ):
        return "Send null for a missing number: JSON knows neither NaN nor Infinity"
    if text.startswith("'", position):
        return "Put texts and names in double quotes, as json.dumps does"
    return _WANTED


def _without_instances(document: Any) -> InvalidArgument:
    if isinstance(document, list):
        return InvalidArgument("The body is a list, not an object", hint='Wrap it: {"instances": [...]}')
    if not isinstance(document, dict):
        return InvalidArgument(f"The body is {_kind(document)}, not an object", hint=_WANTED)
    if "instances" in document:
        return InvalidArgument(f"`instances` is {_kind(document['instances'])}, not a list", hint=_WANTED)
    names = ", ".join(f"`{name}`" for name in list(document)[:10]) or "nothing"
    message = f"The body has no `instances`; it has: {names}"
    if isinstance(document.get("inputs"), list) and all(isinstance(one, dict) for one in document["inputs"]):
        return InvalidArgument(
            message, hint="Send tensors of the Open Inference Protocol to /v2/models/MODEL/infer, rows as `instances`"
        )
    for alias in _ALIASES:
        if alias in document:
            return InvalidArgument(message, hint=f"Rename `{alias}` to `instances`, a list with one entry for each row")
    return InvalidArgument(message, hint=_WANTED)


def _parameters(document: dict[str, Any]) -> Parameters:
    """Return the `parameters` of a body, with the `signature_name` of TensorFlow Serving among them."""
    if not document.keys() <= _MEMBERS:
        names = ", ".join(f"`{name}`" for name in sorted(document.keys() - _MEMBERS)[:10])
        raise InvalidArgument(
            f"The body has members that are not known: {names}; known are `instances` and `parameters`",
            hint="Put what is for the model into `parameters`",
        )
    parameters = document.get("parameters")
    if parameters is None:
        parameters = {}
    elif not isinstance(parameters, dict):
        raise InvalidArgument(
            f"`parameters` is {_kind(parameters)}, not an object", hint='Send {"parameters": {"name": value}}'
        )
    if "signature_name" in document:
        return {**parameters, "signature_name": document["signature_name"]}
    return parameters


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return "a number"
    return "a text" if isinstance(value, str) else "a list" if isinstance(value, list) else "an object"
