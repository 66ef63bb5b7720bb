"""The wheel of this very modelport, written from the files that run, so that others install it without an index.

The same files give the same bytes: names are sorted, times and modes fixed.
"""

from __future__ import annotations

import base64
import hashlib
import re
import tempfile
import tomllib
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

_NAME = "modelport"
_PACKAGE = Path(__file__).parent
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip file can hold
_WHEEL = "Wheel-Version: 1.0\nGenerator: modelport\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


@dataclass(frozen=True)
class _Project:
    version: str
    metadata: str
    entry_points: str


def write_wheel(folder: Path) -> Path:
    """Write the wheel into `folder` and return its path; one that is there already is replaced at once or not at all.

    It holds the modules that run now, whether they were installed or are a checkout on PYTHONPATH.
    """
    project = _project()
    information = f"{_NAME}-{project.version}.dist-info"
    contents = {path: (_PACKAGE.parent / path).read_bytes() for path in _modules()}
    contents[f"{information}/METADATA"] = project.metadata.encode()
    contents[f"{information}/WHEEL"] = _WHEEL.encode()
    contents[f"{information}/entry_points.txt"] = project.entry_points.encode()
    record = f"{information}/RECORD"
    contents[record] = _record(contents, record).encode()

    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{_NAME}-{project.version}-py3-none-any.whl"
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".wheel-", delete=False) as file:
        unfinished = Path(file.name)
        try:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                for path, content in contents.items():
                    archive.writestr(_entry(path), content)
            unfinished.chmod(0o644)
            unfinished.replace(target)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
    return target


def _modules() -> list[str]:
    """Return the paths of all files of the package, as they stand in the wheel."""
    found = (path for path in _PACKAGE.rglob("*") if path.is_file())
    relative = (path.relative_to(_PACKAGE.parent) for path in found)
    # Caches of Python and of tools that were run here.
    return sorted(
        path.as_posix()
        for path in relative
        if not any(part == "__pycache__" or part.endswith("_cache") for part in path.parts[:-1])
    )


def _entry(path: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(path, _EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = 3  # Unix, wherever it is written
    entry.external_attr = 0o100644 << 16
    return entry


def _record(contents: Mapping[str, bytes], record: str) -> str:
    lines = [f"{path},sha256={_digest(content)},{len(content)}" for path, content in contents.items()]
    return "\n".join([*lines, f"{record},,", ""])


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def _project() -> _Project:
    """Return what an index would know: of a checkout from its pyproject.toml, which is newer than any installation."""
    file = _PACKAGE.parents[1] / "pyproject.toml"
    if _PACKAGE.parent.name == "src" and file.is_file():
        project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
        return _Project(project["version"], _metadata(project), _entry_points(project.get("scripts", {})))
    try:
        installed = distribution(_NAME)
    except PackageNotFoundError as error:
        raise RuntimeError(f"`{_PACKAGE}` is neither installed nor a checkout: its metadata is nowhere") from error
    return _Project(
        installed.version, installed.read_text("METADATA") or "", installed.read_text("entry_points.txt") or ""
    )


def _metadata(project: Mapping[str, Any]) -> str:
    lines = [
        "Metadata-Version: 2.1",
        f"Name: {project['name']}",
        f"Version: {project['version']}",
        f"Summary: {project['description']}",
        f"Requires-Python: {project['requires-python']}",
        *(f"Requires-Dist: {requirement}" for requirement in project["dependencies"]),
    ]
    for extra, requirements in project.get("optional-dependencies", {}).items():
        lines.append(f"Provides-Extra: {extra}")
        lines += (f"Requires-Dist: {line}" for line in _of_extra(extra, requirements))
    return "\n".join([*lines, ""])


def _of_extra(extra: str, requirements: Iterable[str]) -> Iterable[str]:
    for requirement in requirements:
        what, _, marker = (part.strip() for part in requirement.partition(";"))
        # `or` binds less than `and`.
        condition = f"({marker}) and " if re.search(r"\bor\b", marker) else f"{marker} and " if marker else ""
        yield f'{what}; {condition}extra == "{extra}"'


def _entry_points(scripts: Mapping[str, str]) -> str:
    return "\n".join(["[console_scripts]", *(f"{name} = {target}" for name, target in scripts.items()), ""])
