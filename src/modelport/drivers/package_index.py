"""Where packages come from: the configuration of pip, in the words of uv, which installs but does not read it.

Who has told pip of an index, a proxy or a certificate need not say it again. What is said to uv itself (`UV_*`
variables, `uv.toml`) is read by uv. Sources: pip's documentation of its configuration, uv's of its variables.
"""

from __future__ import annotations

import configparser
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

_SECTIONS = ("global", "install")  # the later one wins
_VARIABLE = "PIP_"
_TRUE = ("1", "true", "yes", "on")
_LOCAL_INDEXES = ("extra-index-url", "find-links")
# pip's option: uv's variable, and what stands between several values.
_SAME = {
    "index-url": ("UV_DEFAULT_INDEX", ""),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "constraint": ("UV_CONSTRAINT", " "),
    "cert": ("SSL_CERT_FILE", ""),
    "client-cert": ("SSL_CLIENT_CERT", ""),
    "proxy": ("ALL_PROXY", ""),
    "keyring-provider": ("UV_KEYRING_PROVIDER", ""),
    "default-timeout": ("UV_HTTP_TIMEOUT", ""),
    "timeout": ("UV_HTTP_TIMEOUT", ""),
}


def uv_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what pip is configured to do here as variables for uv; those that `environ` has itself are left alone."""
    options = pip_options(environ)
    variables = {}
    for option, (name, separator) in _SAME.items():
        values = options.get(option, "").split() if separator else [options.get(option, "")]
        if option in _LOCAL_INDEXES:
            values = [value for value in values if _is_there(value)]
        if name == "UV_HTTP_TIMEOUT":
            values = [value for value in values if value.isdecimal()]  # uv takes whole seconds
        if any(values):
            variables[name] = separator.join(values)
    if options.get("no-index", "").lower() in _TRUE:
        variables["UV_NO_INDEX"] = "1"
    if "UV_INDEX" in variables:
        # As pip does it: the best version of all indexes, not the one of the first that knows the name.
        variables["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return {name: value for name, value in variables.items() if name not in environ}


def pip_options(environ: Mapping[str, str]) -> dict[str, str]:
    """Return pip's options for installing, by their long names: `PIP_*` wins over files, a later file over others."""
    options: dict[str, dict[str, str]] = {section: {} for section in _SECTIONS}
    for file in _files(environ):
        parser = configparser.RawConfigParser()
        try:
            parser.read(file, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError):
            continue  # pip would complain of it
        for section in filter(parser.has_section, _SECTIONS):
            options[section].update(parser.items(section))
    variables = {
        name.removeprefix(_VARIABLE).lower(): value for name, value in environ.items() if name.startswith(_VARIABLE)
    }
    merged = {**options["global"], **options["install"], **variables}
    return {name.replace("_", "-"): value for name, value in merged.items() if value}


def _files(environ: Mapping[str, str]) -> list[Path]:
    own = environ.get("PIP_CONFIG_FILE", "")
    if own == os.devnull:  # pip's way to say: none
        return []
    home = Path(environ.get("HOME", "/nonexistent"))
    shared = environ.get("XDG_CONFIG_DIRS", "") or "/etc/xdg"
    return [
        *(Path(folder, "pip", "pip.conf") for folder in reversed(shared.split(os.pathsep)) if folder),
        Path("/etc/pip.conf"),
        home / ".pip" / "pip.conf",
        Path(environ.get("XDG_CONFIG_HOME", "") or home / ".config") / "pip" / "pip.conf",
        Path(sys.prefix, "pip.conf"),
        *([Path(own)] if own else []),
    ]


def _is_there(place: str) -> bool:
    """Return whether a place may be asked: pip passes over folders that are not there, uv fails."""
    url = urlsplit(place)
    if url.scheme not in ("", "file"):
        return True
    return Path(unquote(url.path) if url.scheme else place).exists()
