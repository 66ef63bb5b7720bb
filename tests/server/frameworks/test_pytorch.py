"""PyTorch programs: predictions to the bit, types, several inputs and outputs, fixed sizes, and what is refused."""

import copy
from pathlib import Path
from typing import Any

import hypothesis.extra.numpy as arrays
import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from modelport.core.errors import InvalidArgument, ModelCannotBeLoaded
from modelport.server.loaders import pytorch as loader
from modelport.server.loaders.base import LoadOptions
from modelport.server.loaders.tensor_model import TensorModel
from modelport.server.model import Batch, TensorInfo

_ROWS = arrays.arrays(np.float32, st.tuples(st.integers(1, 9), st.just(4)), elements=st.floats(-1e3, 1e3, width=32))
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*", "ignore:`torch.jit:DeprecationWarning")


class Classifier(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(4, 3)
        self.dropout = torch.nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.dropout(self.linear(x)), 1)


class Several(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(4, 3)
        self.embedding = torch.nn.Embedding(10, 3)

    def forward(self, x: torch.Tensor, word: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        embedded = self.embedding(word)
        return self.linear(x) + embedded, {"embedded": embedded}


@pytest.fixture(scope="module", autouse=True)
def seed() -> None:
    torch.manual_seed(3)


@pytest.fixture(scope="module")
def original() -> Classifier:
    return Classifier().eval()


def exported(module: torch.nn.Module, folder: Path, *arguments: Any, **options: Any) -> TensorModel:
    torch.export.save(torch.export.export(module, arguments, **options), folder / "model.pt2")
    return loader.load(folder, LoadOptions())


def scripted(module: torch.nn.Module, folder: Path) -> TensorModel:
    torch.jit.script(module).save(folder / "model.pt")
    return loader.load(folder, LoadOptions())


@pytest.fixture(scope="module")
def models(original: Classifier, tmp_path_factory: pytest.TempPathFactory) -> dict[str, TensorModel]:
    folders = {name: tmp_path_factory.mktemp(name) for name in ("script", "trace", "export")}
    torch.jit.trace(original, torch.rand(2, 4)).save(folders["trace"] / "model.pt")
    rows = {"x": {0: torch.export.Dim("rows")}}
    return {
        "script": scripted(copy.deepcopy(original).train(), folders["script"]),
        "trace": loader.load(folders["trace"], LoadOptions()),
        "export": exported(original, folders["export"], torch.rand(2, 4), dynamic_shapes=rows),
    }


def predicted(model: TensorModel, batch: Batch) -> Any:
    return model.postprocess(model.predict(model.preprocess(batch, {}), {}), {})


@pytest.mark.parametrize("kind", ["script", "trace", "export"])
@given(rows=_ROWS)
@settings(deadline=None, max_examples=30)
def test_predictions_equal_those_of_the_module_to_the_bit(
    models: dict[str, TensorModel], original: Classifier, kind: str, rows: np.ndarray[Any, Any]
) -> None:
    with torch.inference_mode():
        wanted = original(torch.from_numpy(rows)).numpy()

    for batch in (rows.astype(np.float64), [{"x": row.tolist()} for row in rows]):
        assert predicted(models[kind], batch).tobytes() == wanted.tobytes()


@pytest.mark.parametrize("kind", ["script", "trace", "export"])
def test_numbers_without_a_point_are_as_good(models: dict[str, TensorModel], original: Classifier, kind: str) -> None:
    with torch.inference_mode():
        wanted = original(torch.tensor([[5.0, 3.0, 1.0, 0.0]])).numpy()

    assert predicted(models[kind], np.array([[5, 3, 1, 0]])).tobytes() == wanted.tobytes()


def test_a_program_tells_inputs_outputs_and_a_row_for_warming_up(models: dict[str, TensorModel]) -> None:
    info = models["export"].info

    assert info.inputs == (TensorInfo("x", "FP32", (-1, 4)),)
    assert [(one.datatype, one.shape) for one in info.outputs] == [("FP32", (-1, 3))]
    assert info.row_wise
    assert info.libraries[0].serving == torch.__version__
    assert predicted(models["export"], info.warm_up).shape == (1, 3)


def test_torchscript_tells_names_only(models: dict[str, TensorModel]) -> None:
    assert [one.name for one in models["script"].info.inputs] == ["x"]
    assert len(models["script"].info.warm_up) == 0


@pytest.mark.parametrize("kind", ["script", "export", "export with keywords"])
def test_several_inputs_and_outputs_keep_their_names(kind: str, tmp_path: Path) -> None:
    module = Several().eval()
    x, word = torch.rand(3, 4), torch.tensor([0, 7, 9])
    rows = torch.export.Dim("rows")
    shapes = {"x": {0: rows}, "word": {0: rows}}
    if kind == "script":
        model = scripted(module, tmp_path)
    elif kind == "export":
        model = exported(module, tmp_path, x, word, dynamic_shapes=shapes)
    else:
        model = exported(module, tmp_path, x, kwargs={"word": word}, dynamic_shapes=shapes)
    with torch.inference_mode():
        total, parts = module(x, word)

    given = predicted(model, [{"x": v, "word": w} for v, w in zip(x.tolist(), word.tolist(), strict=True)])

    assert set(given) == {"output_0", "embedded"}
    assert given["output_0"].tobytes() == total.numpy().tobytes()
    assert given["embedded"].tobytes() == parts["embedded"].numpy().tobytes()


def test_double_precision_is_kept(tmp_path: Path) -> None:
    module = Classifier().double().eval()
    rows = np.random.default_rng(2).normal(size=(2, 4))
    with torch.inference_mode():
        wanted = module(torch.from_numpy(rows)).numpy()

    given = predicted(scripted(module, tmp_path), rows)

    assert given.dtype == np.float64
    assert given.tobytes() == wanted.tobytes()


def test_a_program_of_a_fixed_size_is_not_batched(original: Classifier, tmp_path: Path) -> None:
    model = exported(original, tmp_path, torch.rand(1, 4))
    rows = np.random.default_rng(2).normal(size=(3, 4)).astype(np.float32)
    with torch.inference_mode():
        wanted = [original(torch.from_numpy(row[None])).numpy()[0] for row in rows]

    assert not model.info.row_wise
    assert predicted(model, rows).tobytes() == np.array(wanted).tobytes()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("export", r"instances\[0\]: the input `x` has shape \[5\]; FP32 of shape \[4\] is wanted"),
        ("script", r"The model refuses the instances: mat1 and mat2 shapes cannot be multiplied"),
    ],
)
def test_rows_of_another_shape_are_refused(models: dict[str, TensorModel], kind: str, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        predicted(models[kind], np.zeros((2, 5)))


def test_texts_are_refused_by_row_and_input(models: dict[str, TensorModel]) -> None:
    for kind in ("script", "export"):
        with pytest.raises(InvalidArgument, match=r'instances\[1\]: the input `x` holds the text "a"'):
            predicted(models[kind], [[1, 2, 3, 4], [1, 2, 3, "a"]])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda module: module, "a pickled module, whose code is not in the file"),
        (lambda module: module.state_dict(), r"weights \(a state_dict\) without the model"),
    ],
)
def test_what_is_no_program_is_refused_with_a_way_out(
    original: Classifier, tmp_path: Path, content: Any, message: str
) -> None:
    torch.save(content(original), tmp_path / "model.pth")

    with pytest.raises(ModelCannotBeLoaded, match=message) as raised:
        loader.load(tmp_path, LoadOptions())

    assert "torch.export" in raised.value.hint


def test_a_broken_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"no archive")
    with pytest.raises(ModelCannotBeLoaded, match=r"model.pt"):
        loader.load(tmp_path, LoadOptions())
