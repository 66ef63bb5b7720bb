"""A model of KServe's SDK: twice what comes, and texts reversed; a folder with `factor.txt` makes it another number."""

import argparse
from pathlib import Path

import numpy as np
from kserve import InferInput, InferOutput, InferRequest, InferResponse, Model, ModelServer, model_server
from kserve.errors import InvalidInput
from kserve.utils.utils import generate_uuid


class Double(Model):
    """Answers V1 with lists, and V2 with a tensor for each that came, of the same type."""

    def __init__(self, name, factor):
        super().__init__(name)
        self.factor = factor
        self.ready = True

    def predict(self, payload, headers=None, response_headers=None):
        if isinstance(payload, InferRequest):
            binary = payload.use_binary_outputs or any(
                one.parameters.get("binary_data") for one in payload.request_outputs or []
            )
            return InferResponse(
                response_id=payload.id or generate_uuid(),
                model_name=self.name,
                infer_outputs=[self.tensor(one, binary) for one in payload.inputs],
                use_binary_outputs=binary,
                requested_outputs=payload.request_outputs,
            )
        return {"predictions": [self.value(one) for one in payload["instances"]]}

    def tensor(self, one: InferInput, binary):
        made = InferOutput(f"twice-{one.name}", one.shape, one.datatype)
        values = one.as_numpy()
        if one.datatype == "BYTES":
            doubled = np.array([bytes(_bytes(value))[::-1] for value in values.ravel()], dtype=object).reshape(
                values.shape
            )
        elif one.datatype == "BOOL":
            doubled = ~values
        else:
            doubled = (values * self.factor).astype(values.dtype)
        made.set_data_from_numpy(doubled, binary_data=binary)
        return made

    def value(self, one):
        if one == "refuse":
            raise InvalidInput("the model was asked to refuse")
        if isinstance(one, str):
            return one[::-1]
        if isinstance(one, list):
            return [self.value(part) for part in one]
        return one * self.factor


def _bytes(value):
    return value.encode() if isinstance(value, str) else value


parser = argparse.ArgumentParser(parents=[model_server.parser])
parser.add_argument("--model_dir", default="")

if __name__ == "__main__":
    args = parser.parse_args()
    written = Path(args.model_dir) / "factor.txt"
    factor = int(written.read_text()) if args.model_dir and written.exists() else 2
    ModelServer().start([Double(args.model_name, factor)])
