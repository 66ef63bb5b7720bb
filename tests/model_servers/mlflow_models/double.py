"""Writes the models `plain`, which takes whatever comes, and `table`, whose columns and parameters have types.

Both give twice what comes, texts reversed, and of bytes how many there are. It names no types of its own: models are
read from this file.
"""

import sys

import mlflow.pyfunc
import pandas as pd
from mlflow.models import ModelSignature, set_model
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema


class Double(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        factor = (params or {}).get("factor", 2)
        if isinstance(model_input, pd.DataFrame):
            if "refuse" in model_input.columns:
                raise ValueError("the model was asked to refuse")
            return model_input.map(lambda one: _doubled(one, factor))
        if isinstance(model_input, dict):
            return {name: values * factor for name, values in model_input.items()}
        return model_input * factor


def _doubled(value, factor):
    if isinstance(value, str):
        return value[::-1]
    return len(value) if isinstance(value, bytes) else value * factor


set_model(Double())

if __name__ == "__main__":
    kinds = {"amount": DataType.double, "pieces": DataType.long, "word": DataType.string, "raw": DataType.binary}
    columns = Schema([ColSpec(kind, name, required=name != "raw") for name, kind in kinds.items()])
    signature = ModelSignature(inputs=columns, params=ParamSchema([ParamSpec("factor", DataType.long, 2)]))
    mlflow.pyfunc.save_model(f"{sys.argv[1]}/plain", python_model=__file__)
    mlflow.pyfunc.save_model(f"{sys.argv[1]}/table", python_model=__file__, signature=signature)
