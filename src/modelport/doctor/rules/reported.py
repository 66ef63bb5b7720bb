"""Rules for what an adapter reported: the engine, the spec, the image, the artifacts. The most certain of all."""

from __future__ import annotations

from modelport.doctor.evidence import Evidence
from modelport.doctor.findings import Remedy
from modelport.doctor.rule import Found, Rule, rule

_UNPULLABLE = (
    *("denied", "unauthorized", "authentication required", "no basic auth credentials"),
    *("403 forbidden", "401 unauthorized"),
)


def reported(evidence: Evidence, summary: str, cause: str, remedy: str, *, keep_hint: bool = False) -> Found:
    """Return a finding; the adapter's own hint, which knows the place, wins where `keep_hint` says so."""
    lines = [line.strip() for line in evidence.error.splitlines() if line.strip()]
    shown = tuple(f"reported: {line[:300]}" for line in lines[:1] + lines[1:][-9:])
    text = evidence.hint if keep_hint and evidence.hint else remedy
    return Found(summary, cause, Remedy(text), shown or (f"reported: {evidence.error_reason}",))


@rule("ENGINE_UNREACHABLE")
def engine_unreachable(evidence: Evidence) -> Found | None:
    """The container engine does not answer.

    Symptom: nothing starts, whatever the image: `Cannot connect to the Docker daemon at unix:///var/run/docker.sock.
    Is the docker daemon running?`, `permission denied while trying to connect to the Docker daemon socket`.

    Cause: Docker or Podman's API service is not running, its socket lies elsewhere, or the user that runs modelport
    may not use the socket.

    Proof: a call to the engine's socket failed before the container had a part in it.

    Fix: start it with `systemctl start docker` or `systemctl --user start podman.socket`; name another socket in
    `DOCKER_HOST`; add the user to the group with `usermod -aG docker USER`.
    """
    if evidence.error_reason != "ENGINE_UNREACHABLE" or "no space left on device" in evidence.error:
        return None
    return reported(
        evidence,
        "The container engine does not answer, or cannot do what it is asked.",
        "Nothing can be started without it; the container itself was never tried.",
        "Start it with `systemctl start docker` or `systemctl --user start podman.socket`",
        keep_hint=True,
    )


@rule("SPEC_INVALID")
def spec_invalid(evidence: Evidence) -> Found | None:
    """The version's spec breaks rules of the API.

    Symptom: 400 INVALID_ARGUMENT, `Field: version.container.image Error: …`. On the original service the same request
    was refused, often with one problem at a time.

    Cause: a field is unknown, misspelt, out of its range, or contradicts another one.

    Proof: the list of violations; nothing was started.

    Fix: correct every field in the list; each entry names the path of its field and what is wanted there.
    """
    if evidence.error_reason != "INVALID_ARGUMENT":
        return None
    return reported(
        evidence,
        "The version's spec breaks rules of the API.",
        "The request was refused before anything was started.",
        "Correct every field that is listed",
    )


@rule("IMAGE_UNAUTHORIZED")
def image_unauthorized(evidence: Evidence) -> Found | None:
    """The registry does not let this machine have the image.

    Symptom: `pull access denied for REPOSITORY, repository does not exist or may require 'docker login'`,
    `unauthorized: authentication required`, `denied: Permission "artifactregistry.repositories.downloadArtifacts"
    denied`. Vertex AI says no more than "Model server terminated"; Kubernetes says `ErrImagePull`.

    Cause: the repository is private and the engine has no login for its registry, or the login has expired. Registries
    answer the same for a repository that does not exist.

    Proof: the registry's answer to the pull.

    Fix: log in as the user that runs modelport: `docker login REGISTRY`, `gcloud auth configure-docker
    REGION-docker.pkg.dev`, `aws ecr get-login-password | docker login --username AWS --password-stdin REGISTRY`.
    """
    said = evidence.error.lower()
    # Docker Hub says "pull access denied" of everything that it does not have, and then that it may not exist.
    refused = (
        evidence.error_reason == "IMAGE_NOT_FOUND"
        and any(word in said for word in _UNPULLABLE)
        and "does not exist" not in said
    )
    if evidence.error_reason != "IMAGE_UNAUTHORIZED" and not refused:
        return None
    registry = _registry(evidence.spec.image)
    return reported(
        evidence,
        f"The registry does not let this machine have `{evidence.spec.image}`.",
        "The repository is private and there is no valid login for it, or it does not exist.",
        f"Log in with `docker login{' ' + registry if registry else ''}`, then try again",
        keep_hint=evidence.error_reason == "IMAGE_UNAUTHORIZED" and not registry,
    )


