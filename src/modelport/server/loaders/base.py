"""What a loader is, and which module holds the one of a framework."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from modelport.core.errors import ModelCannotBeLoaded
from modelport.core.frameworks import Framework, framework_named
from modelport.server import skew
from modelport.server.loaders.device import Device, refuse_without_gpus
from modelport.server.loaders.files import detected
from modelport.server.model import Model

_MODULES = {
    Framework.SCIKIT_LEARN: "sklearn",
    Framework.XGBOOST: "xgboost",
    Framework.LIGHTGBM: "lightgbm",
    Framework.CATBOOST: "catboost",
    Framework.TENSORFLOW: "tensorflow",
    Framework.KERAS: "keras",
    Framework.ONNX: "onnx",
    Framework.PYTORCH: "pytorch",
    Framework.MLFLOW: "mlflow",
}


@dataclass(frozen=True)
class LoadOptions:
    """What a loader may be told.

    Attributes:
        method: the method to call, where models have several: predict, predict_proba, decision_function …
        signature: the signature to serve, where models have several.
        threads: how many threads the model may use for one call.
        model_file: name of the file in the folder, where there are several.
        trusted_types: what a skops file may hold beside that which is known to be harmless.
        device: where it is to compute.
    """

    method: str = "predict"
    signature: str = ""
    threads: int = 1
    model_file: str = ""
    trusted_types: tuple[str, ...] = ()
    device: Device = Device.AUTO


Loader = Callable[[Path, LoadOptions], Model]


def load(folder: Path, framework: str, options: LoadOptions) -> Model:
    """Return the model in a folder, loaded by the framework's loader; `folder` may be the model's file itself.

    What the model was trained with and is not served with is said on stderr, by name and version; so is the traceback
    behind a failure, where there is one.

    Raises:
        ModelCannotBeLoaded: the framework is unknown, its library is not installed, or the files are not its own.
    """
    if folder.is_file():
        folder, options = folder.parent, replace(options, model_file=folder.name)
    if not folder.is_dir():
        raise ModelCannotBeLoaded(f"The model folder `{folder}` does not exist", hint="Name the folder of the model")
    chosen = _chosen(folder, framework, options)
    if chosen is not Framework.MLFLOW:  # whose loader knows which framework it is
        refuse_without_gpus(chosen, options.device)
    loader: Loader = importlib.import_module(f"modelport.server.loaders.{_MODULES[chosen]}").load
    try:
        model = loader(folder, options)
    except ModelCannotBeLoaded as error:
        # Where in the library or in the user's own code it went wrong; what it means is the caller's to tell.
        sys.stderr.write("".join(traceback.format_exception(error.__cause__)) if error.__cause__ else "")
        raise
    if report := skew.report(model.info.libraries):
        sys.stderr.write(f"{report}\n")
    return model


def required(module: str, framework: Framework) -> Any:
    """Import the library of a framework and return it.

    Raises:
        ModelCannotBeLoaded: it is not installed; says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != module.partition(".")[0]:
            raise  # it is there, and something that it needs is not
        raise ModelCannotBeLoaded(
            f"A model of {framework} needs the module `{module}`, which is not installed",
            hint=f"Install it with `pip install 'modelport[{extra(framework)}]'`",
        ) from error


def extra(framework: Framework) -> str:
    """Return the name of the extra that brings the libraries of a framework."""
    return "sklearn" if framework is Framework.SCIKIT_LEARN else framework.value.lower()


def _chosen(folder: Path, framework: str, options: LoadOptions) -> Framework:
    if not framework:
        return detected(folder, options.model_file)
    chosen = framework_named(framework)
    if chosen is None:
        raise ModelCannotBeLoaded(
            f"The framework `{framework}` is not known", hint=f"Name one of these: {', '.join(Framework)}"
        )
    return chosen
