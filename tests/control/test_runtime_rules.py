"""Versions of files: what may be asked for, and what is said where it cannot be had."""

from dataclasses import replace

import pytest

from modelport.control.google_runtimes import GOOGLE_RUNTIMES
from modelport.control.runtime_catalogue import SHIPPED, RuntimeCatalogue, RuntimeVersion, read_catalogue
from modelport.control.runtime_rules import RuntimeDraft, package_name
from modelport.control.version_rules import VersionDraft, version_from, version_violations
from modelport.core.errors import Violation
from modelport.core.frameworks import Framework
from modelport.core.names import ModelName
from modelport.core.resources import RouteMap, RuntimeSpec
from tests.control.worlds import NOW

MODEL = ModelName("p", "iris")
PINS = ("scikit-learn==1.9.1",)
CATALOGUE = RuntimeCatalogue(
    (
        RuntimeVersion("2026.11", ("3.11", "3.12"), ("numpy==2.4.6",), {Framework.SCIKIT_LEARN: PINS}),
        RuntimeVersion("2026.05", ("3.11",), ("numpy==2.4.0",), {Framework.SCIKIT_LEARN: PINS, Framework.ONNX: ()}),
    )
)
FILES = VersionDraft(id="v1", deployment_uri="gs://b/iris")


def of(**fields: object) -> VersionDraft:
    return replace(FILES, runtime=RuntimeDraft(**fields))  # type: ignore[arg-type]


def violations(draft: VersionDraft) -> tuple[Violation, ...]:
    return version_violations(draft, MODEL, CATALOGUE)


@pytest.mark.parametrize(
    "draft",
    [
        FILES,
        of(framework="SCIKIT_LEARN"),
        of(framework="sklearn", runtime_version="2026.05", python_version="3.11"),
        of(package_uris=("gs://b/code-1.tar.gz", "/srv/a_b-2.0-py3-none-any.whl", "https://h/c-1.whl?key=1")),
        of(prediction_class="my_code.predictor.Predictor"),
    ],
)
def test_a_draft_of_files_that_keeps_the_rules_has_no_violations(draft: VersionDraft) -> None:
    assert violations(draft) == ()


@pytest.mark.parametrize(
    ("draft", "field"),
    [
        (of(framework="PYTORCHH"), "framework"),
        (of(framework="ONNX"), "framework"),
        (replace(of(framework="SCIKIT_LEARN"), deployment_uri=""), "deploymentUri"),
        (of(runtime_version="2026.12"), "runtimeVersion"),
        (of(python_version="3.7"), "pythonVersion"),
        (of(package_uris=("gs://b/code.zip",)), "packageUris[0]"),
        (of(package_uris=("gs://b/folder/",)), "packageUris[0]"),
        (of(package_uris=("code-1.whl",)), "packageUris[0]"),
        (of(package_uris=("/srv/-x.whl",)), "packageUris[0]"),
        (of(package_uris=("/srv/a b.whl",)), "packageUris[0]"),
        (of(package_uris=("",)), "packageUris[0]"),
        (of(package_uris=("/a/c-1.whl", "/b/c-1.whl")), "packageUris[1]"),
        (of(package_uris=tuple(f"/c-{n}.whl" for n in range(101))), "packageUris"),
        (of(prediction_class="Predictor"), "predictionClass"),
        (of(prediction_class="a.B; import os"), "predictionClass"),
        (of(prediction_class="a..B"), "predictionClass"),
        (replace(FILES, routes=RouteMap("/predict")), "routes"),
    ],
)
def test_a_draft_of_files_that_breaks_a_rule_names_the_field(draft: VersionDraft, field: str) -> None:
    assert [violation.field for violation in violations(draft)] == [f"version.{field}"]


def test_all_that_is_wrong_with_files_is_said_at_once() -> None:
    draft = VersionDraft(
        id="v1", runtime=RuntimeDraft("TENSORFLOU", "9", "3.11", ("x",), "y"), machine_type="n1-standard4"
    )
    fields = ("framework", "deploymentUri", "runtimeVersion", "packageUris[0]", "predictionClass", "machineType")
    assert [violation.field for violation in violations(draft)] == [f"version.{name}" for name in fields]


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    (framework,) = violations(of(framework="scikitlearn2"))
    (runtime,) = violations(of(runtime_version="2026.06"))
    assert "did you mean `SCIKIT_LEARN`?" in framework.description
    assert "did you mean `2026.05`?" in runtime.description


@pytest.mark.parametrize("name", GOOGLE_RUNTIMES)
def test_a_runtime_version_of_the_old_service_is_answered_with_what_it_had_and_the_nearest(name: str) -> None:
    (violation,) = violations(of(framework="SCIKIT_LEARN", runtime_version=name))
    assert f"which had TensorFlow {name};" in violation.description
    assert "the nearest here is `2026.11` (scikit-learn 1.9.1)" in violation.description


def test_a_runtime_version_that_the_old_service_may_have_had_is_recognised_by_its_form() -> None:
    (violation,) = violations(of(runtime_version="1.4"))
    assert "was a runtime version of Google's service; the nearest here is `2026.11`" in violation.description


def test_without_a_catalogue_there_are_only_containers() -> None:
    (violation,) = version_violations(FILES, MODEL)
    assert violation.field == "version.runtimeVersion"
    assert "`container`" in violation.description


def test_the_newest_runtime_version_is_taken_and_kept_where_none_is_named() -> None:
    named = of(framework="sklearn", python_version="3.12", package_uris=("/c-1.whl",), prediction_class="c.P")
    version = version_from(named, MODEL, CATALOGUE, uid="u", now=NOW)
    assert version.spec.runtime == RuntimeSpec("2026.11", "SCIKIT_LEARN", "3.12", ("/c-1.whl",), "c.P")
    assert version.framework == "SCIKIT_LEARN"


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("gs://b/a%20b/c-1.whl", "c-1.whl"),
        ("https://h/x/c-1.tar.gz?sig=a/b#c", "c-1.tar.gz"),
        ("/srv/what?.whl", "what?.whl"),
    ],
)
def test_a_package_is_called_as_its_file(uri: str, name: str) -> None:
    assert package_name(uri) == name


def test_every_framework_is_in_the_catalogue_that_comes_with_modelport() -> None:
    newest = read_catalogue(SHIPPED).newest
    assert newest is not None
    assert set(newest.frameworks) == set(Framework)
