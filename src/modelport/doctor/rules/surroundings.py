"""Rules for what a container's surroundings forbid: to write, to read, to reach a network."""

from __future__ import annotations

import re

from modelport.doctor.evidence import Evidence
from modelport.doctor.findings import Remedy
from modelport.doctor.last_words import failed, proof, raised_by, said
from modelport.doctor.log_text import Raised
from modelport.doctor.rule import Found, Rule, rule

_READ_ONLY = (
    r"^OSError: \[Errno 30\] Read-only file system(?:: b?['\"](?P<path>[^'\"]+)['\"])?",  # CPython 3
    r"^Error: EROFS: read-only file system, \w+ '(?P<path>[^']+)'",  # node
    r"^(?:FileSystemException|IOException|FileNotFoundException): (?P<path>/[^:\s]+).*Read-only file system",  # java
)
_READ_ONLY_LINES = (
    # nginx, then GNU coreutils, busybox and dash
    r"\"?(?P<path>/[^\"\s]+)\"? failed \(30: Read-only file system\)",
    r"(?:‘|'|\"|: |^)(?P<path>/[^'\"’:\s]+)['\"’]?: Read-only file system$",
)
_DENIED = (
    r"^PermissionError: \[Errno (?:13|1)\] [\w ]+: b?['\"](?P<path>[^'\"]+)['\"]",
    r"^Error: (?:EACCES: permission denied|EPERM: operation not permitted), \w+ '(?P<path>[^']+)'",
    r"^(?:AccessDeniedException): (?P<path>/\S+)",
    r"^FileNotFoundException: (?P<path>/\S+) \(Permission denied\)",
    r"^(?P<nothing>PermissionError): \[Errno 1\] Operation not permitted$",
)
_DENIED_LINES = (
    # nginx without privileges, then the shell and coreutils
    r"\"(?P<path>/[^\"]+)\"(?:, \d+\))? failed \((?:13: Permission denied|1: Operation not permitted)\)",
    r"(?:cannot create (?:directory )?|touch: cannot touch |mkdir: can't create directory )['‘]?"
    r"(?P<path>/[^'’:\s]+)['’]?: Permission denied$",
    r"^[\w./-]+: (?:line )?\d+: (?:cannot create )?(?P<path>/[^:\s]+): Permission denied$",
    r"setgroups\(\) failed|setgid\(\d+\) failed|setuid\(\d+\) failed|initgroups\(.*\) failed",
)
# Libraries that write a cache, by what its path has in it: the variable that says where.
_CACHES = (
    ("huggingface", "HF_HOME", "/tmp/huggingface"),
    ("transformers", "HF_HOME", "/tmp/huggingface"),
    ("torch", "TORCH_HOME", "/tmp/torch"),
    ("triton", "TRITON_CACHE_DIR", "/tmp/triton"),
    ("matplotlib", "MPLCONFIGDIR", "/tmp/matplotlib"),
    ("numba", "NUMBA_CACHE_DIR", "/tmp/numba"),
    ("nltk_data", "NLTK_DATA", "/tmp/nltk_data"),
    ("keras", "KERAS_HOME", "/tmp/keras"),
    ("vllm", "VLLM_CACHE_ROOT", "/tmp/vllm"),
    ("pip", "PIP_CACHE_DIR", "/tmp/pip"),
    ("npm", "npm_config_cache", "/tmp/npm"),
    (".cache", "XDG_CACHE_HOME", "/tmp/cache"),
    (".config", "XDG_CONFIG_HOME", "/tmp/config"),
    (".local", "HOME", "/tmp"),
)
_UNREACHABLE = (
    # CPython's resolver and sockets; urllib3 2 and requests
    r"^gaierror: \[Errno -(?:2|3|5)\] ",
    r"<urlopen error \[Errno -(?:2|3|5)\] ",
    r"Failed to resolve '(?P<host>[^']+)'",
    r"^(?:ConnectionError|MaxRetryError|ConnectTimeout(?:Error)?|SSLError): .*host='(?P<host>[^']+)', port=\d+",
    r"^(?:ConnectError|ClientConnectorError|ClientConnectorDNSError|ConnectTimeout)\b.*(?:Name or service not known"
    r"|Temporary failure in name resolution|Cannot connect to host (?P<host>[^:\s]+)|All connection attempts failed)",
    r"^OSError: \[Errno 101\] Network is unreachable",
    r"<urlopen error \[Errno 101\] Network is unreachable>",
    # huggingface_hub, google-auth, botocore
    r"We couldn't connect to 'https?://(?P<host>[^/']+)",
    r"^LocalEntryNotFoundError: ",
    r"^EndpointConnectionError: Could not connect to the endpoint URL: \"https?://(?P<host>[^/:\"]+)",
    r"^(?:TransportError|ServiceUnavailable): .*(?:Failed to (?:resolve|retrieve)|DNS resolution failed)",
    # node, java
    r"^Error: getaddrinfo (?:ENOTFOUND|EAI_AGAIN) (?P<host>\S+)",
    r"^UnknownHostException: (?P<host>[\w.-]+)",
)
_UNREACHABLE_LINES = (
    r"^curl: \((?:6|7|28)\) (?:Could not resolve host: (?P<host>\S+)|.*)$",
    r"^wget: (?:unable to resolve host address|bad address) ['‘](?P<host>[^'’]+)",
    r"dial tcp: lookup (?P<host>[\w.-]+)(?: on \S+)?: ",
    r"Failed to resolve '(?P<host>[^']+)'",
    r"fatal: unable to access 'https?://(?P<host>[^/']+).*Could not resolve host",
)
_LOCAL = re.compile(r"^(?:localhost|127\.|0\.0\.0\.0|::1)")


