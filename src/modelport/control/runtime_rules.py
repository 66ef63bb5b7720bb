"""Rules for versions without a container, which modelport's own server serves: framework, libraries, code. Pure."""

from __future__ import annotations

import difflib
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote

from modelport.control.google_runtimes import ADVICE, GOOGLE_RUNTIMES, is_of_google
from modelport.control.runtime_catalogue import RuntimeCatalogue, library
from modelport.control.uri_rules import uri_violations
from modelport.core.errors import Violation
from modelport.core.frameworks import Framework, framework_named
from modelport.core.resources import RuntimeSpec

MAX_PACKAGES = 100
MAX_CLASS = 1024
_PACKAGES = (".whl", ".tar.gz")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]*")


@dataclass(frozen=True)
class RuntimeDraft:
    """The fields of a version without a container as they were sent; empty where they were not."""

    framework: str = ""
    runtime_version: str = ""
    python_version: str = ""
    package_uris: tuple[str, ...] = ()
    prediction_class: str = ""

    @property
    def stated(self) -> tuple[str, ...]:
        """Return the names of the fields that were sent."""
        fields = {
            "framework": self.framework,
            "runtimeVersion": self.runtime_version,
            "pythonVersion": self.python_version,
            "packageUris": self.package_uris,
            "predictionClass": self.prediction_class,
        }
        return tuple(name for name, value in fields.items() if value)


def runtime_violations(
    draft: RuntimeDraft, deployment_uri: str, catalogue: RuntimeCatalogue, field: str
) -> Iterator[Violation]:
    """Yield what is wrong with a version without a container; `field` is the version's path in the request."""
    framework = framework_named(draft.framework) if draft.framework else None
    if draft.framework and framework is None:
        yield Violation(f"{field}.framework", _unknown(draft.framework, list(Framework)))
    if not deployment_uri:
        yield Violation(f"{field}.deploymentUri", "It is missing; name the folder that holds the model's files.")
    yield from _runtime_version(draft, framework, catalogue, field)
    yield from _packages(draft.package_uris, f"{field}.packageUris")
    yield from _prediction_class(draft.prediction_class, f"{field}.predictionClass")


def runtime_spec(draft: RuntimeDraft, catalogue: RuntimeCatalogue) -> RuntimeSpec:
    """Return what a draft without violations asks for; the newest runtime version where it names none."""
    framework = framework_named(draft.framework) if draft.framework else None
    newest = catalogue.newest
    return RuntimeSpec(
        runtime_version=draft.runtime_version or (newest.name if newest else ""),
        framework=framework or "",
        python_version=draft.python_version,
        package_uris=draft.package_uris,
        prediction_class=draft.prediction_class,
    )


def package_name(uri: str) -> str:
    """Return the name of the file that a URI or an absolute path names."""
    if uri.startswith(("http://", "https://")):
        uri = uri.partition("#")[0].partition("?")[0]
    name = posixpath.basename(uri)
    return unquote(name) if "://" in uri else name


def _runtime_version(
    draft: RuntimeDraft, framework: Framework | None, catalogue: RuntimeCatalogue, field: str
) -> Iterator[Violation]:
    asked = draft.runtime_version
    found = catalogue.find(asked)
    if found is None:
        yield Violation(f"{field}.runtimeVersion", _no_such_runtime(asked, framework, catalogue))
        return
    if framework is not None and framework not in found.frameworks:
        has = ", ".join(sorted(found.frameworks)) or "none"
        yield Violation(f"{field}.framework", f"Runtime version `{found.name}` does not have `{framework}`, but {has}.")
    if draft.python_version and draft.python_version not in found.pythons:
        has = ", ".join(found.pythons)
        yield Violation(
            f"{field}.pythonVersion",
            f"Runtime version `{found.name}` has no Python `{draft.python_version[:80]}`, but {has};"
            " leave it out for the one that is there.",
        )


def _no_such_runtime(asked: str, framework: Framework | None, catalogue: RuntimeCatalogue) -> str:
    names = [version.name for version in catalogue.versions]
    if not names:
        return "There are no runtime versions here; describe a container of your own in `container`."
    if not is_of_google(asked) or asked in names:
        return _unknown(asked, names)
    had = f", which had TensorFlow {asked}" if asked in GOOGLE_RUNTIMES else ""
    newest = catalogue.versions[0]
    pins = newest.pins(framework) if framework is not None else ()
    libraries = f" ({', '.join(pin.replace('==', ' ') for pin in main_pins(framework, pins))})" if pins else ""
    return (
        f"`{asked}` was a runtime version of Google's service{had}; the nearest here is `{newest.name}`{libraries}."
        f" {ADVICE.get(framework, ADVICE[None])}. Or bring the old libraries in a container of your own."
    )


def main_pins(framework: Framework | None, pins: tuple[str, ...]) -> list[str]:
    """Return those pins that people choose a runtime version for."""
    telling = _MAIN.get(framework, ()) if framework else ()
    return [pin for name in telling for pin in pins if library(pin) == name]


_MAIN: dict[Framework, tuple[str, ...]] = {
    Framework.TENSORFLOW: ("tensorflow-cpu", "tensorflow"),
    Framework.KERAS: ("keras", "tensorflow-cpu", "tensorflow"),
    Framework.SCIKIT_LEARN: ("scikit-learn",),
    Framework.XGBOOST: ("xgboost-cpu", "xgboost", "scikit-learn"),
    Framework.LIGHTGBM: ("lightgbm", "scikit-learn"),
    Framework.CATBOOST: ("catboost",),
    Framework.ONNX: ("onnxruntime",),
    Framework.PYTORCH: ("torch",),
    Framework.MLFLOW: ("mlflow-skinny", "mlflow", "scikit-learn"),
}


def _packages(uris: tuple[str, ...], field: str) -> Iterator[Violation]:
    if len(uris) > MAX_PACKAGES:
        yield Violation(field, f"There are {len(uris)} packages; at most {MAX_PACKAGES} are allowed.")
        return
    names: set[str] = set()
    for index, uri in enumerate(uris):
        path = f"{field}[{index}]"
        problems = list(uri_violations(uri, path)) if uri else [Violation(path, "It is empty; name a package.")]
        yield from problems
        if problems:
            continue
        name = package_name(uri)
        if not name.endswith(_PACKAGES) or not _FILE_NAME.fullmatch(name):
            yield Violation(
                path, f"`{uri[:80]}` is no package: wanted one file, a wheel (.whl) or a source distribution (.tar.gz)."
            )
        elif name in names:
            yield Violation(path, f"`{name}` is there twice.")
        names.add(name)


def _prediction_class(name: str, field: str) -> Iterator[Violation]:
    if not name:
        return
    parts = name.split(".")
    if len(name) > MAX_CLASS or len(parts) < 2 or not all(part.isidentifier() for part in parts):
        yield Violation(field, f"`{name[:80]}` is not `MODULE.CLASS`, such as `my_package.predictor.MyPredictor`.")


def _unknown(text: str, known: list[str]) -> str:
    (nearest,) = difflib.get_close_matches(text[:80].upper(), known, n=1, cutoff=0.0)
    return f"`{text[:80]}` is unknown; did you mean `{nearest}`? There are {', '.join(known)}."
