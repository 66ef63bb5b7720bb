"""What runs in the processes of the listener's measurements: two models, and preprocessing in front of one of them."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

PREPROCESS_S, MODEL_S = 0.020, 0.010


class First:
    """As fast a model as there can be: the first number of each row."""

    async def predict(self, instances: np.ndarray) -> np.ndarray:
        """Return the first numbers."""
        return instances.reshape(len(instances), -1)[:, 0]


class Waits:
    """A light model on a device of its own: it takes as long for many rows as for one, and no CPU meanwhile."""

    def predict(self, instances: np.ndarray) -> np.ndarray:
        """Return the first numbers, later."""
        time.sleep(MODEL_S)
        return instances.reshape(len(instances), -1)[:, 0]


def each_row(rows: Any) -> Any:
    """Work on every row by itself, as parsing texts or decoding images does."""
    _compute(PREPROCESS_S * len(rows))
    return rows


def all_rows(rows: Any) -> Any:
    """Work on all rows together, in the time of one, as code around a table or an array library does."""
    _compute(PREPROCESS_S)
    return rows


def _compute(seconds: float) -> None:
    end = time.thread_time() + seconds  # of this thread's CPU: on a busy machine it takes longer, as real work would
    while time.thread_time() < end:
        pass
