"""PyTorch as it computes here: on which device, and how a module is called there with arrays of numpy.

Where that is a GPU, tensors go there and come back for each call. bfloat16, which neither JSON nor numpy has, is
float32 to the callers: no number is lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelport.core.errors import Internal, InvalidArgument, ModelUnusable
from modelport.server.loaders.base import LoadOptions
from modelport.server.loaders.device import PROCESSORS, uses_gpu
from modelport.server.loaders.tensor_model import Caller, Tensors


def prepared(torch: Any, options: LoadOptions) -> tuple[str, str]:
    """Give PyTorch its threads; return the device that a model is for, `cuda` or `cpu`, and what that is in words.

    Raises:
        ModelCannotBeLoaded: a GPU was asked for and there is none.
    """
    torch.set_num_threads(options.threads)
    on_gpu = uses_gpu(f"PyTorch {torch.__version__}", options.device, found=torch.cuda.is_available())
    return ("cuda", str(torch.cuda.get_device_name())) if on_gpu else ("cpu", PROCESSORS)


@dataclass(frozen=True)
class Arguments:
    """What a module is given.

    Attributes:
        positional: names of the tensors that it takes in order.
        named: names of the tensors that it takes by the names of its arguments.
        types: the types of the tensors that it declares.
        floats: the type of any other tensor of numbers with a point; JSON tells no more of them.
    """

    positional: Sequence[str]
    named: Mapping[str, str]
    types: Mapping[str, Any]
    floats: Any = None


def caller(torch: Any, module: Any, device: str, arguments: Arguments) -> Caller:
    """Return what calls a module that is on a device."""
    positional, named, types, floats = arguments.positional, arguments.named, arguments.types, arguments.floats
    from_numpy, inference, bfloat16 = torch.from_numpy, torch.inference_mode, torch.bfloat16
    place = torch.device(device)

    def tensor(name: str, array: Any) -> Any:
        made = from_numpy(array if array.flags.writeable else array.copy())
        return made.to(place, types.get(name, floats if array.dtype.kind == "f" else None))

    def array(tensor: Any) -> Any:
        return (tensor.float() if tensor.dtype is bfloat16 else tensor).cpu().numpy()

    def call(tensors: Tensors) -> Tensors:
        with inference():
            try:
                given = module(
                    *[tensor(name, tensors[name]) for name in positional],
                    **{argument: tensor(name, tensors[name]) for argument, name in named.items()},
                )
                # Only now is it certain that a GPU has done it: it is told what to do, and works later.
                return {name: array(value) for name, value in tensors_by_name(given).items()}
            except (RuntimeError, AssertionError) as error:
                raise _refused(torch, error) from error

    return call


def tensors_by_name(given: Any, prefix: str = "output") -> dict[str, Any]:
    """Return tensors in nests of tuples and dicts by name: of a dict by its keys, of a tuple by number."""
    if isinstance(given, (tuple, list)):
        given = {f"{prefix}_{index}": one for index, one in enumerate(given)}
    if isinstance(given, dict):
        return {name: value for key, one in given.items() for name, value in tensors_by_name(one, str(key)).items()}
    return {prefix: given}


def _refused(torch: Any, error: Exception) -> Exception:
    """Return what an error of PyTorch's means: mostly the rows' fault, else the model's or the GPU's."""
    # Before what it says stand the lines of code that it is about; behind it, with CUDA, stands how to debug that.
    text = str(error).partition("\nCUDA kernel errors")[0]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    reason = (lines[-1] if lines else type(error).__name__).removeprefix("RuntimeError: ")
    if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in reason:
        return MemoryError(reason.partition(". GPU ")[0])
    if "CUDA error" in text:
        return ModelUnusable(f"The GPU refuses all further work of this process: {reason}")
    if "on the same device" in reason:
        return Internal(
            f"The program names the device that it was made on: {reason}", hint="Serve it with --device cpu"
        )
    return InvalidArgument(f"The model refuses the instances: {reason}")
