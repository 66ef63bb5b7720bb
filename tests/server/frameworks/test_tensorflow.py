"""SavedModels of TensorFlow: predictions to the bit, signatures, strings, fixed sizes, and what is refused."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import hypothesis.extra.numpy as arrays
import hypothesis.strategies as st
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings

from modelport.core.errors import InvalidArgument, ModelCannotBeLoaded
from modelport.server.loaders import tensorflow as loader
from modelport.server.loaders.base import LoadOptions
from modelport.server.loaders.tensor_model import TensorModel
from modelport.server.model import Batch, TensorInfo

_ROWS = arrays.arrays(np.float32, st.tuples(st.integers(1, 9), st.just(4)), elements=st.floats(-1e3, 1e3, width=32))


class Exported(tf.Module):
    """Signatures of every kind."""

    def __init__(self) -> None:
        random = np.random.default_rng(7)
        self.weights = tf.Variable(random.normal(size=(4, 3)).astype("float32"))

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="x")])
    def classify(self, x: Any) -> Any:
        return {"probabilities": tf.nn.softmax(x @ self.weights)}

    @tf.function(
        input_signature=[tf.TensorSpec([None, 4], tf.float32, name="b"), tf.TensorSpec([None], tf.int32, name="a")]
    )
    def several(self, b: Any, a: Any) -> Any:
        return {"z": tf.reduce_sum(b @ self.weights, 1), "a": a * 2}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def binary(self, image_bytes: Any) -> Any:
        return {"length": tf.strings.length(image_bytes), "text": image_bytes, "copy_bytes": image_bytes}

    @tf.function(input_signature=[tf.TensorSpec([1, 4], tf.float32, name="x")])
    def one(self, x: Any) -> Any:
        return {"y": x @ self.weights}

    @tf.function(input_signature=[tf.TensorSpec([3, 4], tf.float32, name="x")])
    def three(self, x: Any) -> Any:
        return {"y": x @ self.weights}

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.float32, name="x"), tf.TensorSpec([], tf.float32, name="factor")]
    )
    def scaled(self, x: Any, factor: Any) -> Any:
        return {"y": x * factor}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64, name="id")])
    def looked_up(self, id: Any) -> Any:
        return {"row": tf.gather(self.weights, id)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved")
    model = Exported()
    names = ("several", "binary", "one", "three", "scaled", "looked_up")
    signatures = {"serving_default": model.classify, **{name: getattr(model, name) for name in names}}
    tf.saved_model.save(model, str(path), signatures=signatures)
    return path


@pytest.fixture(scope="module")
def model(folder: Path) -> TensorModel:
    return loader.load(folder, LoadOptions())


@pytest.fixture(scope="module")
def signatures(folder: Path) -> Iterator[Any]:
    loaded = tf.saved_model.load(str(folder))
    yield loaded.signatures
    del loaded  # its variables live as long as it does


def predicted(model: Any, batch: Batch, **parameters: Any) -> Any:
    return model.postprocess(model.predict(model.preprocess(batch, parameters), parameters), parameters)


@given(rows=_ROWS)
@settings(deadline=None)
def test_predictions_equal_those_of_the_signature_to_the_bit(
    model: TensorModel, signatures: Any, rows: np.ndarray[Any, Any]
) -> None:
    wanted = signatures["serving_default"](x=tf.constant(rows))["probabilities"].numpy()

    for batch in (rows.astype(np.float64), rows.tolist(), [{"x": row.tolist()} for row in rows], {"x": rows}):
        given = predicted(model, batch)
        assert given.dtype == np.float32
        assert given.tobytes() == wanted.tobytes()


@given(rows=_ROWS, numbers=st.data())
@settings(deadline=None)
def test_several_inputs_and_outputs_keep_their_names(
    model: TensorModel, signatures: Any, rows: np.ndarray[Any, Any], numbers: st.DataObject
) -> None:
    a = numbers.draw(arrays.arrays(np.int32, len(rows), elements=st.integers(-1000, 1000)))
    wanted = signatures["several"](a=tf.constant(a), b=tf.constant(rows))
    objects = [{"b": row.tolist(), "a": int(number)} for row, number in zip(rows, a, strict=True)]

    given = predicted(model, objects, signature_name="several")

    assert set(given) == {"a", "z"}
    assert given["a"].tolist() == (a * 2).tolist()
    assert given["z"].tobytes() == wanted["z"].numpy().tobytes()


@given(values=st.lists(st.binary(max_size=20) | st.text(max_size=9), min_size=1, max_size=5))
@settings(deadline=None)
def test_bytes_and_texts_reach_the_model_whole(model: TensorModel, values: list[Any]) -> None:
    raw = [value.encode() if isinstance(value, str) else value for value in values]

    given = predicted(model, values, signature_name="binary")

    assert given["length"].tolist() == [len(value) for value in raw]
    assert given["copy_bytes"] == raw
    assert [text.encode() if isinstance(text, str) else text for text in given["text"]] == raw


def test_what_is_text_comes_back_as_text(model: TensorModel) -> None:
    given = predicted(model, [{"image_bytes": "Grüße"}, {"image_bytes": b"\xff"}], signature_name="binary")

    assert given["text"] == ["Grüße", b"\xff"]


def test_it_tells_inputs_outputs_and_a_row_for_warming_up(model: TensorModel) -> None:
    assert model.info.inputs == (TensorInfo("x", "FP32", (-1, 4)),)
    assert model.info.outputs == (TensorInfo("probabilities", "FP32", (-1, 3)),)
    assert [(library.name, library.trained) for library in model.info.libraries] == [("tensorflow", tf.__version__)]
    assert predicted(model, model.info.warm_up).shape == (1, 3)


def test_another_signature_is_served_when_it_is_named(folder: Path) -> None:
    model = loader.load(folder, LoadOptions(signature="several"))

    assert {one.name: one.datatype for one in model.info.inputs} == {"a": "INT32", "b": "FP32"}
    assert len(predicted(model, model.info.warm_up)["z"]) == 1


def test_a_model_with_any_signature_of_fixed_size_is_not_batched(model: TensorModel) -> None:
    assert not model.info.row_wise


def test_a_model_of_any_number_of_rows_is_batched(tmp_path: Path) -> None:
    exported = Exported()
    tf.saved_model.save(exported, str(tmp_path), signatures=exported.classify)

    assert loader.load(tmp_path, LoadOptions()).info.row_wise


def test_a_signature_of_one_row_is_called_once_for_each(model: TensorModel, signatures: Any) -> None:
    rows = np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32)
    wanted = [signatures["one"](x=tf.constant(row[None]))["y"].numpy()[0] for row in rows]

    assert predicted(model, rows, signature_name="one").tobytes() == np.array(wanted).tobytes()


def test_a_signature_of_three_rows_refuses_four(model: TensorModel) -> None:
    assert len(predicted(model, np.zeros((6, 4)), signature_name="three")) == 6
    with pytest.raises(InvalidArgument, match="takes 3 instances at a time; 4 were sent"):
        predicted(model, np.zeros((4, 4)), signature_name="three")


def test_an_input_without_rows_is_one_value_for_all(model: TensorModel) -> None:
    same = [{"x": 1.5, "factor": 2}, {"x": 2.5, "factor": 2}]

    assert predicted(model, same, signature_name="scaled").tolist() == [3.0, 5.0]
    with pytest.raises(InvalidArgument, match=r"instances\[1\]: the input `factor` differs"):
        predicted(model, [{"x": 1.5, "factor": 2}, {"x": 2.5, "factor": 3}], signature_name="scaled")


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ([[1, 2, 3, 4], [1, 2, 3]], r"instances\[1\]: the input `x` has shape \[3\]; FP32 of shape \[4\] is wanted"),
        ([[1, 2, 3, 4], [1, 2, "a", 4]], r'instances\[1\]: the input `x` holds the text "a"; FP32 of shape \[4\]'),
        ([[1, 2, 3, 4], [1, 2, None, 4]], r"instances\[1\]: the input `x` holds null"),
        ([[1, 2, 3, 4], [1, [2], 3, 4]], r"instances\[1\]: the input `x` holds lists of unequal length"),
        ([{"x": [1, 2, 3, 4]}, {"y": [1, 2, 3, 4]}], r"instances\[1\] lacks the input `x`; it has `y`"),
        ([{"x": [1, 2, 3, 4]}, {"x": [1, 2, 3, 4], "y": 1}], r"instances\[1\] has `y`, which is no input"),
        ([{"x": [1, 2, 3, 4]}, [1, 2, 3, 4]], r"instances\[1\] is a list, and others are objects"),
        ([[1, 2, 3, 4], [1e300, 2, 3, 4]], r"instances\[1\]: the input `x` holds a number beyond 3.4e\+38"),
        (np.zeros((2, 5)), r"instances\[0\]: the input `x` has shape \[5\]"),
        ([True, False], r"instances\[0\]: the input `x` has shape \[\]"),
        ([[True] * 4], r"instances\[0\]: the input `x` holds `true`"),
    ],
)
def test_rows_that_do_not_fit_are_refused_by_row_and_input(model: TensorModel, batch: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message) as raised:
        predicted(model, batch)

    assert raised.value.metadata["row"] in str(raised.value)


@pytest.mark.parametrize(
    ("value", "message"),
    [(1.5, "holds 1.5; whole numbers"), (2**40, "holds 1099511627776, which INT32"), ("1", 'holds the text "1"')],
)
def test_whole_numbers_are_neither_cut_nor_wrapped(model: TensorModel, value: Any, message: str) -> None:
    row = {"b": [1, 2, 3, 4], "a": 1}
    with pytest.raises(InvalidArgument, match=rf"instances\[1\]: the input `a` {message}"):
        predicted(model, [row, {**row, "a": value}], signature_name="several")


def test_bare_values_for_several_inputs_are_refused(model: TensorModel) -> None:
    with pytest.raises(InvalidArgument, match=r"instances\[0\] is a list; an object with `a`, `b` is wanted"):
        predicted(model, [[1, 2, 3, 4]], signature_name="several")


def test_a_signature_that_is_not_there_is_refused_with_those_that_are(model: TensorModel) -> None:
    with pytest.raises(InvalidArgument, match=r"no signature `else`; it has .*`serving_default`"):
        predicted(model, [[1, 2, 3, 4]], signature_name="else")


def test_what_the_graph_refuses_is_the_rows_fault(model: TensorModel) -> None:
    with pytest.raises(InvalidArgument, match=r"refuses the instances: indices\[0\] = 99 is not in \[0, 4\)$"):
        predicted(model, [99], signature_name="looked_up")


def test_a_folder_of_versions_is_served_by_the_highest(folder: Path, tmp_path: Path) -> None:
    exported = Exported()
    tf.saved_model.save(exported, str(tmp_path / "9"), signatures=exported.several)
    (tmp_path / "10").symlink_to(folder)

    assert [one.name for one in loader.load(tmp_path, LoadOptions()).info.inputs] == ["x"]


def test_a_folder_without_a_saved_model_is_refused_with_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "weights.h5").touch()
    with pytest.raises(ModelCannotBeLoaded, match=r"has no saved_model.pb; it has weights.h5"):
        loader.load(tmp_path, LoadOptions())


def test_a_model_without_the_signature_is_refused_with_those_it_has(folder: Path) -> None:
    with pytest.raises(ModelCannotBeLoaded, match=r"no signature `predict`; it has .*`binary`"):
        loader.load(folder, LoadOptions(signature="predict"))


def test_a_model_saved_by_tensorflow_1_is_served(tmp_path: Path) -> None:
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 2], name="placeholder_of_another_name")
        y = tf.reduce_sum(x, 1)
        v1.saved_model.simple_save(session, str(tmp_path / "export"), {"x": x}, {"y": y})

    model = loader.load(tmp_path / "export", LoadOptions())

    assert predicted(model, [[1, 2], [3, 4]]).tolist() == [3.0, 7.0]


def test_it_answers_over_http_as_a_process(tmp_path: Path) -> None:
    exported = Exported()
    tf.saved_model.save(exported, str(tmp_path / "model"), signatures=exported.classify)
    rows = [[0.5, 1.5, -2.0, 3.25], [1.0, 0.0, 0.0, 1.0]]
    wanted = exported.classify(tf.constant(rows, tf.float32))["probabilities"].numpy()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "modelport.server", str(tmp_path / "model"), "--port", str(port)]

    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=dict(os.environ))
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
                _wait_for_health(client, server, tmp_path / "log")
                answer = client.post("/predict", json={"instances": rows})
                refused = client.post("/predict", json={"instances": [[1, 2], [3, 4]]})
        finally:
            server.terminate()
            server.wait(40)

    assert answer.status_code == 200, answer.text
    assert np.array(answer.json()["predictions"], np.float32).tobytes() == wanted.tobytes()
    assert refused.status_code == 400
    assert json.loads(refused.text)["error"]["message"].startswith("instances[0]: the input `x` has shape [2]")


def _wait_for_health(client: httpx.Client, server: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if client.get("/health").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    pytest.fail(f"The server did not become healthy: {log.read_text()[-3000:]}", pytrace=False)
