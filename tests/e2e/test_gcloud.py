"""The gcloud command drives a version from create to delete, where it is installed."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.platform import Platform

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed"),
]


def test_a_version_from_create_to_delete(mp: Platform, echo: str, tmp_path: Path) -> None:
    environ = {
        **os.environ,
        "CLOUDSDK_CONFIG": str(tmp_path / "config"),
        "CLOUDSDK_CORE_PROJECT": "p",
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "true",
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_ML": f"{mp.url}/",
    }

    def gcloud(*arguments: str, beta: bool = False) -> object:
        command = ["gcloud", *(["beta"] if beta else []), "ai-platform", *arguments, "--format=json"]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout or "null")

    gcloud("models", "create", "iris", "--region=global")
    for version in ("v1", "v2"):
        gcloud(
            "versions", "create", version, "--model=iris", "--region=global", f"--image={echo}",
            "--predict-route=/predict", "--health-route=/health", "--machine-type=n1-standard-2", beta=True,
        )  # fmt: skip
    versions = gcloud("versions", "list", "--model=iris", "--region=global")
    assert [v["state"] for v in versions] == ["READY", "READY"]
    instances = tmp_path / "instances.json"
    instances.write_text("[1, 2]\n[3, 4]\n")
    answer = gcloud("predict", "--model=iris", "--region=global", f"--json-instances={instances}")
    assert answer == {"predictions": [[1, 2], [3, 4]]}
    gcloud("versions", "set-default", "v2", "--model=iris", "--region=global")
    described = gcloud("versions", "describe", "v2", "--model=iris", "--region=global")
    assert described["isDefault"] is True
    for version in ("v1", "v2"):
        gcloud("versions", "delete", version, "--model=iris", "--region=global")
    gcloud("models", "delete", "iris", "--region=global")
    assert gcloud("models", "list", "--region=global") == []
