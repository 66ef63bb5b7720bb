"""Calls of the protocol over gRPC as the requests over REST that ask the same, and the answers back.

A call is answered by the very handlers that answer REST: tensors travel between the two in binary form, as they are in
both, so that nothing is converted but what stands around them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import numpy as np
import orjson

from modelport.core.errors import Code, InvalidArgument
from modelport.server import tensors
from modelport.server.exchange import Request, Response
from modelport.server.inference import LENGTH_HEADER
from modelport.server.tensors import Tensor

_MODELS = "/v2/models/"
_PATHS = {"ServerLive": b"/v2/health/live", "ServerReady": b"/v2/health/ready", "ServerMetadata": b"/v2"}
_NOT_READY = 503
_CODES = {code.http_status: code for code in reversed(Code)}  # of several with a status the first, which is the usual

# Where values stand that are not raw; those of 16 bits stand raw only.
_CONTENTS = {
    "BOOL": "bool_contents",
    **{f"INT{bits}": "int_contents" for bits in (8, 16, 32)},
    "INT64": "int64_contents",
    **{f"UINT{bits}": "uint_contents" for bits in (8, 16, 32)},
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
_WIDER = {"int_contents": np.dtype(np.int32), "uint_contents": np.dtype(np.uint32)}


class Failure(Exception):
    """An answer that is none: the code and the words of the failure."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def request_of(method: str, message: Any) -> Request:
    """Return the request over REST that asks what a call asks.

    Raises:
        InvalidArgument: the call's tensors are none.
    """
    received = time.perf_counter()
    if method == "ModelInfer":
        path = _model_path(message.model_name, message.model_version) + "/infer"
        head, parts = _inference(message)
        json = orjson.dumps(head)
        headers = [(LENGTH_HEADER, b"%d" % len(json))]
        return Request(b"POST", path.encode(), b"", headers, b"".join((json, *parts)), received)
    if method in _PATHS:
        return Request(b"GET", _PATHS[method], received=received)
    suffix = "/ready" if method == "ModelReady" else ""
    return Request(b"GET", f"{_model_path(message.name, message.version)}{suffix}".encode(), received=received)


def message_of(method: str, types: Mapping[str, Any], response: Response) -> Any:
    """Return what a call is answered, of the message `types`.

    Raises:
        Failure: it failed.
    """
    made = types[f"{method}Response"]
    if method == "ModelInfer" and response.status == 200:
        return _inferred(made, response)
    document = orjson.loads(response.body)
    if response.status == _NOT_READY and "ready" in document:
        return made(ready=False)
    if response.status != 200:
        raise _failure(response.status, document.get("error"))
    known = made.DESCRIPTOR.fields_by_name
    return made(**{name: value for name, value in document.items() if name in known})


def _failure(status: int, error: Any) -> Failure:
    text = error.get("message") if isinstance(error, dict) else error
    return Failure(_CODES.get(status, Code.INTERNAL), str(text))


def _model_path(name: str, version: str) -> str:
    path = _MODELS + quote(name, safe="")
    return f"{path}/versions/{quote(version, safe='')}" if version else path


def _inference(message: Any) -> tuple[dict[str, Any], list[bytes]]:
    """Return the JSON of a request for inference, and the tensors behind it."""
    raw = message.raw_input_contents
    if raw and len(raw) != len(message.inputs):
        raise InvalidArgument(
            f"There are {len(raw)} `raw_input_contents` for {len(message.inputs)} inputs",
            hint="Send one for each input, in their order",
        )
    heads, parts = [], []
    for index, tensor in enumerate(message.inputs):
        if raw and tensor.HasField("contents"):
            raise InvalidArgument(
                f"The input `{tensor.name}` has `contents` beside the `raw_input_contents` of the call",
                hint="Send all inputs of a call in the same way",
            )
        data = raw[index] if raw else _binary(tensor)
        parameters = {**_parameters(tensor.parameters), "binary_data_size": len(data)}
        heads.append(
            {
                "name": tensor.name,
                "datatype": tensor.datatype,
                "shape": list(tensor.shape),
                "parameters": parameters,
            }
        )
        parts.append(data)
    head: dict[str, Any] = {
        "inputs": heads,
        "parameters": {**_parameters(message.parameters), "binary_data_output": True},
    }
    if message.id:
        head["id"] = message.id
    if message.outputs:
        head["outputs"] = [{"name": one.name, "parameters": {"binary_data": True}} for one in message.outputs]
    return head, parts


def _binary(tensor: Any) -> bytes:
    """Return the values of a tensor that are not raw in binary form."""
    name, datatype = tensor.name, tensor.datatype
    field = _CONTENTS.get(datatype)
    if field is None:
        if datatype in ("FP16", tensors.BF16):
            raise InvalidArgument(
                f"The input `{name}` is {datatype}, which has no field in `contents`", hint="Send it raw, or as FP32"
            )
        return b""  # whoever reads the datatype refuses it
    values = getattr(tensor.contents, field)
    others = [one.name for one, _ in tensor.contents.ListFields() if one.name != field]
    if others:
        raise InvalidArgument(
            f"The input `{name}` is {datatype} and has `{others[0]}`", hint=f"Its values belong into `{field}`"
        )
    array = np.empty(len(values), _WIDER.get(field, tensors.DTYPES[datatype]))
    array[:] = values
    if array.dtype != object:
        array = tensors.cast(name, array, datatype)
    return tensors.to_binary(Tensor(name, array))[1]


def _inferred(made: Any, response: Response) -> Any:
    length = int(response.headers.get(LENGTH_HEADER, len(response.body)))
    document = orjson.loads(response.body[:length])
    outputs, raw, start = [], [], length
    for one in document["outputs"]:
        told = dict(one.get("parameters", {}))
        stop = start + told.pop("binary_data_size")
        raw.append(response.body[start:stop])
        start = stop
        outputs.append({**one, "parameters": {name: _parameter(value) for name, value in told.items()}})
    return made(**{**document, "outputs": outputs}, raw_output_contents=raw)


def _parameters(given: Mapping[str, Any]) -> dict[str, Any]:
    chosen = {name: (value, value.WhichOneof("parameter_choice")) for name, value in given.items()}
    return {name: getattr(value, choice) for name, (value, choice) in chosen.items() if choice}


def _parameter(value: object) -> dict[str, object]:
    if isinstance(value, bool):
        return {"bool_param": value}
    if isinstance(value, int):
        return {"int64_param": value}
    if isinstance(value, float):
        return {"double_param": value}
    return {"string_param": value if isinstance(value, str) else orjson.dumps(value).decode()}
