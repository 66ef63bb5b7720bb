"""The subject of a check: what is to be tried, and under which limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Subject:
    """What is checked.

    Attributes:
        target: as the user wrote it.
        version: the version as in the API's JSON, `container.image` included.
        instances: the user's own, or None.
        dockerfile: whether the image was built from a folder's Dockerfile.
        model: what the model is called, for AIP_MODEL_NAME.
    """

    target: str
    version: dict[str, Any]
    instances: list[Any] | None = None
    dockerfile: bool = False
    model: str = "model"


@dataclass(frozen=True)
class CheckSettings:
    """Limits of a check.

    Attributes:
        startup_timeout_s: longest wait for the first 200 on the health route, where nothing conclusive is seen before.
        predict_timeout_s: longest wait for one prediction.
        probe_timeout_s: longest wait for one health check.
        listen_budget_s: a server that does not listen within this time is restarted in production.
        stop_grace_s: time between SIGTERM and SIGKILL.
    """

    startup_timeout_s: float = 120.0
    predict_timeout_s: float = 60.0
    probe_timeout_s: float = 10.0
    listen_budget_s: float = 40.0
    stop_grace_s: float = 10.0
