"""Corrections: writes the spec that findings ask for beside the one that was checked; never over another file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from modelport.cli.usage import UsageProblem
from modelport.doctor.findings import Diagnosis
from modelport.doctor.patching import agreeing, patched

_MOST = 1000


def corrected(spec: dict[str, Any], diagnosis: Diagnosis) -> dict[str, Any] | None:
    """Return the spec as the findings ask for, or None where they ask for nothing that it does not say. Pure."""
    result = patched(spec, agreeing(finding.remedy.patch for finding in diagnosis.findings))
    return result if result != spec else None


def write_beside(spec: dict[str, Any], file: Path | None, folder: Path) -> Path:
    """Write a corrected spec under a free name and return where it lies.

    Args:
        spec: what to write.
        file: the spec that was checked, in whose format and beside which it is written, or None.
        folder: where to write where there was none.
    """
    text = _text(spec, as_json=file is not None and file.suffix == ".json")
    for path in _names(file or folder / "modelport.yaml"):
        try:
            with path.open("x", encoding="utf-8") as opened:
                opened.write(text)
        except FileExistsError:
            continue
        except OSError as error:
            raise UsageProblem(f"Cannot write `{path}`: {(error.strerror or str(error)).lower()}") from error
        return path
    raise UsageProblem(f"`{file or folder}` has {_MOST} corrected specs beside it", hint="Delete those of no use")


def _names(file: Path) -> Iterator[Path]:
    stem = re.sub(r"\.fixed(?:\.\d+)?$", "", file.stem)
    for number in range(1, _MOST + 1):
        yield file.with_name(f"{stem}.fixed{'' if number == 1 else f'.{number}'}{file.suffix}")


def _text(spec: dict[str, Any], *, as_json: bool) -> str:
    if as_json:
        return json.dumps(spec, indent=2, ensure_ascii=False) + "\n"
    return yaml.safe_dump(spec, sort_keys=False, allow_unicode=True, width=10_000)
