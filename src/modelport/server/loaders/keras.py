"""The loader of Keras 3 models (.keras, and .h5 of earlier versions), on whichever backend is installed.

Predictions are those of `model(x, training=False)`. `model.predict` gives the same for up to 32 rows; more it cuts
into pieces, which may differ in the last bit, and it takes a hundred times as long for one row.
"""

from __future__ import annotations

import os
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from modelport.core.errors import ModelCannotBeLoaded
from modelport.core.frameworks import Framework
from modelport.server.loaders import tensorflow, torch_calls
from modelport.server.loaders.base import LoadOptions, required
from modelport.server.loaders.device import PROCESSORS, Device, uses_gpu
from modelport.server.loaders.files import model_file
from modelport.server.loaders.tensor_model import Caller, Function, TensorModel, Tensors, libraries
from modelport.server.loaders.tensors_in import TEXT, Wanted
from modelport.server.model import LibraryVersion

_BACKENDS = ("tensorflow", "torch", "jax")  # in order of preference; the names of their modules too
_OWN_CODE = "Save it with `model.export(folder)` and serve that folder as a SavedModel, which needs no code"


def load(folder: Path, options: LoadOptions) -> TensorModel:
    """Load the one model file of the folder.

    Raises:
        ModelCannotBeLoaded: there is none or more than one, or it needs code that is not here.
    """
    file = model_file(folder, Framework.KERAS, options.model_file)
    keras, device = _imported(options)
    try:
        # Code in the file (Lambda layers) is refused by Keras itself.
        model = keras.saving.load_model(str(file), compile=False)
    except (OSError, ValueError, TypeError, KeyError, ImportError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ModelCannotBeLoaded(f"`{file.name}` cannot be loaded by Keras: {reason}", hint=_OWN_CODE) from error
    if not getattr(model, "inputs", None):
        kind = type(model).__name__
        raise ModelCannotBeLoaded(f"`{file.name}` holds a {kind} that does not tell its inputs", hint=_OWN_CODE)
    called = _Called(keras, model)
    function = Function("", called.inputs, called.outputs, _caller(keras.backend.backend(), called))
    versions = libraries(folder, LibraryVersion("keras", _trained(file), keras.__version__))
    return TensorModel(Framework.KERAS, {"": function}, "", versions, device, owner=model)


class _Called:
    """A model called with a flat list of tensors, whatever nest of lists and dicts it takes and gives."""

    def __init__(self, keras: Any, model: Any) -> None:
        # A model of layers in sequence that was not called yet has only the lists, of one tensor each.
        self._nest, given = getattr(model, "input", model.inputs[0]), getattr(model, "output", model.outputs[0])
        self._tree, self._model = keras.tree, model
        self.inputs = tuple(_wanted(one.name, one) for one in keras.tree.flatten(self._nest))
        outputs = keras.tree.flatten(given)
        names = sorted(given) if isinstance(given, dict) else _numbered(model, len(outputs))
        self.outputs = tuple(_wanted(name, one) for name, one in zip(names, outputs, strict=True))

    def __call__(self, *tensors: Any) -> dict[str, Any]:
        """Return what the model gives for tensors in the order of `inputs`, by name."""
        nest = self._tree.pack_sequence_as(self._nest, list(tensors))
        given = self._tree.flatten(self._model(nest, training=False))
        return {one.name: tensor for one, tensor in zip(self.outputs, given, strict=True)}


def _imported(options: LoadOptions) -> tuple[Any, str]:
    """Import Keras with the backend that KERAS_BACKEND names, else the first that is installed; tell where it computes.

    Raises:
        ModelCannotBeLoaded: there is none, or no GPU where one is asked for.
    """
    backend = os.environ.get("KERAS_BACKEND") or next((name for name in _BACKENDS if find_spec(name)), "")
    if not backend:
        raise ModelCannotBeLoaded(
            "A model of KERAS needs a backend, and none is installed",
            hint="Install `modelport[tensorflow]` or `modelport[pytorch]`",
        )
    os.environ["KERAS_BACKEND"] = backend
    if backend == "tensorflow":
        device = tensorflow.prepared(tensorflow.imported(options, Framework.KERAS), options.device)
    elif backend == "torch":
        # Keras reads the variable when it is imported.
        os.environ["KERAS_TORCH_DEVICE"], device = torch_calls.prepared(required("torch", Framework.KERAS), options)
    else:
        device = _jax_prepared(required("jax", Framework.KERAS), options)
    return required("keras", Framework.KERAS), device


def _jax_prepared(jax: Any, options: LoadOptions) -> str:
    if options.device is Device.CPU:
        jax.config.update("jax_platforms", "cpu")  # until then it has looked for no device
    (first, *_) = jax.devices()
    on_gpu = uses_gpu("JAX", options.device, found=first.platform == "gpu")
    return str(first.device_kind) if on_gpu else PROCESSORS


def _caller(backend: str, called: _Called) -> Caller:
    names = [one.name for one in called.inputs]
    if backend == "tensorflow":
        return _traced(called, names)
    if backend == "torch":
        return _without_gradients(called, names)

    def call(tensors: Tensors) -> Tensors:
        given = called(*(tensors[name] for name in names))
        return {name: np.asarray(value) for name, value in given.items()}

    return call


def _traced(called: _Called, names: list[str]) -> Caller:
    """Return a caller of the whole model as one graph: layer by layer it takes ten times as long."""
    tf = required("tensorflow", Framework.KERAS)
    specs = [
        tf.TensorSpec(
            None if one.shape is None else [None if size == -1 else size for size in one.shape],
            tf.string if one.dtype == TEXT else one.dtype,
        )
        for one in called.inputs
    ]
    return tensorflow.quick_caller(tf, names, tf.function(called).get_concrete_function(*specs))


def _without_gradients(called: _Called, names: list[str]) -> Caller:
    torch = required("torch", Framework.KERAS)

    def call(tensors: Tensors) -> Tensors:
        with torch.inference_mode():
            given = called(*(torch.from_numpy(tensors[name]) for name in names))
            return {name: tensor.cpu().numpy() for name, tensor in given.items()}

    return call


def _wanted(name: str, tensor: Any) -> Wanted:
    dtype = TEXT if tensor.dtype == "string" else np.dtype(tensor.dtype)
    return Wanted(name, dtype, tuple(-1 if size is None else size for size in tensor.shape))


def _numbered(model: Any, count: int) -> list[str]:
    """Return names of outputs that the model does not name: the layers' where they differ, else numbers."""
    names = list(getattr(model, "output_names", ()))
    return names if len(set(names)) == count else [f"output_{index}" for index in range(count)]


def _trained(file: Path) -> str:
    """Return the version of Keras that wrote a .keras file; empty for other files."""
    if not zipfile.is_zipfile(file):
        return ""
    with zipfile.ZipFile(file) as archive:
        return str(orjson.loads(archive.read("metadata.json")).get("keras_version", ""))
