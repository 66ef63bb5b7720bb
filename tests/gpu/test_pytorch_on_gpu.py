"""PyTorch programs on a GPU: the numbers of the module itself there, and what a GPU that fails does to callers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from modelport.core.errors import Internal, ModelUnusable
from modelport.server.loaders import pytorch as loader
from modelport.server.loaders.base import LoadOptions
from modelport.server.loaders.device import PROCESSORS, Device
from modelport.server.loaders.tensor_model import TensorModel

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:`torch.jit:DeprecationWarning")


class Network(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(64, 256), torch.nn.ReLU(), torch.nn.Linear(256, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


class Shifted(torch.nn.Module):
    """Names the device that it is traced on."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.arange(4, device=x.device)


class Huge(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.zeros((x.shape[0], 1 << 38), device=x.device).sum(1) + x[:, 0]


def saved(kind: str, module: torch.nn.Module, example: torch.Tensor, folder: Path) -> None:
    if kind == "script":
        torch.jit.script(module).save(folder / "model.pt")
    elif kind == "trace":
        torch.jit.trace(module, example).save(folder / "model.pt")
    else:
        program = torch.export.export(module, (example,), dynamic_shapes={"x": {0: torch.export.Dim("rows")}})
        torch.export.save(program, folder / "model.pt2")


def predicted(model: TensorModel, rows: Any) -> Any:
    return model.postprocess(model.predict(model.preprocess(rows, {}), {}), {})


@pytest.mark.parametrize("kind", ["script", "trace", "export"])
@pytest.mark.parametrize("saved_on", ["cpu", "cuda"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_predictions_are_those_of_the_module_on_the_gpu(
    kind: str, saved_on: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    module = Network().to(saved_on, dtype).eval()
    saved(kind, module, torch.rand(2, 64).to(saved_on, dtype), tmp_path)
    rows = np.random.default_rng(0).normal(size=(5, 64))
    with torch.inference_mode():
        given = module.to("cuda")(torch.from_numpy(rows.astype(np.float32)).to("cuda", dtype))
        if dtype is torch.float64:
            given = module(torch.from_numpy(rows).to("cuda"))
        wanted = (given.float() if dtype is torch.bfloat16 else given).cpu().numpy()

    model = loader.load(tmp_path, LoadOptions(device=Device.GPU))

    assert model.info.device == torch.cuda.get_device_name()
    # Not to the bit: TorchScript may fuse operations that the module does one by one.
    given, tolerance = predicted(model, rows), 4 * torch.finfo(dtype).eps
    assert given.dtype == wanted.dtype
    np.testing.assert_allclose(given, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("kind", ["script", "export"])
def test_a_model_told_to_stay_off_the_gpu_does(kind: str, tmp_path: Path) -> None:
    module = Network().eval()
    saved(kind, module, torch.rand(2, 64), tmp_path)
    rows = np.random.default_rng(0).normal(size=(5, 64)).astype(np.float32)
    with torch.inference_mode():
        wanted = module(torch.from_numpy(rows)).numpy()

    model = loader.load(tmp_path, LoadOptions(device=Device.CPU))

    assert model.info.device == PROCESSORS
    np.testing.assert_allclose(predicted(model, rows), wanted, rtol=1e-6, atol=1e-6)


def test_a_program_that_names_another_device_says_so(tmp_path: Path) -> None:
    saved("trace", Shifted(), torch.rand(2, 4), tmp_path)
    model = loader.load(tmp_path, LoadOptions())
    with pytest.raises(Internal, match="names the device that it was made on") as raised:
        predicted(model, np.zeros((2, 4), np.float32))
    assert "--device cpu" in raised.value.hint


def test_an_exported_program_that_names_another_device_is_moved(tmp_path: Path) -> None:
    saved("export", Shifted(), torch.rand(2, 4), tmp_path)
    model = loader.load(tmp_path, LoadOptions())
    assert predicted(model, np.zeros((2, 4), np.float32)).tolist() == [[0, 1, 2, 3]] * 2


def test_memory_that_does_not_suffice_fails_one_call_only(tmp_path: Path) -> None:
    saved("script", Huge(), torch.rand(1, 4), tmp_path)
    model = loader.load(tmp_path, LoadOptions())
    with pytest.raises(MemoryError, match="out of memory"):
        predicted(model, np.zeros((1, 4), np.float32))
    assert torch.ones(2, device="cuda").sum().item() == 2


def test_errors_of_the_rows_are_theirs(tmp_path: Path) -> None:
    saved("script", Network(), torch.rand(1, 64), tmp_path)
    model = loader.load(tmp_path, LoadOptions())
    with pytest.raises(Exception, match="The model refuses the instances: mat1 and mat2 shapes"):
        predicted(model, np.zeros((1, 5), np.float32))


def test_the_error_that_takes_the_gpu_from_a_process_is_known() -> None:
    # In this process it would end all tests: the whole server shows what it does.
    from modelport.server.loaders.torch_calls import _refused

    text = "CUDA error: device-side assert triggered\nCUDA kernel errors might be asynchronously reported at some"
    error = _refused(torch, RuntimeError(text))
    assert isinstance(error, ModelUnusable)
    assert str(error).endswith("device-side assert triggered")
