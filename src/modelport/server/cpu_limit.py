"""How many CPUs a container may use, and how many workers and threads the server makes of them.

Reads the CPU quota of the control group (both versions) and the process's affinity; what follows from them is pure.
A quota of one and a half CPUs counts as two: a worker too many is slowed down at times, a worker too few wastes half.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from modelport.core.frameworks import Framework
from modelport.server.control_groups import MEMBERSHIP, ROOT, group_folders, text, up_to_root

# Frameworks that predict with threads of their own and let Python run meanwhile. Decided by name: once a model is
# loaded it is too late to decide on processes.
_OWN_THREADS = frozenset(
    {Framework.TENSORFLOW, Framework.KERAS, Framework.ONNX, Framework.PYTORCH, Framework.XGBOOST, Framework.CATBOOST}
    | {Framework.LIGHTGBM}
)
# Loading them starts no thread, unless they are given several, so that a process may fork afterwards.
_LOADED_BEFORE_FORK = frozenset({Framework.SCIKIT_LEARN})

# What the numeric libraries below the frameworks ask for their number of threads, once, when they are imported.
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
)


@dataclass(frozen=True)
class Division:
    """How the CPUs are divided: worker processes, and threads that each has for the model."""

    workers: int
    threads: int


def own_threads(framework: Framework | None) -> bool:
    """Return whether one worker makes use of all CPUs; None is code of the user's, of which nothing is known.

    Several workers would hold its model several times, so that has to be asked for.
    """
    return framework is None or framework in _OWN_THREADS


def loaded_before_fork(framework: Framework | None, divided: Division) -> bool:
    """Return whether the model is loaded once, before the workers part, instead of by each of them."""
    return divided.workers > 1 and divided.threads == 1 and framework in _LOADED_BEFORE_FORK


def division(cpus: int, *, own_threads: bool, workers: int = 0, threads: int = 0) -> Division:
    """Divide the CPUs; numbers above zero are the user's and stay as they are."""
    workers = workers or (1 if own_threads else cpus)
    return Division(workers, threads or max(1, cpus // workers))


def thread_variables(threads: int, environ: Mapping[str, str]) -> dict[str, str]:
    """Return what the environment must say before numpy is imported; what it says already is left alone."""
    return {name: str(threads) for name in _THREAD_VARIABLES if name not in environ}


def available_cpus() -> int:
    """Return the whole number of CPUs that this process may use."""
    affine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = list(_quotas(ROOT, text(MEMBERSHIP)))
    return smallest(affine, quotas)


def smallest(affine: int, quotas: Iterable[float | None]) -> int:
    """Return the CPUs left by the affinity and all quotas (None: no limit)."""
    limits = [math.ceil(quota) for quota in quotas if quota is not None]
    return max(1, min([affine, *limits]))


def quota_v2(cpu_max: str) -> float | None:
    """Return the CPUs that a `cpu.max` file allows: `150000 100000` is 1.5, `max 100000` no limit."""
    quota, _, period = cpu_max.strip().partition(" ")
    return _ratio(quota, period or "100000")


def quota_v1(quota_us: str, period_us: str) -> float | None:
    """Return the CPUs that `cpu.cfs_quota_us` and `cpu.cfs_period_us` allow; -1 is no limit."""
    return _ratio(quota_us.strip(), period_us.strip())


def _quotas(root: Path, membership: str) -> Iterator[float | None]:
    for version, group in group_folders(membership, "cpu"):
        for folder in up_to_root(group):
            if version == 2:
                yield quota_v2(text(root / folder / "cpu.max"))
            else:
                here = root / "cpu" / folder
                yield quota_v1(text(here / "cpu.cfs_quota_us"), text(here / "cpu.cfs_period_us"))


def _ratio(quota: str, period: str) -> float | None:
    if not quota.isdigit() or not period.isdigit() or int(quota) <= 0 or int(period) <= 0:
        return None
    return int(quota) / int(period)
