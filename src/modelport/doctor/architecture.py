"""Architecture: for which processor an image or a program is made, and which one a machine has. Pure."""

from __future__ import annotations

# Names of kernels and of Python's platform module, to those of OCI.
_NAMES = {
    "x86_64": "amd64",
    "x64": "amd64",
    "aarch64": "arm64",
    "armv7l": "arm",
    "armv6l": "arm",
    "i386": "386",
    "i686": "386",
}
# e_machine of an ELF file, to names of OCI; `ppc64le` and `s390x` differ from others by their byte order only.
_MACHINES = {3: "386", 21: "ppc64le", 22: "s390x", 40: "arm", 62: "amd64", 183: "arm64", 243: "riscv64"}
# What a processor runs besides programs of its own kind.
_ALSO_RUNS = {"amd64": {"386"}, "arm64": {"arm"}}


def normal(name: str) -> str:
    """Return the name that OCI has for an architecture."""
    return _NAMES.get(name.lower(), name.lower())


def of_program(head: str) -> str:
    """Return the architecture of an ELF program by its first bytes (as Latin-1); empty for anything else."""
    if not head.startswith("\x7fELF") or len(head) < 20:
        return ""
    low, high = (18, 19) if head[5] == "\x01" else (19, 18)
    return _MACHINES.get(ord(head[low]) + 256 * ord(head[high]), "")


def foreign(program: str, machine: str) -> bool:
    """Return whether a machine cannot run what is made for `program`; False where one of them is not known."""
    wanted, there = normal(program), normal(machine)
    return bool(wanted and there) and wanted != there and wanted not in _ALSO_RUNS.get(there, ())
