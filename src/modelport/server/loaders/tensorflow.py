"""The loader of TensorFlow SavedModels: signatures with named tensors in and out."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from modelport.core.errors import InvalidArgument, ModelCannotBeLoaded
from modelport.core.frameworks import Framework
from modelport.server.loaders.base import LoadOptions, required
from modelport.server.loaders.device import PROCESSORS, Device, uses_gpu
from modelport.server.loaders.tensor_model import Caller, Function, TensorModel, Tensors, libraries
from modelport.server.loaders.tensors_in import Wanted
from modelport.server.model import LibraryVersion

_log = logging.getLogger(__name__)

_USUAL = "serving_default"
_FILES = ("saved_model.pb", "saved_model.pbtxt")
# In errors: {{function_node …}} in front of the reason, [[{{node …}}]] and [Op:…] name: … behind it.
_PLACES = re.compile(r"\[*\{\{.*?\}\}\]*|\[Op:.*$")


def load(folder: Path, options: LoadOptions) -> TensorModel:
    """Load the SavedModel in a folder, or in its sub-directory of the highest version number.

    Raises:
        ModelCannotBeLoaded: there is none, it cannot be read, or it lacks the signature.
    """
    export = export_folder(folder)
    tf = imported(options)
    device = prepared(tf, options.device)
    try:
        loaded = tf.saved_model.load(str(export))
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise ModelCannotBeLoaded(f"The SavedModel in `{export}` cannot be read: {error}") from error
    functions = {name: _function(tf, name, loaded.signatures[name]) for name in loaded.signatures}
    chosen = options.signature or (_USUAL if _USUAL in functions else next(iter(functions), _USUAL))
    if chosen not in functions:
        known = ", ".join(f"`{name}`" for name in functions) or "none"
        raise ModelCannotBeLoaded(
            f"The SavedModel in `{export}` has no signature `{chosen}`; it has {known}",
            hint="Name one of them with --signature"
            if functions
            else "Save it with `tf.saved_model.save(model, folder, signatures=...)` or `model.export(folder)`",
        )
    trained = str(getattr(loaded, "tensorflow_version", ""))
    versions = libraries(folder, LibraryVersion("tensorflow", trained, tf.__version__))
    return TensorModel(Framework.TENSORFLOW, functions, chosen, versions, device, owner=loaded)


def export_folder(folder: Path) -> Path:
    """Return the folder that holds the SavedModel itself: TensorFlow Serving's have sub-directories by version.

    Raises:
        ModelCannotBeLoaded: neither it nor a sub-directory whose name is a number has one.
    """
    if _is_export(folder):
        return folder
    versions = [path for path in folder.iterdir() if path.name.isdecimal() and _is_export(path)]
    if not versions:
        names = ", ".join(sorted(path.name for path in folder.iterdir())[:20]) or "nothing"
        raise ModelCannotBeLoaded(
            f"`{folder}` has no saved_model.pb; it has {names}", hint="Name the folder that `model.export` wrote"
        )
    newest = max(versions, key=lambda path: int(path.name))
    _log.info("serving `%s` of %d exported versions", newest, len(versions))
    return newest


def imported(options: LoadOptions, framework: Framework = Framework.TENSORFLOW) -> Any:
    """Import TensorFlow, quietly and with as many threads as it may have, and return it."""
    # What goes wrong is raised; what it prints is about processors that there are or are not.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    tf = required("tensorflow", framework)
    try:
        tf.config.threading.set_intra_op_parallelism_threads(options.threads)
        tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    except RuntimeError:  # it computes already, so another model was loaded before: the threads are as they are
        _log.debug("TensorFlow's threads are set already")
    return tf


def prepared(tf: Any, device: Device) -> str:
    """Let TensorFlow use a GPU, or none, before it computes for the first time; return where it will.

    Raises:
        ModelCannotBeLoaded: a GPU was asked for and there is none.
    """
    gpus = tf.config.list_physical_devices("GPU")
    on_gpu = uses_gpu("TensorFlow", device, found=bool(gpus))
    try:
        if not on_gpu:
            tf.config.set_visible_devices([], "GPU")
        for gpu in gpus if on_gpu else []:
            # Else the first process takes all memory of every GPU that it sees, and other workers have none.
            tf.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError:  # it computes already, so another model was loaded before, with the same settings
        _log.debug("TensorFlow's devices are set already")
    if not on_gpu:
        return PROCESSORS
    return str(tf.config.experimental.get_device_details(gpus[0]).get("device_name", "the GPU"))


def quick_caller(tf: Any, order: list[str], concrete: Any) -> Caller:
    """Return a caller of a concrete function that hands tensors straight to its graph: half the time for one row.

    Calling the function itself looks at the type of every argument again, although they are known to be right.

    Args:
        tf: the module.
        order: the names of the tensors in the order of the function's arguments.
        concrete: the function; it returns an object.
    """
    captured = list(concrete.captured_inputs)
    names = sorted(concrete.structured_outputs)  # the order in which TensorFlow flattens an object
    dtypes = [tensor.dtype for tensor in concrete.outputs]
    run, constant = tf.raw_ops.StatefulPartitionedCall, tf.constant

    def call(tensors: Tensors) -> Tensors:
        try:
            given = run(args=[*[constant(tensors[name]) for name in order], *captured], Tout=dtypes, f=concrete)
        except tf.errors.InvalidArgumentError as error:
            raise _refused(error) from error
        return {name: tensor.numpy() for name, tensor in zip(names, given, strict=True)}

    return call


def _usual_caller(tf: Any, concrete: Any) -> Caller:
    def call(tensors: Tensors) -> Tensors:
        try:
            given = concrete(**{name: tf.constant(array) for name, array in tensors.items()})
        except tf.errors.InvalidArgumentError as error:
            raise _refused(error) from error
        return {name: tensor.numpy() for name, tensor in given.items()}

    return call


def _function(tf: Any, name: str, concrete: Any) -> Function:
    inputs = concrete.structured_input_signature[1]
    order = [tensor.name.partition(":")[0] for tensor in concrete.inputs[: len(inputs)]]
    # In a model saved by TensorFlow 1 the graph's names are not the signature's.
    told = sorted(order) == sorted(inputs)
    caller = quick_caller(tf, order, concrete) if told else _usual_caller(tf, concrete)
    return Function(name, _wanted(inputs), _wanted(concrete.structured_outputs), caller)


def _wanted(specs: dict[str, Any]) -> tuple[Wanted, ...]:
    return tuple(
        Wanted(name, np.dtype(spec.dtype.as_numpy_dtype), _shape(spec.shape)) for name, spec in sorted(specs.items())
    )


def _shape(shape: Any) -> tuple[int, ...] | None:
    return None if shape.rank is None else tuple(-1 if size is None else int(size) for size in shape)


def _refused(error: Any) -> InvalidArgument:
    """Return an error with the line that says what is wrong, without those that tell where in the graph."""
    lines = [_PLACES.sub("", line).strip() for line in error.message.splitlines()]
    reason = next((line for line in reversed(lines) if line), error.message)
    return InvalidArgument(f"The model refuses the instances: {reason}")


def _is_export(folder: Path) -> bool:
    return any((folder / name).is_file() for name in _FILES)
