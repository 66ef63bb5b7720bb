"""Presets: what they fill, what they leave, and that the platform takes what comes of them."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from modelport.api.ml_v1 import messages
from modelport.api.ml_v1.convert import version_draft
from modelport.api.ml_v1.reading import parse
from modelport.cli.presets import PRESETS, filled
from modelport.cli.sources import Overrides, Source, override
from modelport.cli.usage import UsageProblem
from modelport.control.runtime_catalogue import SHIPPED, read_catalogue
from modelport.control.version_rules import version_violations
from modelport.core.names import ModelName
from tests.cli.conftest import Ran
from tests.cli.test_check import OTHER_PORT, STUCK, Conductor, conductor
from tests.cli.test_commands import OPERATION, READY, deploying, seen
from tests.sdk.standin import standing_in

Cli = Callable[..., Ran]
__all__ = ["conductor"]  # the fixture

TRITON = {
    "container": {
        "image": "r/triton",
        "ports": [{"containerPort": 8000}],
        "args": ["tritonserver", "--model-repository=$(AIP_STORAGE_URI)", "--http-port=$(AIP_HTTP_PORT)"],
    },
    "routes": {"predict": "/v2/models/$AIP_MODEL_NAME/infer", "health": "/v2/models/$AIP_MODEL_NAME/ready"},
    "deploymentUri": "gs://b/models",
}


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("files", [{}, {"deploymentUri": "gs://b/m"}], ids=["files-in-image", "files-apart"])
def test_the_platform_takes_what_a_preset_fills(name: str, files: dict) -> None:
    version = filled({"preset": name, "container": {"image": "r/i"}, **files}).version

    draft = version_draft(parse({"name": "v1", **version}, messages.Version, "version"))
    assert version_violations(draft, ModelName("demo", "iris"), read_catalogue(SHIPPED)) == ()
    assert version["container"]["ports"] == [{"containerPort": PRESETS[name].port}]
    assert version["routes"] == {"health": PRESETS[name].health, "predict": PRESETS[name].predict}
    assert "preset" not in version
    assert files or "AIP_STORAGE_URI" not in str(version)


def test_a_version_without_a_preset_is_left_as_it_is() -> None:
    version = {"container": {"image": "r/i"}, "routes": {"health": "/h"}}

    assert filled(version).version == version
    assert filled({**version, "preset": None}).version == version


def test_what_is_explicit_wins() -> None:
    explicit = {
        "container": {"image": "r/i", "ports": [{"containerPort": 9}], "args": ["tritonserver", "--verbose"]},
        "routes": {"health": "/v2/health/ready", "predict": "/v2/models/a/infer"},
        "deploymentUri": "gs://b/m",
    }

    made = filled({"preset": "triton", **explicit})

    assert made.version == explicit
    assert str(made) == "triton fills nothing: all is explicit"


def test_each_field_is_filled_by_itself() -> None:
    made = filled({"preset": "triton", "routes": {"health": "/v2/health/ready"}, "container": {"image": "r/i"}})

    assert made.version["routes"] == {"health": "/v2/health/ready", "predict": "/v2/models/$AIP_MODEL_NAME/infer"}
    assert made.given == {
        "container": {"ports": [{"containerPort": 8000}]},
        "routes": {"predict": "/v2/models/$AIP_MODEL_NAME/infer"},
    }
    assert str(made) == "triton fills container.ports, routes.predict"


def test_who_gives_a_command_gives_its_arguments_too() -> None:
    container = filled({"preset": "sagemaker", "container": {"image": "r/i", "command": ["run"]}}).version["container"]

    assert "args" not in container


def test_variables_are_added_to_those_there_are() -> None:
    own = [{"name": "MLSERVER_MODEL_NAME", "value": "mine"}, {"name": "OTHER", "value": "1"}]

    made = filled({"preset": "mlserver", "container": {"image": "r/i", "env": own}, "deployment_uri": "gs://b/m"})

    assert made.version["container"]["env"] == [
        *own,
        {"name": "MLSERVER_HTTP_PORT", "value": "$(AIP_HTTP_PORT)"},
        {"name": "MLSERVER_MODELS_DIR", "value": "$(AIP_STORAGE_URI)"},
    ]


def test_what_is_no_object_is_left_to_the_platform() -> None:
    assert filled({"preset": "triton", "container": [1]}).version == {"container": [1]}


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Triton", "Did you mean `triton`? Choose one of triton, torchserve, tfserving, kserve, mlserver"),
        ("tf-serving", "Did you mean `tfserving`? Choose one of"),
        ("qqq", "Choose one of triton"),
        (["triton"], "Did you mean `triton`?"),
    ],
)
def test_an_unknown_preset_is_told_what_there_is(name: object, hint: str) -> None:
    with pytest.raises(UsageProblem, match="There is no preset") as refused:
        filled({"preset": name})

    assert refused.value.hint.startswith(hint)


def test_a_preset_needs_an_image() -> None:
    with pytest.raises(UsageProblem, match="The preset `triton` is for a container, and no image is named"):
        override(Source({"deploymentUri": "gs://b/m"}), Overrides(preset="triton"))

    built = override(Source({"container": {}}, build=Path("folder")), Overrides(preset="triton"))
    assert built.version["container"]["ports"] == [{"containerPort": 8000}]


def test_options_are_explicit_too() -> None:
    options = Overrides(preset="triton", port=9000, args=("run",), health_route="/h", deployment_uri="gs://b/m")

    version = override(Source({"preset": "cog", "container": {"image": "r/i"}}), options).version

    assert version["container"] == {"image": "r/i", "ports": [{"containerPort": 9000}], "args": ["run"]}
    assert version["routes"] == {"predict": "/v2/models/$AIP_MODEL_NAME/infer", "health": "/h"}


def test_deploy_sends_the_fields_and_not_the_preset(cli: Cli) -> None:
    with standing_in(deploying(seen(*READY))) as platform:
        ran = cli(
            *("deploy", "r/triton", "--preset", "triton", "--deployment-uri", "gs://b/models", "--model", "churn"),
            *("--version", "v1", "--machine-type", "n1-standard-4", "--no-default", "--endpoint", platform.endpoint),
        )

    sent = next(
        json.loads(one.body) for one in platform.asked if one.method == "POST" and one.path.endswith("/versions")
    )
    assert sent == {"name": "v1", "machineType": "n1-standard-4", **TRITON}
    assert "  preset    triton fills container.ports, container.args, routes.health, routes.predict\n" in ran.out


@pytest.mark.parametrize("source", ["version.yaml", "-"])
def test_a_version_that_is_created_from_a_file_may_have_a_preset(
    cli: Cli, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = yaml.safe_dump({"preset": "cog", "container": {"image": "r/cog"}})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO(spec))
    Path("version.yaml").write_text(spec)

    with standing_in(deploying(seen(*READY))) as platform:
        cli("versions", "create", "churn/v1", "-f", source, "--no-wait", "--endpoint", platform.endpoint)

    (sent,) = (
        json.loads(one.body) for one in platform.asked if one.method == "POST" and one.path.endswith("/versions")
    )
    assert OPERATION["metadata"]["version"]["name"].endswith(sent["name"])
    assert sent["routes"] == {"health": "/health-check", "predict": "/predictions"}
    assert "preset" not in sent


def test_check_tells_what_the_preset_fills(cli: Cli, conductor: Conductor) -> None:
    ran = cli("check", "r/triton", "--preset", "triton", "--deployment-uri", "gs://b/models")

    assert conductor.version == {"machineType": "n1-standard-2", **TRITON}
    first = ran.out.splitlines()[0]
    assert first == (
        "  preset                  ✓ triton fills container.ports, container.args, routes.health, routes.predict"
    )


def test_check_gives_programs_what_the_preset_fills(cli: Cli, conductor: Conductor) -> None:
    Path("v.yaml").write_text(yaml.safe_dump({"preset": "mlflow", "container": {"image": "r/m"}}))

    document = json.loads(cli("check", "v.yaml", "--output", "json").out)

    assert document["preset"] == {
        "name": "mlflow",
        "fills": {
            "container": {"ports": [{"containerPort": 8080}]},
            "routes": {"health": "/ping", "predict": "/invocations"},
        },
    }
    assert "preset" not in json.loads(cli("check", "r/churn", "--output", "json").out)


def test_a_corrected_spec_says_what_its_preset_filled(cli: Cli, conductor: Conductor) -> None:
    conductor.stages, conductor.findings = STUCK, (OTHER_PORT,)
    Path("v.yaml").write_text(yaml.safe_dump({"preset": "mlflow", "container": {"image": "r/m"}}))

    cli("check", "v.yaml", "--fix")

    assert yaml.safe_load(Path("v.fixed.yaml").read_text()) == {
        "container": {"image": "r/m", "ports": [{"containerPort": 5000}]},
        "routes": {"health": "/ping", "predict": "/invocations"},
    }


@pytest.mark.parametrize("command", ["deploy", "check"])
def test_a_misspelt_preset_ends_with_2(cli: Cli, conductor: Conductor, command: str) -> None:
    with standing_in({}) as platform:
        ran = cli(command, "r/i", "--preset", "tritn", "--endpoint", platform.endpoint)

    assert ran.code == 2
    assert ran.err.startswith("error: There is no preset `tritn`\n\nhint: Did you mean `triton`?")
    assert platform.asked == []
