"""Where models compute: on the processors of this machine; `tests/gpu` has what needs a GPU."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from modelport.core.errors import Internal, InvalidArgument, ModelCannotBeLoaded, ModelUnusable
from modelport.server.loaders.base import LoadOptions, load
from modelport.server.loaders.device import PROCESSORS, Device
from modelport.server.loaders.torch_calls import _refused

pytestmark = [
    pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU: see tests/gpu"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def pytorch(folder: Path) -> None:
    torch.jit.script(torch.nn.Linear(4, 1)).save(folder / "model.pt")


def onnx(folder: Path) -> None:
    from skl2onnx import to_onnx
    from sklearn.linear_model import LinearRegression

    rows = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    proto = to_onnx(LinearRegression().fit(rows, rows[:, 0]), rows[:1])
    (folder / "model.onnx").write_bytes(proto.SerializeToString())


def tensorflow(folder: Path) -> None:
    import tensorflow as tf

    module = tf.Module()
    module.serve = tf.function(lambda x: 2 * x, input_signature=[tf.TensorSpec((None, 4), tf.float32, name="x")])
    tf.saved_model.save(module, folder, signatures={"serving_default": module.serve})


def keras(folder: Path) -> None:
    import keras as library

    library.Sequential([library.Input((4,)), library.layers.Dense(1)]).save(folder / "model.keras")


Save = Callable[[Path], None]


@pytest.mark.parametrize("save", [pytorch, onnx, tensorflow, keras])
def test_a_gpu_that_is_asked_for_and_not_there_is_missed(save: Save, tmp_path: Path) -> None:
    save(tmp_path)
    assert load(tmp_path, "", LoadOptions(device=Device.CPU)).info.device == PROCESSORS
    assert load(tmp_path, "", LoadOptions()).info.device == PROCESSORS
    with pytest.raises(ModelCannotBeLoaded, match=r"A GPU is asked for, and .* finds none that it can use"):
        load(tmp_path, "", LoadOptions(device=Device.GPU))


@pytest.mark.parametrize("kind", ["script", "export"])
def test_bfloat16_is_float32_to_callers_and_loses_nothing(kind: str, tmp_path: Path) -> None:
    module = torch.nn.Linear(4, 3).bfloat16().eval()
    if kind == "script":
        torch.jit.script(module).save(tmp_path / "model.pt")
    else:
        shapes = {"input": {0: torch.export.Dim("rows")}}
        example = torch.rand(2, 4).bfloat16()
        torch.export.save(torch.export.export(module, (example,), dynamic_shapes=shapes), tmp_path / "model.pt2")
    rows = np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32)
    with torch.inference_mode():
        wanted = module(torch.from_numpy(rows).bfloat16()).float().numpy()

    model = load(tmp_path, "", LoadOptions())
    given = model.postprocess(model.predict(model.preprocess(rows, {}), {}), {})

    assert {one.datatype for one in model.info.inputs} == {"FP32"}
    assert isinstance(given, np.ndarray)
    assert given.tobytes() == wanted.tobytes()


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        (
            "CUDA error: device-side assert triggered\nCUDA kernel errors might be asynchronously reported at some",
            ModelUnusable,
            "The GPU refuses all further work of this process: CUDA error: device-side assert triggered",
        ),
        (
            "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!",
            Internal,
            "The program names the device that it was made on: ",
        ),
        (
            "Traceback of TorchScript\nRuntimeError: mat1 and mat2 shapes cannot be multiplied",
            InvalidArgument,
            "The model refuses the instances: mat1 and mat2 shapes cannot be multiplied",
        ),
    ],
)
def test_an_error_is_the_rows_the_models_or_the_gpus(text: str, kind: type[Exception], message: str) -> None:
    error = _refused(torch, RuntimeError(text))
    assert type(error) is kind
    assert str(error).startswith(message)


class Huge(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.zeros((x.shape[0], 1 << 50)).sum(1) + x[:, 0]


def test_too_little_memory_is_not_the_rows_fault(tmp_path: Path) -> None:
    torch.jit.script(Huge()).save(tmp_path / "model.pt")
    model = load(tmp_path, "", LoadOptions())
    with pytest.raises(MemoryError, match="can't allocate memory"):
        model.predict(model.preprocess(np.zeros((1, 4), np.float32), {}), {})


def test_too_little_memory_on_a_gpu_is_told_as_such() -> None:
    text = "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 16.00 GiB"
    error = _refused(torch, torch.OutOfMemoryError(text))
    assert isinstance(error, MemoryError)
    assert str(error) == "CUDA out of memory. Tried to allocate 20.00 GiB"
