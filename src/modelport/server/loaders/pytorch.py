"""The loader of PyTorch programs: TorchScript and torch.export.

Pickled modules and bare weights are refused: the code that they need is not in the file. A program of torch.export
says which tensors it takes. TorchScript does not; there the graph is looked at: what goes into a matrix product is
wanted as the parameters' type, what goes into an embedding stays whole numbers.
"""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from modelport.core.errors import ModelCannotBeLoaded
from modelport.core.frameworks import Framework
from modelport.server.loaders.base import LoadOptions, required
from modelport.server.loaders.files import model_file
from modelport.server.loaders.tensor_model import Function, TensorModel, libraries
from modelport.server.loaders.tensors_in import Wanted
from modelport.server.loaders.torch_calls import Arguments, caller, prepared, tensors_by_name
from modelport.server.model import LibraryVersion

_EXPORT_IT = "Save it with `torch.export.save(torch.export.export(model, example), 'model.pt2')`, or as TorchScript"
_TAKE_FLOATS = {
    "aten::linear",
    "aten::matmul",
    "aten::mm",
    "aten::addmm",
    "aten::bmm",
    "aten::conv1d",
    "aten::conv2d",
    "aten::conv3d",
    "aten::_convolution",
    "aten::batch_norm",
    "aten::layer_norm",
    "aten::group_norm",
    "aten::lstm",
    "aten::gru",
}


def load(folder: Path, options: LoadOptions) -> TensorModel:
    """Load the one model file of the folder.

    Raises:
        ModelCannotBeLoaded: there is none or more than one, or it holds no program.
    """
    file = model_file(folder, Framework.PYTORCH, options.model_file)
    torch = required("torch", Framework.PYTORCH)
    device, where = prepared(torch, options)
    members = _members(file)
    try:
        if "archive_format" in members:
            function, owner = _exported(torch, torch.export.load(str(file)), device)
        elif any(name.startswith("code/") for name in members):
            function, owner = _scripted(torch, torch.jit.load(str(file), map_location=device).eval(), device)
        else:
            raise _no_program(torch, file)
    except (RuntimeError, OSError) as error:
        raise ModelCannotBeLoaded(f"`{file.name}` cannot be loaded by PyTorch {torch.__version__}: {error}") from error
    versions = libraries(folder, LibraryVersion("torch", "", torch.__version__))
    return TensorModel(Framework.PYTORCH, {"": function}, "", versions, where, owner=owner)


def _members(file: Path) -> set[str]:
    """Return the names in the archive, without the folder that all lie in."""
    if not zipfile.is_zipfile(file):
        return set()
    with zipfile.ZipFile(file) as archive:
        return {name.partition("/")[2] for name in archive.namelist()}


def _no_program(torch: Any, file: Path) -> ModelCannotBeLoaded:
    try:
        torch.load(str(file), map_location="cpu", weights_only=True)
        what = "weights (a state_dict) without the model that they belong to"
    except pickle.UnpicklingError:
        what = "a pickled module, whose code is not in the file"
    return ModelCannotBeLoaded(f"`{file.name}` holds {what}", hint=_EXPORT_IT)


def _exported(torch: Any, program: Any, device: str) -> tuple[Function, Any]:
    """Return the function of a program of torch.export, which knows the types and shapes of its tensors."""
    # The device that it was exported on is noted in its nodes as well.
    program = required("torch.export.passes", Framework.PYTORCH).move_to_device_pass(program, device)
    values = {node.name: node.meta["val"] for node in program.graph.nodes if node.op == "placeholder"}
    wanted = tuple(_described(name, values[name]) for name in program.graph_signature.user_inputs)
    positional, named = program.call_spec.in_spec.unflatten([one.name for one in wanted])
    if not all(isinstance(name, str) for name in (*positional, *named.values())):
        raise ModelCannotBeLoaded("The program takes lists or objects of tensors", hint="Export one that takes tensors")
    (output,) = (node for node in program.graph.nodes if node.op == "output")
    outputs = [argument.meta["val"] for argument in output.args[0]]
    names = tensors_by_name(program.call_spec.out_spec.unflatten(list(range(len(outputs)))))
    given = tuple(_described(name, outputs[index]) for name, index in names.items())
    module = program.module()
    types = {one.name: values[one.name].dtype for one in wanted}
    return Function("", wanted, given, caller(torch, module, device, Arguments(positional, named, types))), module


def _scripted(torch: Any, module: Any, device: str) -> tuple[Function, Any]:
    """Return the function of a TorchScript module, which tells the names of what it takes and no more."""
    arguments = [argument.name for argument in module.forward.schema.arguments[1:]]
    parameters = (parameter for parameter in module.parameters() if parameter.is_floating_point())
    floats = next((parameter.dtype for parameter in parameters), None)
    values = list(module.inlined_graph.inputs())[1:]
    wanted = tuple(
        Wanted(name, _dtype(floats) if floats is not None and _takes_floats(value) else None, None)
        for name, value in zip(arguments, values, strict=True)
    )
    return Function("", wanted, (), caller(torch, module, device, Arguments(arguments, {}, {}, floats))), module


def _takes_floats(value: Any) -> bool:
    return any(use.user.kind() in _TAKE_FLOATS for use in value.uses())


def _described(name: str, value: Any) -> Wanted:
    # Sizes that were left open at export are symbols, the others plain numbers.
    return Wanted(name, _dtype(value.dtype), tuple(size if type(size) is int else -1 for size in value.shape))


def _dtype(dtype: Any) -> np.dtype[Any]:
    return np.dtype(str(dtype).removeprefix("torch.").replace("bfloat16", "float32"))
