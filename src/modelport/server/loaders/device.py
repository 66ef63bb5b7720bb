"""Where a model computes: on the processors, or on a GPU where its framework finds one."""

from __future__ import annotations

from enum import StrEnum

from modelport.core.errors import ModelCannotBeLoaded
from modelport.core.frameworks import Framework

PROCESSORS = "the processors"

_ON_GPUS = frozenset({Framework.TENSORFLOW, Framework.KERAS, Framework.ONNX, Framework.PYTORCH})


class Device(StrEnum):
    """What a server is told about where to compute."""

    AUTO = "auto"  # on a GPU where the framework finds one
    CPU = "cpu"  # never on one
    GPU = "gpu"  # on one, or not at all


def refuse_without_gpus(framework: Framework, device: Device) -> None:
    """Refuse to load a model onto a GPU that its framework would make no use of.

    Raises:
        ModelCannotBeLoaded: a GPU was asked for.
    """
    if device is Device.GPU and framework not in _ON_GPUS:
        known = ", ".join(sorted(_ON_GPUS))
        raise ModelCannotBeLoaded(
            f"Models of {framework} compute on the processors here, and a GPU is asked for",
            hint=f"Leave out --device; those of {known} can use one",
        )


def uses_gpu(library: str, device: Device, *, found: bool) -> bool:
    """Return whether to load a model onto a GPU, by whether the library has found one that it can use.

    Raises:
        ModelCannotBeLoaded: one was asked for and there is none.
    """
    if device is Device.GPU and not found:
        raise ModelCannotBeLoaded(
            f"A GPU is asked for, and {library} finds none that it can use",
            hint="Look with `nvidia-smi` whether there is one here; a container needs it given, and the library must be"
            " the build for GPUs",
        )
    return found and device is not Device.CPU