@rule("IMAGE_NOT_FOUND")
def image_not_found(evidence: Evidence) -> Found | None:
    """The image is neither on this machine nor at its registry.

    Symptom: `manifest unknown`, `manifest for X:latest not found`, `no such image`, `repository X not found`, `lookup
    registry: no such host`. Vertex AI: "Image X not found" or "Model server terminated"; Kubernetes:
    `ImagePullBackOff`, `ErrImageNeverPull`.

    Cause: a typing error in the name, a tag that was never pushed (`latest` is one of them), another region's
    registry, or an image that was built on another machine.

    Proof: the engine looked for the image and pulled it; both failed.

    Fix: list what there is with `docker images`; push the image with `docker push NAME:TAG`, or build it here with
    `docker build -t NAME:TAG .`; then set `container.image` to exactly that name.
    """
    if evidence.error_reason != "IMAGE_NOT_FOUND":
        return None
    image = evidence.spec.image
    return reported(
        evidence,
        f"The image `{image}` is neither on this machine nor at its registry.",
        "The name or the tag is wrong, or the image was not pushed or built here.",
        f"Build it here with `docker build -t {image or 'NAME:TAG'} .`, or correct `container.image`",
        keep_hint=evidence.driver == "process" or image.startswith(("/", ".", "~", "file:")),
    )


@rule("IMAGE_BUILD_FAILED")
def image_build_failed(evidence: Evidence) -> Found | None:
    """The folder's Dockerfile cannot be built.

    Symptom: `The command '/bin/sh -c pip install …' returned a non-zero code: 1`, `executor failed running`,
    `COPY failed: file not found in build context`, `failed to solve: process … did not complete successfully`.

    Cause: an instruction of the Dockerfile failed: a package that does not exist, a file that is not in the build
    context, a base image that cannot be pulled.

    Proof: the engine's build ended with an error; the last lines of its output are shown.

    Fix: correct the instruction that is named; try it with `docker build .` in the same folder.
    """
    if evidence.error_reason != "IMAGE_BUILD_FAILED":
        return None
    return reported(
        evidence,
        "The folder's Dockerfile cannot be built.",
        "One of its instructions failed; the engine's words are below.",
        "Correct the instruction that is named; try it with `docker build .` in that folder",
    )


@rule("ENVIRONMENT_BUILD_FAILED")
def environment_build_failed(evidence: Evidence) -> Found | None:
    """The libraries of a version without a container cannot be installed.

    Symptom: `No solution found when resolving dependencies`, `… was not found in the package registry`, `Failed to
    build …`; where a base image's pip installs, `ERROR: No matching distribution found for …`, `ERROR:
    ResolutionImpossible`, `error: subprocess-exited-with-error` of a `setup.py`.

    Cause: a package of `packageUris` wants other versions than the runtime version pins, or is broken itself; or no
    package index is reached from where modelport runs.

    Proof: the installer's last lines.

    Fix: widen what the package requires, or choose a runtime version that has it; for an index of your own set
    `UV_DEFAULT_INDEX` or `PIP_INDEX_URL`, or name it in `uv.toml` or `pip.conf`, for the control plane.
    """
    if evidence.error_reason != "ENVIRONMENT_BUILD_FAILED":
        return None
    return reported(
        evidence,
        "The libraries of the version cannot be installed.",
        "The installer says why below.",
        "Correct the package that is named, or the package index that is to be used",
        keep_hint=True,
    )


