"""Pickles: joblib, pickle, cloudpickle and skops files, and what is wrong with one that does not load.

A pickle is a program: whoever can write the file can run code in the server. skops files are data, of types that are
known to be harmless or that were named as trusted; prefer them.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelport.core.errors import ModelCannotBeLoaded
from modelport.core.frameworks import Framework
from modelport.server.loaders.base import LoadOptions, required
from modelport.server.skew import installed

SUFFIXES = (".joblib", ".pkl", ".pickle", ".cloudpickle", ".skops")

# Modules whose distribution has another name, or that come with an extra of ours.
_INSTALLS = {
    "sklearn": "'modelport[sklearn]'",
    "xgboost": "'modelport[xgboost]'",
    "lightgbm": "'modelport[lightgbm]'",
    "catboost": "'modelport[catboost]'",
    "torch": "'modelport[pytorch]'",
    "tensorflow": "'modelport[tensorflow]'",
    "keras": "'modelport[keras]'",
    "imblearn": "imbalanced-learn",
    "skimage": "scikit-image",
    "cv2": "opencv-python-headless",
    "yaml": "pyyaml",
}
_SKLEARN = "scikit-learn"
_DISTRIBUTIONS = {"sklearn": _SKLEARN, "imblearn": "imbalanced-learn", "skimage": "scikit-image"}
# In every estimator's state: the name, then the version as a short text; memo marks in between.
_SKLEARN_VERSION = re.compile(rb"_sklearn_version.{0,8}?(\d+\.\d+(?:\.\w+)*)", re.S)
_SCAN_BYTES = 64 * 1024**2
_DECOMPRESS: tuple[tuple[bytes, Callable[[bytes], bytes]], ...] = (
    (b"\x1f\x8b", gzip.decompress),
    (b"BZh", bz2.decompress),
    (b"\xfd7zXZ", lzma.decompress),
    (b"\x5d\x00", lzma.decompress),
    (b"x", zlib.decompress),
)


@dataclass(frozen=True, slots=True)
class Unpickled:
    """What a file held, and the version of scikit-learn that wrote it where it is another than the one here."""

    value: Any
    sklearn_version: str = ""


def unpickled(file: Path, options: LoadOptions) -> Unpickled:
    """Return what a file holds.

    Raises:
        ModelCannotBeLoaded: it does not load; says which module, class or version is to blame.
    """
    if file.suffix == ".skops":
        return Unpickled(_from_skops(file, options))
    joblib = required("joblib", Framework.SCIKIT_LEARN)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            value = joblib.load(file)
        except Exception as error:  # what is unpickled may raise anything
            raise _failure(file, error, _told(caught)) from error
    for one in caught:
        if not _is_skew(one):
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    return Unpickled(value, _told(caught))


def _from_skops(file: Path, options: LoadOptions) -> Any:
    try:
        io = required("skops.io", Framework.SCIKIT_LEARN)
    except ModelCannotBeLoaded as error:
        raise ModelCannotBeLoaded(
            f"`{file.name}` needs the module `skops`, which is not installed",
            hint="Install it with `pip install skops`",
        ) from error
    try:
        unknown = [name for name in io.get_untrusted_types(file=file) if name not in options.trusted_types]
        if not unknown:
            return io.load(file, trusted=list(options.trusted_types))
    except Exception as error:  # the types that are trusted may raise anything
        raise _failure(file, error, "") from error
    raise ModelCannotBeLoaded(
        f"`{file.name}` holds types that are not known to be harmless: {', '.join(f'`{name}`' for name in unknown)}",
        hint=f"Where you trust their code, say so: --trusted-types {','.join(unknown)}",
    )


def _is_skew(caught: warnings.WarningMessage) -> bool:
    return hasattr(caught.message, "original_sklearn_version")  # scikit-learn's InconsistentVersionWarning


def _told(caught: list[warnings.WarningMessage]) -> str:
    return next((str(getattr(one.message, "original_sklearn_version", "")) for one in caught if _is_skew(one)), "")


def _failure(file: Path, error: Exception, sklearn_version: str) -> ModelCannotBeLoaded:
    then = sklearn_version or _written_version(file)
    now = installed(_SKLEARN)
    if then and now and then != now:
        # The words are scikit-learn's own: those who look for them, programs among them, find them.
        return ModelCannotBeLoaded(
            f"`{file.name}` cannot be loaded: {_named(error)}. "
            f"Trying to unpickle estimator {file.name} from version {then} when using version {now}",
            hint=f"Serve with the version of the training, `pip install {_SKLEARN}=={then}`, or save the model again"
            f" with {now}",
            trained=then,
            serving=now,
        )
    what, remedy = _remedy(error)
    return ModelCannotBeLoaded(f"`{file.name}` cannot be loaded: {what}", hint=remedy)


def _remedy(error: Exception) -> tuple[str, str]:
    if isinstance(error, ModuleNotFoundError) and error.name:
        top = error.name.partition(".")[0]
        if top != error.name and "is not a package" not in str(error) and _present(top):
            version = installed(_DISTRIBUTIONS.get(top, top)) or "of unknown version"
            return (
                f"{_named(error)}: the {top} that is installed, {version}, has no such part",
                f"Install the version of {top} that the model was saved with, or save the model again",
            )
        install = _INSTALLS.get(top, top)
        return (
            f"it needs the module `{error.name}`, which is not installed",
            f"Install it, `pip install {install}`; if it is a module of your own, serve it with a predictor's package",
        )
    if isinstance(error, AttributeError) and "__main__" in str(error):
        return (
            f"{_named(error)}: the class was defined in the training script itself, and a pickle holds no code",
            "Move the class into a module that training and server both import, and save the model again",
        )
    if isinstance(error, EOFError):
        return f"{_named(error)}: the file ends too early", "Copy the file again, whole"
    return _named(error), "Save the model again with the versions that it is served with, and check that it is whole"


def _present(module: str) -> bool:
    from importlib.util import find_spec

    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _written_version(file: Path) -> str:
    """Return the version of scikit-learn that the bytes of a pickle tell; they are read, not run."""
    try:
        with file.open("rb") as opened:
            data = opened.read(_SCAN_BYTES)
        for magic, decompress in _DECOMPRESS:
            if data.startswith(magic):
                data = decompress(data)
                break
    except (OSError, ValueError, EOFError, zlib.error, lzma.LZMAError):
        return ""
    match = _SKLEARN_VERSION.search(data)
    return match[1].decode("ascii", "replace") if match else ""
