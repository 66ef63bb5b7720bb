"""Logins as `docker login` and its helpers keep them."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from modelport.drivers.registry_login import find_login, qualified, stored_login

ANN = {"username": "ann", "password": "se:cret"}
AUTH = {"auth": base64.b64encode(b"ann:se:cret").decode()}


@pytest.mark.parametrize(
    ("image", "full"),
    [
        ("iris", "docker.io/library/iris"),
        ("iris:1", "docker.io/library/iris:1"),
        ("team/iris", "docker.io/team/iris"),
        ("localhost/iris", "localhost/iris"),
        ("registry.example/iris", "registry.example/iris"),
        ("registry:5000/team/iris@sha256:00", "registry:5000/team/iris@sha256:00"),
    ],
)
def test_an_image_name_is_completed_as_engines_do(image: str, full: str) -> None:
    assert qualified(image) == full


@pytest.mark.parametrize(
    ("config", "login"),
    [
        ({"auths": {"r.example": AUTH}}, ANN),
        ({"auths": {"https://r.example": AUTH}}, ANN),
        ({"auths": {"https://r.example/v1/": AUTH}}, ANN),
        ({"auths": {"r.example": {"identitytoken": "t"}}}, {"identitytoken": "t"}),
        ({"auths": {"other.example": AUTH}}, None),
        ({"auths": {"r.example": {}}}, None),
        ({"auths": {"r.example": {"auth": "!"}}}, None),
        ({"auths": {"r.example": {"auth": "/w=="}}}, None),
        ({"auths": None}, None),
        ({}, None),
    ],
)
def test_a_login_is_read_from_the_configuration(config: dict[str, Any], login: dict[str, str] | None) -> None:
    assert stored_login(config, "r.example") == login


@pytest.mark.anyio
@pytest.mark.parametrize("text", [None, "", "no json", "[]", "{}"])
async def test_without_a_readable_configuration_there_is_no_login(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "config.json"
    if text is not None:
        file.write_text(text)
    assert await find_login("r.example/iris:1", file) is None


@pytest.mark.anyio
async def test_a_login_to_the_hub_has_its_own_key(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"auths": {"https://index.docker.io/v1/": AUTH}}))
    assert await find_login(qualified("iris"), file) == ANN


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answer", "login"),
    [
        ('{"Username": "ann", "Secret": "se:cret"}', ANN),
        ('{"Username": "<token>", "Secret": "t"}', {"identitytoken": "t"}),
        ("credentials not found", None),
        ("{}", None),
    ],
)
async def test_a_helper_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, login: dict[str, str] | None
) -> None:
    helper = tmp_path / "docker-credential-test"
    helper.write_text(f"#!/bin/sh\nread registry\n[ \"$registry\" = r.example ] || exit 1\necho '{answer}'\n")
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"credHelpers": {"r.example": "test"}}))
    assert await find_login("r.example/iris:1", file) == login
    file.write_text(json.dumps({"credsStore": "test"}))
    assert await find_login("r.example/iris:1", file) == login
    assert await find_login("other.example/iris:1", file) is None
