"""The Open Inference Protocol, version 2 (KServe V2), as JSON and with its binary-tensor extension."""

from __future__ import annotations

from typing import Any, ClassVar

from modelport.core.errors import Internal, InvalidArgument
from modelport.server import inference, open_inference, tensors
from modelport.server.decoding import too_deep
from modelport.server.encoding import json_body
from modelport.server.exchange import JSON, Request, Response
from modelport.server.inference import LENGTH_HEADER, Inference
from modelport.server.listener.declaration import Model
from modelport.server.listener.formats.base import Call, Failure, Message, garbled
from modelport.server.listener.formats.failure_words import failure_in
from modelport.server.listener.formats.json_body import answered, has_member
from modelport.server.listener.formats.tensor_rows import batch_of_tensors, tensors_of
from modelport.server.model import Batch, ModelInfo, TensorInfo
from modelport.server.number_arrays import WORTHWHILE_BYTES, NumberReader
from modelport.server.tensors import Tensor

_BINARY = b"application/octet-stream"
_WANTED = "an object with a list `outputs` of tensors"


class OpenInference:
    """The protocol with tensors in JSON; callers are understood and answered in both forms."""

    name = "oip"
    about = "Open Inference Protocol v2 of KServe, Triton and MLServer; tensors are written as JSON."
    row_by_row = False
    _binary: ClassVar[bool] = False

    def __init__(self) -> None:
        self._inputs = NumberReader()
        self._outputs = NumberReader(tensors="outputs")

    def speaks(self, request: Request) -> bool:
        """Return whether it has tensors."""
        if request.header(LENGTH_HEADER):
            return True
        return has_member(request, b"inputs") and has_member(request, b"datatype")

    def read_call(self, request: Request) -> Call:
        """Return the tensors of a request as rows."""
        try:
            asked = inference.read(request.body, open_inference.json_length(request), self._inputs)
        except RecursionError:
            raise too_deep() from None
        return Call(batch_of_tensors(asked.inputs), asked.parameters, asked.id, asked.outputs, asked.binary)

    def write_call(self, call: Call, model: Model) -> Message:
        """Return the rows as the inputs that the model declares, asking for the outputs that it declares."""
        heads, parts = [], []
        for one in tensors_of(call.batch, model):
            if self._binary:
                head, data = tensors.to_binary(one)
                parts.append(data)
            else:
                head = tensors.to_json(one)
            heads.append(head)
        document: dict[str, Any] = {} if call.identity is None else {"id": call.identity}
        parameters = dict(call.parameters)
        if self._binary and not model.outputs:
            parameters["binary_data_output"] = True
        if parameters:
            document["parameters"] = parameters
        if model.outputs:
            wanted = {"parameters": {"binary_data": True}} if self._binary else {}
            document["outputs"] = [{"name": name, **wanted} for name in model.outputs]
        json = json_body({**document, "inputs": heads})
        if not parts:
            return Message(json)
        return Message(b"".join((json, *parts)), _BINARY, {LENGTH_HEADER: b"%d" % len(json)})

    def read_answer(self, message: Message, model: Model) -> Batch:
        """Return the outputs: rows of the one, named columns of several."""
        given = self._tensors(message, model)
        if model.outputs:
            by_name = {one.name: one for one in given}
            missing = next((name for name in model.outputs if name not in by_name), None)
            if missing is not None:
                raise garbled(message, model, f"one with the output `{missing}`", f"it has {', '.join(by_name)}")
            given = [by_name[name] for name in model.outputs]
        rows = {len(one.array) for one in given}
        if len(rows) != 1:
            raise garbled(message, model, "of outputs with as many rows", f"they have {sorted(rows)}")
        return batch_of_tensors(given)

    def write_answer(self, batch: Batch, call: Call, name: str) -> Response:
        """Return the outputs that were asked for, in the form that was asked for."""
        # A caller who asks for one output means the one that there is, whatever it is called.
        asked = tuple(TensorInfo(one, "", ()) for one in call.outputs) if len(call.outputs) == 1 else ()
        try:
            outputs = inference.outputs_of(batch, ModelInfo("", outputs=asked))
        except RecursionError:
            raise Internal("The predictions are nested too deep: lists within each other") from None
        wanted = Inference(call.identity, {}, (), dict(call.outputs), call.binary)
        answer = inference.answer(wanted, outputs, name, "")
        if answer.json_length is None:
            return Response(200, answer.body, JSON)
        return Response(200, answer.body, _BINARY, {LENGTH_HEADER: b"%d" % answer.json_length})

    def read_failure(self, message: Message) -> Failure:
        """Return `error`."""
        return failure_in(message)

    def write_failure(self, error: Exception) -> Response:
        """Return `{"error": ...}`."""
        return open_inference.refusal(error)

    def _tensors(self, message: Message, model: Model) -> list[Tensor]:
        try:
            length = int(message.headers.get(LENGTH_HEADER, b"") or len(message.body))
        except ValueError:
            length = -1
        if not 0 <= length <= len(message.body):
            told = message.headers[LENGTH_HEADER].decode("latin-1")
            raise garbled(message, model, "as long as it says", f"its {LENGTH_HEADER.decode()} is `{told}`")
        json = message.body[:length] if length < len(message.body) else message.body
        document = self._outputs.read_tensors(json) if len(json) >= WORTHWHILE_BYTES else None
        if document is None:
            document = answered(Message(json), model, _WANTED)
        outputs = document.get("outputs") if isinstance(document, dict) else None
        if not isinstance(outputs, list) or not outputs:
            raise garbled(message, model, _WANTED)
        binary = memoryview(message.body)[length:]
        try:
            return _read(outputs, binary)
        except (InvalidArgument, ValueError, RecursionError) as error:
            reason = str(error).replace("The input", "the output", 1)
            raise garbled(message, model, "one of the protocol", reason) from error


class BinaryOpenInference(OpenInference):
    """The protocol with tensors in binary form behind the JSON: what they weigh in memory, and exact."""

    name = "oip-binary"
    about = "Open Inference Protocol v2 with the binary-tensor extension: for large tensors, and for BF16."
    _binary = True

    def speaks(self, request: Request) -> bool:
        """Return whether tensors follow behind the JSON."""
        return bool(request.header(LENGTH_HEADER))


def _read(outputs: list[Any], binary: memoryview) -> list[Tensor]:
    """Return the tensors of an answer. Raises ValueError or InvalidArgument where one is none."""
    found = []
    start = 0
    for entry in outputs:
        if not isinstance(entry, dict):
            raise ValueError("an output is no object")
        name, datatype, shape = entry.get("name"), entry.get("datatype"), entry.get("shape")
        told = entry.get("parameters") or {}
        if not isinstance(name, str) or not isinstance(datatype, str) or not isinstance(told, dict):
            raise ValueError("an output has no `name` or no `datatype`")
        if not isinstance(shape, list) or not shape or not all(type(size) is int and size >= 0 for size in shape):
            raise ValueError(f"the output `{name}` has the shape {shape}, where the first size is that of the rows")
        size = told.get("binary_data_size")
        if size is None:
            base64 = told.get("content_type") == "base64"
            tensor = tensors.from_json(name, datatype, tuple(shape), entry.get("data"), base64=base64)
        elif type(size) is int and 0 <= size <= len(binary) - start:
            tensor = tensors.from_binary(name, datatype, tuple(shape), binary[start : start + size])
            start += size
        else:
            raise ValueError(f"the output `{name}` has {size} bytes, {len(binary) - start} are there")
        kept = {"content_type": told["content_type"]} if "content_type" in told else {}
        found.append(Tensor(name, tensor.array, kept))
    return found
