"""MLServer's model; it speaks the Open Inference Protocol, and batches by its settings."""

# ruff: noqa: D101, D102
from __future__ import annotations

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

from bench.server_job import load as load_model


class Job(MLModel):
    async def load(self) -> bool:
        self._predict = load_model()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        rows = NumpyCodec.decode_input(payload.inputs[0])
        output = NumpyCodec.encode_output("predictions", self._predict(rows))
        return InferenceResponse(model_name=self.name, outputs=[output])