@rule("MODEL_CANNOT_BE_LOADED")
def model_cannot_be_loaded(evidence: Evidence) -> Found | None:
    """Nothing tells which framework the files under deploymentUri are of.

    Symptom: a version without `container` and without `framework`, over a folder such as `model/1/saved_model.pb`, or
    with files of names of one's own.

    Cause: `framework` was left out, and no file in the folder itself has a usual name or ending; what lies in folders
    below is not looked at.

    Proof: the names of the files in the folder.

    Fix: set `framework`; or name the folder in which the model's files themselves lie.
    """
    if evidence.error_reason != "MODEL_CANNOT_BE_LOADED":
        return None
    return reported(
        evidence,
        "Nothing tells which framework the model is of.",
        "No file in the folder has a name that a framework would give it, and `framework` is not set.",
        "Set `framework`, or name the folder in which the model's files lie",
        keep_hint=True,
    )


@rule("ARTIFACT_UNAUTHORIZED")
def artifact_unauthorized(evidence: Evidence) -> Found | None:
    """The artifacts under deploymentUri may not be read.

    Symptom: `Service account X does not have [storage.objects.get] IAM permission(s) to the directory "gs://…"`,
    `AccessDenied`, `403 Forbidden`.

    Cause: modelport itself copies the artifacts, with the credentials in its own environment, and those do not reach
    this bucket, container or folder.

    Proof: the store's answer to listing or reading the artifacts.

    Fix: for gs set `GOOGLE_APPLICATION_CREDENTIALS`; for s3 `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and
    `AWS_REGION`; for az `AZURE_STORAGE_CONNECTION_STRING`, each for the control plane; for file let its user read it.
    """
    if evidence.error_reason != "ARTIFACT_UNAUTHORIZED":
        return None
    return reported(
        evidence,
        f"The artifacts at `{evidence.spec.deployment_uri}` may not be read.",
        "modelport copies them with the credentials of its own environment, and those were refused.",
        "Give the control plane credentials that may list and read them",
        keep_hint=True,
    )


@rule("ARTIFACT_NOT_FOUND")
def artifact_not_found(evidence: Evidence) -> Found | None:
    """There is nothing at deploymentUri.

    Symptom: `gs://bucket/model names no object`, `NoSuchKey`, `The specified bucket does not exist`, "artifact_uri
    does not exist".

    Cause: a typing error, an upload that has not ended, or the name of a file's parent that was left out.

    Proof: the store lists nothing under this URI.

    Fix: list it with `gcloud storage ls URI`, `aws s3 ls URI` or `ls PATH`, and set `deploymentUri` to the folder that
    holds the model's files.
    """
    if evidence.error_reason != "ARTIFACT_NOT_FOUND":
        return None
    return reported(
        evidence,
        f"There is nothing at `{evidence.spec.deployment_uri}`.",
        "The store has no file and no folder of this name.",
        "Set `deploymentUri` to the folder that holds the model's files",
    )


@rule("ARTIFACT_REFUSED")
def artifact_refused(evidence: Evidence) -> Found | None:
    """The artifacts break a limit, or have names that cannot become paths.

    Symptom: `has 120,000 files; at most 10,000`, `has 80,000,000,000 bytes; at most …`, `The link X leaves the
    folder`.

    Cause: deploymentUri names more than the model: a whole bucket, a training run with its checkpoints, a virtual
    environment; or it has links that lead outside.

    Proof: the listing of the artifacts against the limits.

    Fix: name the folder that holds only what the server loads; or raise `artifact_max_files` and
    `artifact_max_bytes` in modelport's settings.
    """
    if evidence.error_reason != "ARTIFACT_REFUSED":
        return None
    return reported(
        evidence,
        "The artifacts break a limit of modelport.",
        "deploymentUri holds more than a model, or names that cannot be copied as they are.",
        "Leave in deploymentUri only what the server loads",
    )


def _registry(image: str) -> str:
    first, slash, _ = image.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else ""


RULES: tuple[Rule, ...] = (
    engine_unreachable,
    spec_invalid,
    image_unauthorized,
    image_not_found,
    image_build_failed,
    environment_build_failed,
    model_cannot_be_loaded,
    artifact_unauthorized,
    artifact_not_found,
    artifact_refused,
)
