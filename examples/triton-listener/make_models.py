"""Writes a model repository of Triton into a folder: `python make_models.py FOLDER`.

The model tells the species of a penguin by its measurements: the nearest mean, in units of how much they vary. It is
written for Triton's Python backend, so that it needs nothing but numpy; for the listener in front of it all backends
are the same. Put your own models in its place.
"""

import sys
from pathlib import Path

import numpy as np

SPECIES = ("Adelie", "Chinstrap", "Gentoo")
# Length and depth of the bill, length of the flipper (mm), weight (g): about what biologists have measured.
MEANS = [[38.8, 18.3, 190, 3700], [48.8, 18.4, 196, 3730], [47.5, 15.0, 217, 5080]]
SPREADS = [2.9, 1.1, 6.6, 460]

CONFIGURATION = """\
name: "penguins"
backend: "python"
max_batch_size: 256
dynamic_batching {}
input [{ name: "measurements", data_type: TYPE_FP32, dims: [4] }]
output [
  { name: "species", data_type: TYPE_STRING, dims: [1] },
  { name: "probability", data_type: TYPE_FP32, dims: [1] }
]
"""

MODEL = '''\
"""The species whose mean is nearest, and how probable it is."""

from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        folder = Path(args["model_repository"], args["model_version"])
        with np.load(folder / "weights.npz") as weights:
            self.species, self.means, self.spreads = (weights[name] for name in ("species", "means", "spreads"))

    def execute(self, requests):
        return [self.answer(pb_utils.get_input_tensor_by_name(one, "measurements")) for one in requests]

    def answer(self, tensor):
        distances = (tensor.as_numpy()[:, None, :] - self.means) / self.spreads
        likely = np.exp(-(distances**2).sum(axis=2) / 2) + 1e-30
        probability = (likely.max(axis=1) / likely.sum(axis=1)).astype(np.float32)
        species = self.species[likely.argmax(axis=1)].astype(object)
        outputs = {"species": species, "probability": probability}
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, one[:, None]) for name, one in outputs.items()])
'''


def write(folder: Path) -> None:
    model = folder / "penguins"
    (model / "1").mkdir(parents=True, exist_ok=True)
    (model / "config.pbtxt").write_text(CONFIGURATION)
    (model / "1" / "model.py").write_text(MODEL)
    np.savez(
        model / "1" / "weights.npz", species=np.array(SPECIES), means=np.float32(MEANS), spreads=np.float32(SPREADS)
    )


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "models")
    write(target)
    print(f"wrote {target}")
