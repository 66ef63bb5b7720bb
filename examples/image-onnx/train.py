"""Trains a network that reads digits and writes it as model.onnx into a folder: `python train.py FOLDER`.

Small and reproducible: the images come with scikit-learn, and the weights begin with fixed random numbers. The network
is written with ONNX's own helpers; one that was exported from PyTorch is served just so.

With a second argument the first digits of the set are written there as PNG files, to try it with.
"""

import sys
from pathlib import Path

import image
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier


def network(weights: list[np.ndarray], biases: list[np.ndarray]) -> onnx.ModelProto:
    """Return the layers as a graph that takes images and gives probabilities."""
    named = {f"w{layer}": value for layer, value in enumerate(weights)}
    named |= {f"b{layer}": value for layer, value in enumerate(biases)}
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["image"], ["flat"]),
            helper.make_node("Gemm", ["flat", "w0", "b0"], ["sum"]),
            helper.make_node("Relu", ["sum"], ["hidden"]),
            helper.make_node("Gemm", ["hidden", "w1", "b1"], ["scores"]),
            helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
        ],
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["rows", image.SIDE, image.SIDE])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["rows", 10])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in named.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return model


def train(folder: Path) -> Path:
    digits = load_digits()
    classifier = MLPClassifier((64,), learning_rate_init=0.01, tol=1e-3, random_state=0)
    classifier.fit(digits.data / 16, digits.target)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.onnx"
    path.write_bytes(network(classifier.coefs_, classifier.intercepts_).SerializeToString())
    return path


def pictures(folder: Path) -> None:
    """Write the first image of each digit, ten times as large, as PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    for target, grey in zip(range(10), load_digits().images, strict=False):
        shades = (255 - grey * 255 / 16).astype(np.uint8)
        Image.fromarray(shades).resize((80, 80), Image.Resampling.NEAREST).save(folder / f"{target}.png")


if __name__ == "__main__":
    print(f"wrote {train(Path(sys.argv[1] if len(sys.argv) > 1 else 'model'))}")
    if len(sys.argv) > 2:
        pictures(Path(sys.argv[2]))