@rule("READ_ONLY_FILE_SYSTEM")
def read_only_file_system(evidence: Evidence) -> Found | None:
    """The program writes to a place that can only be read.

    Symptom: `OSError: [Errno 30] Read-only file system: '/mnt/models/cache'`, `EROFS: read-only file system`, `mkdir()
    "/var/cache/nginx/client_temp" failed (30: Read-only file system)`.

    Cause: the artifacts under AIP_STORAGE_URI are mounted for reading only, and all replicas share them; libraries like
    to write caches, locks and compiled copies beside a model.

    Proof: the error of writing ended the program, and names the path.

    Fix: write to `/tmp`; send caches there with `{"name": "HF_HOME", "value": "/tmp/huggingface"}` in container.env;
    copy the model to `/tmp` first if it must be changed.
    """
    found = raised_by(evidence, *_READ_ONLY)
    match = found[1] if found else said(evidence, *_READ_ONLY_LINES, within=8)
    if match is None:
        return None
    path = match.groupdict().get("path") or ""
    root = evidence.spec.storage_uri.rstrip("/")
    inside = bool(root) and path.startswith(root)
    return Found(
        summary=f"The program writes to `{path or 'a place'}`, which can only be read.",
        cause="The artifacts are mounted for reading only." if inside else "That file system is mounted read-only.",
        remedy=_elsewhere(path),
        evidence=proof(evidence, str(found[0]) if found else match.string),
    )


