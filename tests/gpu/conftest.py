"""Tests that need a GPU and PyTorch, collected only where both are: `python -m pytest tests/gpu`.

No machine of the ordinary runs has one, so nothing that they prove may be left to them alone.
"""

from importlib.util import find_spec


def _gpu_is_here() -> bool:
    if not find_spec("torch"):
        return False
    import torch

    return torch.cuda.is_available()


collect_ignore_glob = [] if _gpu_is_here() else ["test_*.py"]
