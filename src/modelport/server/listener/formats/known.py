"""All formats by name; another is a module of its own and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from modelport.server.listener.formats.ai_platform import AIPlatform
from modelport.server.listener.formats.base import Format
from modelport.server.listener.formats.mlflow import MLflow
from modelport.server.listener.formats.open_inference import BinaryOpenInference, OpenInference
from modelport.server.listener.formats.raw import Raw
from modelport.server.listener.formats.sagemaker import CSVSageMaker, LinesSageMaker, SageMaker
from modelport.server.listener.formats.tf_serving import TFServing
from modelport.server.listener.formats.torchserve import TorchServe

FORMATS: Mapping[str, type[Format]] = MappingProxyType(
    {
        one.name: one
        for one in (
            AIPlatform,
            OpenInference,
            BinaryOpenInference,
            TorchServe,
            TFServing,
            MLflow,
            SageMaker,
            CSVSageMaker,
            LinesSageMaker,
            Raw,
        )
    }
)


def format_named(name: str) -> Format:
    """Return a new instance of the format of this name. Raises KeyError where there is none."""
    return FORMATS[name]()
