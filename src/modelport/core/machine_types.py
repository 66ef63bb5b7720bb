"""Machine types of the original service as CPU and memory limits of one replica."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

GIB = 1024**3


@dataclass(frozen=True)
class MachineType:
    """A machine type: vCPUs, memory in bytes, and whether it may have accelerators (N1 only)."""

    name: str
    cpus: float
    memory_bytes: int
    accelerators: bool


def _n1(family: str, sizes: tuple[int, ...], gib_per_cpu: float) -> list[MachineType]:
    return [MachineType(f"n1-{family}-{size}", size, int(size * gib_per_cpu * GIB), True) for size in sizes]


# Sizes as published for Compute Engine's N1 family and for the mls1 types of the legacy service.
MACHINE_TYPES: dict[str, MachineType] = {
    machine.name: machine
    for machine in [
        *_n1("standard", (1, 2, 4, 8, 16, 32, 64, 96), 3.75),
        *_n1("highmem", (2, 4, 8, 16, 32, 64, 96), 6.5),
        *_n1("highcpu", (2, 4, 8, 16, 32, 64, 96), 0.9),
        MachineType("mls1-c1-m2", 1, 2 * GIB, False),
        MachineType("mls1-c4-m2", 4, 2 * GIB, False),
    ]
}


def nearest_machine_type(name: str) -> str:
    """Return the known machine type that `name` most likely means."""
    return difflib.get_close_matches(name, MACHINE_TYPES, n=1, cutoff=0.0)[0]
