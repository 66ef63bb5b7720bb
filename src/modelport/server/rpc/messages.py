"""The messages of the Open Inference Protocol over gRPC.

They are made from a table rather than by a compiler: code that one release of the compiler makes is refused by the
libraries of others, and the frameworks beside which this runs want releases of their own. They live in a pool of their
own too, as a predictor may import the same messages from a client library.

The table follows `open_inference_grpc.proto` of the protocol. In all its messages the fields are numbered from 1 in
the order in which they stand.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

PACKAGE = "inference"
SERVICE = f"{PACKAGE}.GRPCInferenceService"
METHODS = ("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer")

_MANY = "repeated "
_PARAMETERS = "map<string, InferParameter>"
_MODEL = {"name": "string", "version": "string"}
_TENSOR = {"name": "string", "datatype": "string", "shape": "repeated int64"}
_TENSOR_WITH_CONTENTS = {**_TENSOR, "parameters": _PARAMETERS, "contents": "InferTensorContents"}

# What a message holds, by its name; one within another has the other's name in front.
_MESSAGES: Mapping[str, Mapping[str, str]] = {
    "ServerLiveRequest": {},
    "ServerLiveResponse": {"live": "bool"},
    "ServerReadyRequest": {},
    "ServerReadyResponse": {"ready": "bool"},
    "ModelReadyRequest": _MODEL,
    "ModelReadyResponse": {"ready": "bool"},
    "ServerMetadataRequest": {},
    "ServerMetadataResponse": {"name": "string", "version": "string", "extensions": "repeated string"},
    "ModelMetadataRequest": _MODEL,
    "ModelMetadataResponse": {
        "name": "string",
        "versions": "repeated string",
        "platform": "string",
        "inputs": "repeated ModelMetadataResponse.TensorMetadata",
        "outputs": "repeated ModelMetadataResponse.TensorMetadata",
    },
    "ModelMetadataResponse.TensorMetadata": _TENSOR,
    "ModelInferRequest": {
        "model_name": "string",
        "model_version": "string",
        "id": "string",
        "parameters": _PARAMETERS,
        "inputs": "repeated ModelInferRequest.InferInputTensor",
        "outputs": "repeated ModelInferRequest.InferRequestedOutputTensor",
        "raw_input_contents": "repeated bytes",
    },
    "ModelInferRequest.InferInputTensor": _TENSOR_WITH_CONTENTS,
    "ModelInferRequest.InferRequestedOutputTensor": {"name": "string", "parameters": _PARAMETERS},
    "ModelInferResponse": {
        "model_name": "string",
        "model_version": "string",
        "id": "string",
        "parameters": _PARAMETERS,
        "outputs": "repeated ModelInferResponse.InferOutputTensor",
        "raw_output_contents": "repeated bytes",
    },
    "ModelInferResponse.InferOutputTensor": _TENSOR_WITH_CONTENTS,
    "InferParameter": {
        "bool_param": "bool",
        "int64_param": "int64",
        "string_param": "string",
        "double_param": "double",
        "uint64_param": "uint64",
    },
    "InferTensorContents": {
        "bool_contents": "repeated bool",
        "int_contents": "repeated int32",
        "int64_contents": "repeated int64",
        "uint_contents": "repeated uint32",
        "uint64_contents": "repeated uint64",
        "fp32_contents": "repeated float",
        "fp64_contents": "repeated double",
        "bytes_contents": "repeated bytes",
    },
}
# Messages of whose fields one at most is set.
_ONE_OF = {"InferParameter": "parameter_choice"}


def message_types() -> dict[str, Any]:
    """Return the classes of all messages by their names, such as `ModelInferRequest`."""
    pool = DescriptorPool()
    pool.AddSerializedFile(_file().SerializeToString())
    return {name: GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}")) for name in _MESSAGES}


def _file() -> Any:
    file = FileDescriptorProto(name="modelport/open_inference.proto", package=PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        outer, _, inner = name.rpartition(".")
        holder = next(one for one in file.message_type if one.name == outer).nested_type if outer else file.message_type
        _describe(holder.add(name=inner), name, fields)
    return file


def _describe(message: Any, name: str, fields: Mapping[str, str]) -> None:
    one_of = name in _ONE_OF
    if one_of:
        message.oneof_decl.add(name=_ONE_OF[name])
    for number, (field, kind) in enumerate(fields.items(), start=1):
        described = message.field.add(name=field, number=number, label=FieldDescriptorProto.LABEL_OPTIONAL)
        if one_of:
            described.oneof_index = 0
        if kind == _PARAMETERS:
            kind = f"repeated {name}.{_add_map(message, field)}"
        if kind.startswith(_MANY):
            described.label = FieldDescriptorProto.LABEL_REPEATED
        _set_kind(described, kind.removeprefix(_MANY))


def _add_map(message: Any, field: str) -> str:
    """Add the message that holds an entry of a map, as protocol buffers have it; return its name."""
    entry: Any = DescriptorProto(name=f"{field.title()}Entry")
    entry.options.map_entry = True
    for number, (name, kind) in enumerate({"key": "string", "value": "InferParameter"}.items(), start=1):
        described = entry.field.add(name=name, number=number, label=FieldDescriptorProto.LABEL_OPTIONAL)
        _set_kind(described, kind)
    message.nested_type.append(entry)
    return str(entry.name)


def _set_kind(field: Any, kind: str) -> None:
    if kind[0].islower():
        field.type = FieldDescriptorProto.Type.Value(f"TYPE_{kind.upper()}")
    else:
        field.type = FieldDescriptorProto.TYPE_MESSAGE
        field.type_name = f".{PACKAGE}.{kind}"
