"""Keras 3 models: predictions to the bit on two backends, several inputs, and what is refused."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import hypothesis.extra.numpy as arrays
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from modelport.core.errors import InvalidArgument, ModelCannotBeLoaded
from modelport.server.loaders import keras as loader
from modelport.server.loaders.base import LoadOptions
from modelport.server.loaders.tensor_model import TensorModel
from modelport.server.model import Batch, TensorInfo

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
import keras  # only after its backend is named

_ROWS = arrays.arrays(np.float32, st.tuples(st.integers(1, 9), st.just(8)), elements=st.floats(-1e3, 1e3, width=32))
# Keras 3.15 saves TensorFlow's variables by a protocol that NumPy 2 has replaced.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")


def sequential() -> Any:
    keras.utils.set_random_seed(5)
    return keras.Sequential(
        [
            keras.Input((8,), name="features"),
            keras.layers.Dense(16, activation="relu"),
            keras.layers.Dropout(0.5),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )


def with_several(inputs: Any, outputs: Any) -> Any:
    vector = keras.Input((4,), name="vector")
    word = keras.Input((), dtype="int32", name="word")
    embedded = keras.layers.Embedding(10, 4, name="embedded")(word)
    together = keras.layers.Add(name="together")([vector, embedded])
    return keras.Model(inputs(vector, word), outputs(together, embedded))


@pytest.fixture(scope="module")
def original() -> Any:
    return sequential()


@pytest.fixture(scope="module")
def model(original: Any, tmp_path_factory: pytest.TempPathFactory) -> TensorModel:
    folder = tmp_path_factory.mktemp("keras")
    original.save(folder / "model.keras")
    return loader.load(folder, LoadOptions())


def predicted(model: TensorModel, batch: Batch) -> Any:
    return model.postprocess(model.predict(model.preprocess(batch, {}), {}), {})


@given(rows=_ROWS)
@settings(deadline=None, max_examples=30)
def test_predictions_equal_those_of_the_model_to_the_bit(
    model: TensorModel, original: Any, rows: np.ndarray[Any, Any]
) -> None:
    wanted = original(rows, training=False).numpy()

    assert predicted(model, rows.astype(np.float64)).tobytes() == wanted.tobytes()
    assert predicted(model, [{"features": row.tolist()} for row in rows]).tobytes() == wanted.tobytes()


@pytest.mark.parametrize("rows", [1, 32])
def test_predictions_equal_those_of_its_predict_method(model: TensorModel, original: Any, rows: int) -> None:
    instances = np.random.default_rng(3).normal(size=(rows, 8)).astype(np.float32)

    assert predicted(model, instances).tobytes() == original.predict(instances, verbose=0).tobytes()


def test_it_tells_inputs_outputs_and_versions(model: TensorModel) -> None:
    assert model.info.inputs == (TensorInfo("features", "FP32", (-1, 8)),)
    assert [(one.datatype, one.shape) for one in model.info.outputs] == [("FP32", (-1, 3))]
    assert model.info.row_wise
    assert model.info.libraries[0].name == "keras"
    assert model.info.libraries[0].trained == keras.__version__
    assert predicted(model, model.info.warm_up).shape == (1, 3)


@pytest.mark.parametrize(
    "inputs",
    [lambda vector, word: [vector, word], lambda vector, word: {"word": word, "vector": vector}],
    ids=["list", "object"],
)
@pytest.mark.parametrize(
    "outputs",
    [lambda together, embedded: [together, embedded], lambda t, e: {"together": t, "embedded": e}],
    ids=["list", "object"],
)
def test_several_inputs_and_outputs_keep_their_names(inputs: Any, outputs: Any, tmp_path: Path) -> None:
    original = with_several(inputs, outputs)
    original.save(tmp_path / "model.keras")
    random = np.random.default_rng(11)
    vectors, words = random.normal(size=(3, 4)).astype(np.float32), np.array([0, 7, 9], np.int32)
    wanted = original(inputs(vectors, words), training=False)
    wanted = wanted if isinstance(wanted, dict) else dict(zip(("together", "embedded"), wanted, strict=True))

    rows = [{"vector": v.tolist(), "word": int(w)} for v, w in zip(vectors, words, strict=True)]
    given = predicted(loader.load(tmp_path, LoadOptions()), rows)

    assert set(given) == {"together", "embedded"}
    for name, tensor in wanted.items():
        assert given[name].tobytes() == tensor.numpy().tobytes()


def test_a_model_of_an_earlier_version_is_served(tmp_path: Path) -> None:
    original = sequential()
    original.save(tmp_path / "model.h5")
    rows = np.random.default_rng(3).normal(size=(2, 8)).astype(np.float32)

    given = predicted(loader.load(tmp_path, LoadOptions(model_file="model.h5")), rows)

    assert given.tobytes() == original(rows, training=False).numpy().tobytes()


def test_a_model_with_code_of_its_own_is_refused_with_a_way_out(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: x + 1)])
    model.save(tmp_path / "model.keras")

    with pytest.raises(ModelCannotBeLoaded, match=r"`model.keras` cannot be loaded by Keras") as raised:
        loader.load(tmp_path, LoadOptions())

    assert "model.export" in raised.value.hint


def test_a_row_of_another_shape_is_refused_by_row_and_input(model: TensorModel) -> None:
    with pytest.raises(InvalidArgument, match=r"instances\[1\]: the input `features` has shape \[7\]"):
        predicted(model, [[0] * 8, [0] * 7])


_ON_TORCH = """
import sys, keras, numpy as np, torch
from pathlib import Path
from modelport.server.loaders import keras as loader
from modelport.server.loaders.base import LoadOptions
assert keras.backend.backend() == "torch"
folder = Path(sys.argv[1])
original = keras.saving.load_model(folder / "model.keras", compile=False)
model = loader.load(folder, LoadOptions())
for rows in (1, 2, 9):
    x = np.random.default_rng(rows).normal(size=(rows, 8)).astype("float32")
    with torch.inference_mode():
        wanted = original(x, training=False).cpu().numpy()
    given = model.postprocess(model.predict(model.preprocess(x, {}), {}), {})
    assert given.tobytes() == wanted.tobytes()
assert "tensorflow" not in sys.modules
"""


def test_the_backend_that_is_named_predicts(original: Any, tmp_path: Path) -> None:
    original.save(tmp_path / "model.keras")
    environment = {**os.environ, "KERAS_BACKEND": "torch"}

    done = subprocess.run(
        [sys.executable, "-c", _ON_TORCH, str(tmp_path)], env=environment, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
