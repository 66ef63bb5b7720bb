"""A model asked the way the server asks it: its three calls, one after the other."""

from collections.abc import Mapping
from typing import Any

from modelport.server.model import Batch, Model


def predictions(model: Model, batch: Batch, parameters: Mapping[str, Any] = {}) -> Any:
    return model.postprocess(model.predict(model.preprocess(batch, parameters), parameters), parameters)
