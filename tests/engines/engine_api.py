"""The few engine calls that tests need apart from the driver: ping, build, import, remove; synchronous, over httpx."""

import io
import json
import tarfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import httpx


def client(engine: str, *, timeout_s: float = 600) -> httpx.Client:
    """Return an HTTP client for `unix://…` or `tcp://…`."""
    if engine.startswith("unix://"):
        transport = httpx.HTTPTransport(uds=engine.removeprefix("unix://"))
        return httpx.Client(transport=transport, base_url="http://engine", timeout=timeout_s)
    return httpx.Client(base_url=engine.replace("tcp://", "http://", 1), timeout=timeout_s)


def answers(engine: str) -> bool:
    try:
        with client(engine, timeout_s=5) as http:
            return http.get("/_ping").status_code == 200
    except httpx.TransportError:
        return False


def has_image(engine: str, image: str) -> bool:
    with client(engine) as http:
        return http.get(f"/images/{image}/json").status_code == 200


def import_image(engine: str, tar: Path, image: str) -> None:
    """Make an image of one layer from the tar file of a root file system."""
    repository, _, tag = image.rpartition(":")
    with client(engine) as http, tar.open("rb") as body:
        response = http.post(
            "/images/create",
            params={"fromSrc": "-", "repo": repository, "tag": tag},
            content=body,
            headers={"Content-Type": "application/x-tar"},
        )
        _require_success(response)
    # Podman 4.3 imports without the name.
    tag_image(engine, json.loads(response.text.splitlines()[-1])["status"], image)


def build_image(
    engine: str,
    folder: Path,
    tag: str,
    buildargs: Mapping[str, str] | None = None,
    *,
    platform: str = "",
    cache: bool = True,
) -> str:
    """Build the Dockerfile in `folder`, for the engine's own platform or another, and return the image's id."""
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        tar.add(folder, arcname=".")
    context.seek(0)
    params = {"t": tag, "buildargs": json.dumps(dict(buildargs or {})), "forcerm": "true"}
    if platform:
        params["platform"] = platform
    if not cache:
        params["nocache"] = "true"
    with client(engine) as http:
        response = http.post("/build", params=params, content=context, headers={"Content-Type": "application/x-tar"})
        _require_success(response)
        messages = [json.loads(line) for line in response.text.splitlines() if line.strip()]
        if any("error" in message for message in messages):
            output = "".join(message.get("stream") or message.get("error") or "" for message in messages)
            raise RuntimeError(f"{tag} could not be built:\n{output[-3000:]}")
        return str(_require_success(http.get(f"/images/{tag}/json")).json()["Id"])


def tag_image(engine: str, image: str, name: str) -> None:
    repository, _, tag = name.rpartition(":")
    with client(engine) as http:
        _require_success(http.post(f"/images/{image}/tag", params={"repo": repository, "tag": tag}))


def remove_image(engine: str, image: str) -> None:
    with client(engine) as http:
        response = http.delete(f"/images/{image}", params={"force": "true"})
        if response.status_code != 404:
            _require_success(response)


def container_names(engine: str, *, images: Collection[str] = ()) -> Iterator[str]:
    """Yield the names of all containers, running or dead; with `images`, of those made of images with these ids."""
    with client(engine) as http:
        for container in _require_success(http.get("/containers/json", params={"all": "true"})).json():
            if not images or container["ImageID"] in images:
                yield container["Names"][0].removeprefix("/")


def inspect_container(engine: str, name: str) -> dict[str, object]:
    with client(engine) as http:
        found: dict[str, object] = _require_success(http.get(f"/containers/{name}/json")).json()
        return found


def remove_environments(engine: str) -> None:
    """Remove images of environments, which each change of modelport makes anew, and images without a name."""
    with client(engine) as http:
        images = _require_success(http.get("/images/json")).json()
        for image in images:
            if any(str(tag).startswith("localhost/modelport-environment:") for tag in image.get("RepoTags") or ()):
                http.delete(f"/images/{image['Id']}", params={"force": "true"})
        http.post("/images/prune", params={"filters": json.dumps({"dangling": ["true"]})})


def remove_all_containers(engine: str) -> None:
    """Empty an engine that belongs to the tests alone."""
    for name in container_names(engine):
        with client(engine) as http:
            http.delete(f"/containers/{name}", params={"force": "true", "v": "true"})


def _require_success(response: httpx.Response) -> httpx.Response:
    if response.is_error:
        raise RuntimeError(f"{response.request.method} {response.request.url.path}: {response.text[-1000:]}")
    return response
