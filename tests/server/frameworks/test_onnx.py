"""ONNX models: outputs to the bit, several inputs and outputs, maps by class, fixed sizes, texts, refusals."""

from pathlib import Path
from typing import Any

import hypothesis.extra.numpy as arrays
import hypothesis.strategies as st
import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from modelport.core.errors import InvalidArgument, ModelCannotBeLoaded
from modelport.core.frameworks import Framework
from modelport.server.loaders.base import LoadOptions, load
from modelport.server.model import TensorInfo
from tests.server.predicting import predictions

ROWS = arrays.arrays(np.float32, st.tuples(st.integers(1, 20), st.just(4)), elements=st.floats(-1e3, 1e3, width=32))
RANDOM = np.random.default_rng(0)
X = RANDOM.random((200, 4)).astype(np.float32)
CLASSES = np.array(["low", "middle", "high"])[(X[:, 0] * 3).astype(int)]


def save(model: Any, folder: Path) -> onnxruntime.InferenceSession:
    onnx.save(model, folder / "model.onnx")
    return onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])


def graph(inputs: list[Any], outputs: list[Any], *nodes: Any) -> Any:
    made = helper.make_graph(list(nodes), "graph", inputs, outputs)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def tensor(name: str, shape: list[Any], kind: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def test_predictions_are_those_of_the_session_to_the_bit(tmp_path: Path) -> None:
    session = save(to_onnx(LinearRegression().fit(X, X[:, 0]), X[:1]), tmp_path)
    model = load(tmp_path, "", LoadOptions())
    assert model.info.framework == Framework.ONNX
    assert model.info.row_wise
    assert model.info.inputs == (TensorInfo("X", "FP32", (-1, 4)),)

    @given(ROWS)
    @settings(max_examples=30, deadline=None)
    def same(rows: Any) -> None:
        expected = session.run(None, {"X": rows})[0]
        for sent in (rows, rows.astype(np.float64), rows.tolist()):  # JSON knows no float32
            found = predictions(model, sent)
            assert found.dtype == expected.dtype
            assert found.tobytes() == expected.tobytes()

    same()


def test_several_outputs_are_one_object_for_each_row(tmp_path: Path) -> None:
    session = save(to_onnx(LogisticRegression().fit(X, CLASSES), X[:1]), tmp_path)
    labels, maps = session.run(None, {"X": X[:5]})
    model = load(tmp_path, "", LoadOptions())
    found = predictions(model, X[:5])
    assert list(found["output_label"]) == list(labels)
    assert list(found["output_probability"]) == maps
    assert list(predictions(model, X[:5], {"signature_name": "output_label"})) == list(labels)
    alone = load(tmp_path, "", LoadOptions(signature="output_label"))
    assert list(predictions(alone, X[:5])) == list(labels)
    with pytest.raises(ModelCannotBeLoaded, match="has no output `label`; it has `output_label`"):
        load(tmp_path, "", LoadOptions(signature="label"))


def test_classes_that_are_numbers_are_keys_as_texts(tmp_path: Path) -> None:
    session = save(to_onnx(LogisticRegression().fit(X, X[:, 0] > 0.5), X[:1]), tmp_path)
    maps = session.run(None, {"X": X[:2]})[1]
    found = predictions(load(tmp_path, "", LoadOptions()), X[:2])["output_probability"]
    assert list(found) == [{"0": one[0], "1": one[1]} for one in maps]


def test_columns_that_are_inputs_each_come_by_name_or_in_order(tmp_path: Path) -> None:
    table = np.array([[float(a), kind] for a, kind in zip(X[:, 0], CLASSES, strict=True)], dtype=object)
    steps = ColumnTransformer([("number", StandardScaler(), [0]), ("kind", OneHotEncoder(), [1])])
    pipeline = make_pipeline(steps, LinearRegression()).fit(table, X[:, 1])
    types = [("a", FloatTensorType([None, 1])), ("kind", StringTensorType([None, 1]))]
    session = save(to_onnx(pipeline, initial_types=types), tmp_path)
    feed = {"a": X[:3, [0]], "kind": CLASSES[:3].reshape(-1, 1).astype(object)}
    expected = session.run(None, feed)[0].tolist()
    model = load(tmp_path, "", LoadOptions())
    by_name = [{"kind": str(kind), "a": float(a)} for a, kind in zip(X[:3, 0], CLASSES[:3], strict=True)]
    assert predictions(model, by_name).tolist() == expected
    assert predictions(model, [[row["a"], row["kind"]] for row in by_name]).tolist() == expected
    assert predictions(model, [{name: [value] for name, value in row.items()} for row in by_name]).tolist() == expected
    assert predictions(model, {"a": X[:3, 0], "kind": CLASSES[:3].tolist()}).tolist() == expected
    with pytest.raises(InvalidArgument, match=r"instances\[1\] lacks the input `kind`"):
        predictions(model, [by_name[0], {"a": 1.0}])


def test_one_row_at_a_time_is_done_one_by_one(tmp_path: Path) -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    save(graph([tensor("x", [1, 3])], [tensor("y", [1, 3])], node), tmp_path)
    model = load(tmp_path, "", LoadOptions())
    assert not model.info.row_wise
    rows = np.array([[1.0, -2.0, 3.0], [-1.0, 2.0, -3.0]])
    assert predictions(model, rows).tolist() == np.maximum(rows, 0).tolist()


def test_a_model_that_joins_rows_is_not_row_wise(tmp_path: Path) -> None:
    node = helper.make_node("ReduceMean", ["x"], ["y"], axes=[0], keepdims=1)
    save(graph([tensor("x", ["n", 3])], [tensor("y", [1, 3])], node), tmp_path)
    assert not load(tmp_path, "", LoadOptions()).info.row_wise


def test_whole_numbers_and_texts_keep_their_types(tmp_path: Path) -> None:
    node = helper.make_node("Identity", ["x"], ["y"])
    save(graph([tensor("x", ["n"], TensorProto.INT64)], [tensor("y", ["n"], TensorProto.INT64)], node), tmp_path)
    model = load(tmp_path, "", LoadOptions())
    assert predictions(model, np.array([2**53 + 1])).tolist() == [2**53 + 1]
    with pytest.raises(InvalidArgument, match="whole numbers"):
        predictions(model, np.array([1.5]))
    save(graph([tensor("x", ["n"], TensorProto.STRING)], [tensor("y", ["n"], TensorProto.STRING)], node), tmp_path)
    model = load(tmp_path, "", LoadOptions())
    assert list(predictions(model, ["größer", b"bytes"])) == ["größer", "bytes"]


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    save(to_onnx(LinearRegression().fit(X, X[:, 0]), X[:1]), tmp_path)
    model = load(tmp_path, "", LoadOptions())
    with pytest.raises(InvalidArgument, match=r"instances\[1\]: the input `X` has shape \[3\]"):
        predictions(model, [[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0]])
    with pytest.raises(InvalidArgument, match="`X`"):
        predictions(model, [["a", "b", "c", "d"]])


def test_what_the_runtime_refuses_is_the_rows_fault(tmp_path: Path) -> None:
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    model = graph([tensor("x", ["n", "k"])], [tensor("y", ["n", 2])], node)
    model.graph.initializer.append(helper.make_tensor("w", TensorProto.FLOAT, [3, 2], [1.0] * 6))
    save(model, tmp_path)
    served = load(tmp_path, "", LoadOptions())
    assert predictions(served, [[1.0, 2.0, 3.0]]).tolist() == [[6.0, 6.0]]
    with pytest.raises(ValueError, match="MatMul"):
        predictions(served, [[1.0, 2.0]])


def test_a_file_that_cannot_be_read_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no protobuf")
    with pytest.raises(ModelCannotBeLoaded, match=r"ONNX Runtime .* cannot read `model.onnx`"):
        load(tmp_path, "", LoadOptions())
    newer = to_onnx(LinearRegression().fit(X, X[:, 0]), X[:1])
    newer.ir_version = 99
    (tmp_path / "model.onnx").write_bytes(newer.SerializeToString())
    with pytest.raises(ModelCannotBeLoaded, match="IR version: 99"):
        load(tmp_path, "", LoadOptions())