@rule("PERMISSION_DENIED")
def permission_denied(evidence: Evidence) -> Found | None:
    """The program may not read or write a file that it needs.

    Symptom: `PermissionError: [Errno 13] Permission denied: '/.cache/huggingface'`, `EACCES: permission denied, mkdir
    '/app/data'`, `There was a problem when trying to write in your cache folder`, `mkdir() "/var/cache/nginx/…" failed
    (13: Permission denied)`, `chown(…) failed (1: Operation not permitted)`.

    Cause: the image runs as a user who does not own the path, often because COPY gives files to root, or because this
    user has no home folder; or the program wants to change owners or users, for which containers have no capability.

    Proof: the refusal ended the program, and names the path.

    Fix: `COPY --chown=USER . /app` or `RUN chown -R USER /app` before `USER`; send caches to `/tmp` with container.env,
    such as `HF_HOME=/tmp/huggingface` or `HOME=/tmp`; for nginx use `nginxinc/nginx-unprivileged`.
    """
    found = raised_by(evidence, *_DENIED)
    match = found[1] if found else said(evidence, *_DENIED_LINES, within=8)
    if match is None or (found and _binds(found[0])):
        return None
    path = match.groupdict().get("path") or ""
    facts = evidence.facts
    user = (facts.user if facts else "") or (evidence.image.user if evidence.image else "")
    return Found(
        summary=f"The program may not use `{path}`."
        if path
        else "The program may not do what it needs privileges for.",
        cause=f"The container runs as user `{user}`, to whom it does not belong."
        if user
        else "It belongs to another user, or needs a capability that containers here do not have.",
        remedy=_elsewhere(path, user),
        evidence=proof(evidence, str(found[0]) if found else match.string),
    )


@rule("NO_EGRESS")
def no_egress(evidence: Evidence) -> Found | None:
    """The program needs another machine while it starts, and cannot reach it.

    Symptom: `Failed to resolve 'huggingface.co'`, `socket.gaierror: [Errno -3] Temporary failure in name resolution`,
    `We couldn't connect to 'https://huggingface.co' to load this file`, `getaddrinfo ENOTFOUND`, `Network is
    unreachable`; on Vertex AI and SageMaker a hang until the deadline.

    Cause: the container has no way out, or no name service, and the program downloads its model, or talks to a
    database, before it serves.

    Proof: the failed connection is what ended the program, or what it repeats while it does not serve.

    Fix: put the model into the image, `RUN huggingface-cli download ORG/MODEL --local-dir /model`, or under
    `deploymentUri` and load it from AIP_STORAGE_URI; set `HF_HUB_OFFLINE=1`.
    """
    if not failed(evidence):
        return None
    found = raised_by(evidence, *_UNREACHABLE)
    match = found[1] if found else said(evidence, *_UNREACHABLE_LINES, within=5)
    if match is None:
        return None
    host = next((one for one in _hosts(evidence, match) if one), "")
    if _LOCAL.match(host):
        return None
    return Found(
        summary=f"The program needs {f'`{host}`' if host else 'another machine'} while it starts, and cannot reach it.",
        cause="The container has no way to it, or its name is not known there.",
        remedy="Put what it downloads into the image or under deploymentUri, and load it from AIP_STORAGE_URI",
        evidence=proof(evidence, str(found[0]) if found else match.string),
    )


def _hosts(evidence: Evidence, match: re.Match[str]) -> tuple[str, ...]:
    behind = raised_by(evidence, r"Failed to resolve '(?P<host>[^']+)'", r"host='(?P<host>[^']+)'")
    return (match.groupdict().get("host") or "", behind[1]["host"] if behind else "")


def _elsewhere(path: str, user: str = "") -> Remedy:
    """Return how to let a library write where it may, or whom to give the path."""
    for part, variable, value in _CACHES:
        if part in path:
            entry = {"name": variable, "value": value}
            return Remedy(f"Set `{variable}={value}` in container.env", (("add", "/container/env/-", entry),))
    if path.startswith(("/root", "/nonexistent", "/home")):
        return Remedy(
            "Set `HOME=/tmp` in container.env", (("add", "/container/env/-", {"name": "HOME", "value": "/tmp"}),)
        )
    if "nginx" in path:
        return Remedy(
            "Build on `nginxinc/nginx-unprivileged`, or let nginx write to /tmp (`client_body_temp_path /tmp/…`)"
        )
    if user:
        return Remedy(f"Write `RUN chown -R {user} {path or '/app'}` into the Dockerfile, before USER")
    return Remedy("Write to /tmp instead, or give the path to the user of the image with `COPY --chown=USER`")


def _binds(raised: Raised) -> bool:
    return any(re.search(r"\bbind\(", frame) for frame in raised.frames)


RULES: tuple[Rule, ...] = (read_only_file_system, permission_denied, no_egress)
