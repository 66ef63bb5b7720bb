"""Trains a small network and writes it as a SavedModel into a folder: `python train.py FOLDER`.

It learns from made-up points whether one lies in the unit circle; put your own data and network here.
"""

import sys
from pathlib import Path

import keras
import numpy as np


def train(folder: Path) -> Path:
    keras.utils.set_random_seed(0)
    points = np.random.default_rng(0).uniform(-1.5, 1.5, (2000, 2)).astype("float32")
    inside = (np.hypot(points[:, 0], points[:, 1]) < 1).astype("float32")
    network = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(1, "sigmoid", name="inside")]
    )
    network.compile(keras.optimizers.Adam(0.02), "binary_crossentropy")
    network.fit(points, inside, epochs=15, batch_size=100, verbose=0)
    network.export(folder, verbose=False)
    return folder


if __name__ == "__main__":
    print(f"wrote {train(Path(sys.argv[1] if len(sys.argv) > 1 else 'model'))}")
