"""What the process driver runs in a folder, and with which environment: pure decisions, no I/O.

A folder has no ENTRYPOINT. Its Dockerfile, where it has one, tells how its author starts it; two of its instructions
and ENV are honoured. Without one, a Python program with a usual name is run. WORKDIR, COPY and RUN are not honoured:
the program runs in the folder itself, with the packages of this Python or of the folder's `.venv`.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from modelport.core.errors import ReplicaCannotStart

USUAL_PROGRAMS = ("main.py", "server.py", "app.py")

# What a program needs to find its tools, its home, its locale, its way out and the certificates on that way. All else
# may be a secret of the control plane and stays outside.
INHERITED = frozenset(
    {
        *("PATH", "HOME", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH"),
        *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    }
)
_DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"

# A continued line: a backslash at its end; comment lines in between are skipped, as Docker does.
_INSTRUCTION = re.compile(r"\s*([A-Za-z]+)\s+(.*)", re.DOTALL)
_LEGACY_ENV = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)\s+(.*)", re.DOTALL)


@dataclass(frozen=True)
class DockerfileStart:
    """How the last stage of a Dockerfile starts; empty where it does not say."""

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Folder:
    """What matters of a folder: `files` are the names in it, `python` is what runs its Python programs."""

    path: str
    files: frozenset[str]
    python: str
    dockerfile: DockerfileStart | None = None


def command_line(folder: Folder, command: tuple[str, ...], args: tuple[str, ...]) -> tuple[str, ...]:
    """Return the program and its arguments, by the rules that Kubernetes has for images.

    `command` replaces the folder's entrypoint and its default arguments, `args` only the arguments. A bare `python`
    or `python3` is the folder's `.venv/bin/python` if it has one, else the Python that runs modelport.

    Raises:
        ReplicaCannotStart: neither the folder nor the version says what to run.
    """
    entrypoint, cmd = _defaults(folder)
    line = (*command, *args) if command else (*entrypoint, *(args or cmd))
    if not line:
        raise ReplicaCannotStart(
            f"`{folder.path}` does not say what to run: no CMD in a Dockerfile, none of {', '.join(USUAL_PROGRAMS)}",
            hint='Set container.command, such as ["python", "serve.py"]',
        )
    if line[0] in ("python", "python3"):
        return (folder.python, *line[1:])
    return line


def environment(
    folder: Folder, invocation: Mapping[str, str], *, inherited: Mapping[str, str], tools: str
) -> dict[str, str]:
    """Return the replica's whole environment; what comes later wins.

    The few inherited variables; PATH led by the folder's `.venv` and by `tools`, the programs installed beside
    modelport; PYTHONUNBUFFERED, so that a crash loses no output; the Dockerfile's ENV; the invocation.
    """
    env = {name: value for name, value in inherited.items() if name in INHERITED}
    env["PATH"] = ":".join((f"{folder.path}/.venv/bin", tools, env.get("PATH") or _DEFAULT_PATH))
    env["PYTHONUNBUFFERED"] = "1"
    if folder.dockerfile:
        env |= folder.dockerfile.env
    return env | dict(invocation)


def parse_dockerfile(text: str) -> DockerfileStart:
    """Read ENTRYPOINT, CMD and ENV of the last stage.

    An ENV that refers to other variables, and PATH, which would name folders of the image, are left out.
    """
    start = DockerfileStart()
    for name, rest in _instructions(text):
        if name == "FROM":
            start = DockerfileStart()
        elif name == "ENTRYPOINT":
            start = DockerfileStart(_program(rest), start.cmd, start.env)
        elif name == "CMD":
            start = DockerfileStart(start.entrypoint, _program(rest), start.env)
        elif name == "ENV":
            start = DockerfileStart(start.entrypoint, start.cmd, start.env | _variables(rest))
    return start


def _defaults(folder: Folder) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if folder.dockerfile and (folder.dockerfile.entrypoint or folder.dockerfile.cmd):
        return folder.dockerfile.entrypoint, folder.dockerfile.cmd
    program = next((name for name in USUAL_PROGRAMS if name in folder.files), None)
    return ((folder.python, program) if program else ()), ()


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    pending = ""
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            continue
        if line.rstrip().endswith("\\"):
            pending += line.rstrip()[:-1] + " "
            continue
        match = _INSTRUCTION.fullmatch(pending + line)
        pending = ""
        if match:
            yield match[1].upper(), match[2].strip()


def _program(rest: str) -> tuple[str, ...]:
    """Read the exec form, a JSON list of strings; anything else is a line for the shell."""
    try:
        parts = json.loads(rest)
    except ValueError:
        parts = None
    if isinstance(parts, list) and all(isinstance(part, str) for part in parts):
        return tuple(parts)
    return ("/bin/sh", "-c", rest) if rest else ()


def _variables(rest: str) -> dict[str, str]:
    try:
        words = shlex.split(rest)
    except ValueError:  # an open quotation mark
        return {}
    if words and "=" not in words[0] and (legacy := _LEGACY_ENV.fullmatch(rest)):
        pairs = [(legacy[1], legacy[2])]
    else:
        pairs = [(name, value) for name, _, value in (word.partition("=") for word in words)]
    return {name: value for name, value in pairs if name and name != "PATH" and "$" not in value}
