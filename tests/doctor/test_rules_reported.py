from __future__ import annotations

import pytest

from modelport.doctor.diagnose import diagnose
from modelport.doctor.evidence import Phase, SpecFacts
from modelport.doctor.findings import Finding
from tests.doctor.dying import evidence

IMAGE = "registry.example/team/iris:1"


def cause(reason: str, error: str, hint: str = "", image: str = IMAGE, driver: str = "docker") -> Finding:
    spec = SpecFacts(image=image, deployment_uri="gs://bucket/iris")
    found = diagnose(
        evidence(phase=Phase.IMAGE, error_reason=reason, error=error, hint=hint, spec=spec, driver=driver)
    ).cause
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("reason", "error", "wanted"),
    [
        ("ENGINE_UNREACHABLE", "The container engine at `unix:///x` cannot be reached", "ENGINE_UNREACHABLE"),
        ("ENGINE_UNREACHABLE", "The container engine answered 500: write /x: no space left on device", "NO_SPACE"),
        ("INVALID_ARGUMENT", "Field: version.container.image Error: is required", "SPEC_INVALID"),
        ("IMAGE_NOT_FOUND", "Image `x` is not in the engine: manifest unknown", "IMAGE_NOT_FOUND"),
        (
            "IMAGE_NOT_FOUND",
            "pull access denied for iris, repository does not exist or may require 'docker login'",
            "IMAGE_NOT_FOUND",
        ),
        ("IMAGE_NOT_FOUND", "could not be pulled: unauthorized: authentication required", "IMAGE_UNAUTHORIZED"),
        ("IMAGE_UNAUTHORIZED", "The container engine could not pull image `x`: 401", "IMAGE_UNAUTHORIZED"),
        ("IMAGE_BUILD_FAILED", "The Dockerfile could not be built: exit status 7", "IMAGE_BUILD_FAILED"),
        ("ENVIRONMENT_BUILD_FAILED", "pip cannot install the libraries: ERROR: x", "ENVIRONMENT_BUILD_FAILED"),
        ("MODEL_CANNOT_BE_LOADED", "No framework is known for the files in `/x`: a.bin", "MODEL_CANNOT_BE_LOADED"),
        ("ARTIFACT_NOT_FOUND", "`gs://bucket/iris` names no object", "ARTIFACT_NOT_FOUND"),
        ("ARTIFACT_UNAUTHORIZED", "`gs://bucket/iris` may not be read", "ARTIFACT_UNAUTHORIZED"),
        ("ARTIFACT_REFUSED", "`gs://bucket/iris` has 120,000 files; at most 10,000", "ARTIFACT_REFUSED"),
        ("NO_SPACE", "The artifact cache needs 5 bytes more", "NO_SPACE"),
    ],
)
def test_what_an_adapter_reported_is_the_cause(reason: str, error: str, wanted: str) -> None:
    found = cause(reason, error)
    assert found.code == wanted
    assert found.evidence[0] == f"reported: {error}"


def test_the_registry_to_log_in_to_is_named() -> None:
    assert "docker login registry.example" in cause("IMAGE_UNAUTHORIZED", "401").remedy.text


def test_the_hint_of_whoever_knows_the_place_is_kept() -> None:
    assert cause("ARTIFACT_UNAUTHORIZED", "no", hint="Set AWS_REGION").remedy.text == "Set AWS_REGION"
    folder = cause("IMAGE_NOT_FOUND", "no folder", hint="Give the absolute path", image="/srv/x", driver="process")
    assert folder.remedy.text == "Give the absolute path"


def test_a_refusal_of_the_engine_that_nothing_explains_is_shown_as_it_is() -> None:
    found = cause("REPLICA_CANNOT_START", "The container engine could not start it: rlimits", hint="Correct it")
    assert found.code == "CRASHES_AT_START"
    assert "rlimits" in found.evidence[0]
