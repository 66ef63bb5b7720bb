"""Logins for image registries, as `docker login` keeps them: the engine does not know them, so a pull brings them."""

from __future__ import annotations

import base64
import binascii
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

_HUB = "docker.io"
# Under which a login to Docker Hub is kept.
_HUB_KEY = "https://index.docker.io/v1/"
_HELPER_S = 15


def qualified(image: str) -> str:
    """Return the image's name with its registry, as engines complete it: `iris` is `docker.io/library/iris`."""
    first, slash, _ = image.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return image
    return f"{_HUB}/{image}" if slash else f"{_HUB}/library/{image}"


async def find_login(image: str, config_file: Path) -> dict[str, str] | None:
    """Return the login for the registry of a qualified image; None where there is none, or none that can be read."""
    config = await anyio.to_thread.run_sync(_read_config, config_file)
    registry = image.partition("/")[0]
    key = _HUB_KEY if registry == _HUB else registry
    if helper := _helper(config, key):
        return await _ask_helper(helper, key)
    return stored_login(config, key)


def stored_login(config: Mapping[str, Any], key: str) -> dict[str, str] | None:
    """Return the login that the configuration itself holds."""
    logins = config.get("auths") or {}
    # Old versions of Docker wrote URLs.
    entry = logins.get(key) or logins.get(f"https://{key}") or logins.get(f"https://{key}/v1/") or {}
    if token := entry.get("identitytoken"):
        return {"identitytoken": str(token)}
    try:
        user, colon, password = base64.b64decode(entry.get("auth") or "").decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return {"username": user, "password": password} if colon else None


def _read_config(file: Path) -> Mapping[str, Any]:
    try:
        config = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}


def _helper(config: Mapping[str, Any], key: str) -> str | None:
    name = (config.get("credHelpers") or {}).get(key) or config.get("credsStore")
    return shutil.which(f"docker-credential-{name}") if name else None


async def _ask_helper(helper: str, key: str) -> dict[str, str] | None:
    with anyio.move_on_after(_HELPER_S):
        answer = await anyio.run_process([helper, "get"], input=key.encode(), check=False)
        if answer.returncode != 0:
            return None
        try:
            found = json.loads(answer.stdout)
            user, secret = str(found["Username"]), str(found["Secret"])
        except (ValueError, KeyError, TypeError):
            return None
        return {"identitytoken": secret} if user == "<token>" else {"username": user, "password": secret}
    return None
