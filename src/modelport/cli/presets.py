"""Presets: what well-known model servers need of a version: their port, their routes, and how they are told the model.

A preset fills what a spec leaves open, before it is sent; the API knows none. What is explicit always wins.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

from modelport.cli.usage import UsageProblem

_FILES = "$(AIP_STORAGE_URI)"
_PORT = "$(AIP_HTTP_PORT)"
_NAME = "$(AIP_MODEL_NAME)"
_OF_MODEL_V2 = "/v2/models/$AIP_MODEL_NAME"


@dataclass(frozen=True)
class Preset:
    """A well-known model server.

    Attributes:
        title: its name as its authors write it.
        images: those that it is made for.
        port: where they listen.
        health: path that answers 200 when the model can predict.
        predict: path that takes predictions.
        command: instead of their ENTRYPOINT.
        args: instead of their CMD; command and args that name the model's files are for versions that have some.
        env: variables by name; those that name the model's files, too.
        files: what `deploymentUri` has to hold, and how the model is called.
        remark: what else one has to know.
    """

    title: str
    images: str
    port: int
    health: str
    predict: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    files: str = ""
    remark: str = ""


PRESETS = {
    "triton": Preset(
        "NVIDIA Triton",
        "`nvcr.io/nvidia/tritonserver`",
        8000,
        f"{_OF_MODEL_V2}/ready",
        f"{_OF_MODEL_V2}/infer",
        args=("tritonserver", f"--model-repository={_FILES}", f"--http-port={_PORT}"),
        files="A model repository: `NAME/config.pbtxt` and `NAME/1/…`, one of them called as the model here.",
    ),
    "torchserve": Preset(
        "TorchServe",
        "`pytorch/torchserve`, 0.11.1 or later",
        8080,
        "/ping",
        "/predictions/$AIP_MODEL_NAME",
        command=("torchserve",),
        args=(
            "--start",
            "--foreground",
            "--ncs",
            "--disable-token-auth",
            "--ts-config=/home/model-server/config.properties",
            f"--model-store={_FILES}",
            "--models=all",
        ),
        files="Archives, one of them called `NAME.mar` as the model here.",
        remark="Its address is in the `config.properties` of the image. Its health route answers 200 before the model"
        " is loaded, and for minutes where it cannot be.",
    ),
    "tfserving": Preset(
        "TensorFlow Serving",
        "`tensorflow/serving`",
        8501,
        "/v1/models/$AIP_MODEL_NAME",
        "/v1/models/$AIP_MODEL_NAME:predict",
        args=(f"--rest_api_port={_PORT}", f"--model_name={_NAME}", f"--model_base_path={_FILES}"),
        files="A folder for each version of the model, such as `1/saved_model.pb`.",
    ),
    "kserve": Preset(
        "KServe",
        "`kserve/sklearnserver`, `xgbserver`, `lgbserver` and others of its SDK",
        8080,
        f"{_OF_MODEL_V2}/ready",
        f"{_OF_MODEL_V2}/infer",
        args=(f"--model_name={_NAME}", f"--model_dir={_FILES}", f"--http_port={_PORT}"),
        files="The model's files, as the image wants them.",
        remark='It takes `{"instances": …}` too, at `/v1/models/NAME:predict`.',
    ),
    "mlserver": Preset(
        "MLServer",
        "`seldonio/mlserver`",
        8080,
        f"{_OF_MODEL_V2}/ready",
        f"{_OF_MODEL_V2}/infer",
        env=(
            ("MLSERVER_HTTP_PORT", _PORT),
            ("MLSERVER_MODELS_DIR", _FILES),
            ("MLSERVER_MODEL_NAME", _NAME),
        ),
        files="`model-settings.json` and what it names; without a `name` in it the model is called as the one here.",
    ),
    "mlflow": Preset(
        "MLflow",
        "those of `mlflow models build-docker`, which hold the model",
        8080,
        "/ping",
        "/invocations",
    ),
    "sagemaker": Preset(
        "Amazon SageMaker",
        "those made for SageMaker",
        8080,
        "/ping",
        "/invocations",
        args=("serve",),
        env=(("SAGEMAKER_BIND_TO_PORT", _PORT), ("SM_MODEL_DIR", _FILES)),
        files="The model's files, not packed. An image that reads `/opt/ml/model` and nothing else has to hold them.",
    ),
    "cog": Preset(
        "Cog",
        "those of `cog build`, which hold the model",
        5000,
        "/health-check",
        "/predictions",
        remark="It answers 200 on its health route while the model still loads: such a version gets READY too early.",
    ),
}


@dataclass(frozen=True)
class Filled:
    """A version with what its preset gives.

    Attributes:
        version: as in the API, without the preset.
        preset: its name, empty where there is none.
        given: what came from the preset, as a part of a version.
    """

    version: dict[str, Any]
    preset: str = ""
    given: dict[str, Any] | None = None

    def __str__(self) -> str:
        names = [f"{part}.{field}" for part, fields in (self.given or {}).items() for field in fields]
        return f"{self.preset} fills {', '.join(names)}" if names else f"{self.preset} fills nothing: all is explicit"


def preset_named(name: object) -> Preset:
    """Return the preset of this name, or say which there are."""
    if isinstance(name, str) and name in PRESETS:
        return PRESETS[name]
    written = str(name)[:80]
    close = difflib.get_close_matches(written.lower(), PRESETS, 1)
    meant = f"Did you mean `{close[0]}`? " if close else ""
    raise UsageProblem(f"There is no preset `{written}`", hint=f"{meant}Choose one of {', '.join(PRESETS)}")


def filled(version: dict[str, Any]) -> Filled:
    """Return a version with what its `preset` gives where it says nothing itself."""
    body = dict(version)
    name = body.pop("preset", None)
    if not name:
        return Filled(body)
    preset = preset_named(name)
    container, routes = body.get("container") or {}, body.get("routes") or {}
    if not (isinstance(container, dict) and isinstance(routes, dict)):
        return Filled(body, name)  # the API says what is wrong with it
    has_files = bool(body.get("deploymentUri") or body.get("deployment_uri"))
    given = {
        "container": _of_container(preset, container, has_files=has_files),
        "routes": {
            field: path
            for field, path in (("health", preset.health), ("predict", preset.predict))
            if not routes.get(field)
        },
    }
    env = [*(container.get("env") or []), *given["container"].get("env", [])]
    body["container"] = {**container, **given["container"], **({"env": env} if env else {})}
    body["routes"] = {**routes, **given["routes"]}
    return Filled(body, name, {part: fields for part, fields in given.items() if fields})


def _of_container(preset: Preset, container: dict[str, Any], *, has_files: bool) -> dict[str, Any]:
    """Return the fields of a container that it leaves open; of `env` only what is added."""
    given: dict[str, Any] = {}
    if not container.get("ports"):
        given["ports"] = [{"containerPort": preset.port}]
    invocation = (*preset.command, *preset.args)
    # Who says how the program is started says all of it: half of each would be neither.
    if not container.get("command") and not container.get("args") and _applies("".join(invocation), has_files):
        given |= {"command": list(preset.command)} if preset.command else {}
        given |= {"args": list(preset.args)} if preset.args else {}
    known = {one.get("name") for one in container.get("env") or [] if isinstance(one, dict)}
    env = [
        {"name": name, "value": value} for name, value in preset.env if name not in known and _applies(value, has_files)
    ]
    return {**given, "env": env} if env else given


def _applies(text: str, has_files: bool) -> bool:
    return has_files or _FILES not in text
