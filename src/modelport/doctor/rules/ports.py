"""Rules for a server that cannot have its port: taken by another one, or reserved for privileged programs."""

from __future__ import annotations

import re

from modelport.doctor.evidence import Evidence
from modelport.doctor.findings import Remedy
from modelport.doctor.last_words import died, fatal, proof, raised_by, said
from modelport.doctor.rule import Found, Rule, rule

_FIRST_PRIVILEGED_FREE = 1024
_IN_USE = (
    # CPython with Flask, uvicorn, http.server; gunicorn before it gives up
    r"\[Errno (?:98|48)\] .*[Aa]ddress already in use",
    r"^OSError: \[Errno (?:98|48)\] Address already in use",
    r"EADDRINUSE: address already in use \S*?:(?P<port>\d+)$",  # node
    r"bind\(\) to \S*?:(?P<port>\d+) failed \(98: ",  # nginx 1.x
    r"listen tcp \S*?:(?P<port>\d+): bind: address already in use",  # Go
    r"^Port (?P<port>\d+) is in use by another program\.",  # Werkzeug 2 and later
    r"^java\.net\.BindException: Address already in use|^BindException: Address already in use",
    r"Connection in use: \('[^']*', (?P<port>\d+)\)",  # gunicorn
)
_PRIVILEGED = (
    r"EACCES: permission denied \S*?:(?P<port>\d+)$",  # node
    r"bind\(\) to \S*?:(?P<port>\d+) failed \(13: ",  # nginx
    r"listen tcp \S*?:(?P<port>\d+): bind: permission denied",  # Go
    r"\[Errno 13\] error while attempting to bind on address \('[^']*', (?P<port>\d+)\): permission denied",  # asyncio
    r"\(13\)Permission denied: AH00072: make_sock: could not bind to address \S*:(?P<port>\d+)",  # Apache httpd 2.4
    r"Can't connect to \('[^']*', (?P<port>\d+)\)",  # gunicorn, behind `[Errno 13] Permission denied`
)


@rule("ADDRESS_IN_USE")
def address_in_use(evidence: Evidence) -> Found | None:
    """Two servers of the container want the same port.

    Symptom: `[Errno 98] Address already in use`, `Error: listen EADDRINUSE: address already in use :::8080`, `bind() to
    0.0.0.0:8080 failed (98: Address already in use)`, `Connection in use: ('0.0.0.0', 8080)`.

    Cause: the server is started twice, once by the module itself and once by the command; or nginx and the application
    behind it were given the same port; or a reloader runs a second copy.

    Proof: the server that came second said so and ended.

    Fix: start one server only, with `if __name__ == "__main__":` around `app.run(…)`; or give the one behind the proxy
    another port: `gunicorn --bind 127.0.0.1:9000 main:app`.
    """
    found = raised_by(evidence, *_IN_USE)
    # Servers that wait until the port is free say so too; what ended this one may be something else.
    match = found[1] if found else None if fatal(evidence) else said(evidence, *_IN_USE, within=12)
    if match is None or not died(evidence):
        return None
    port = match.groupdict().get("port") or str(evidence.spec.port)
    return Found(
        summary=f"Two servers of the container want port {port}.",
        cause="The one that comes second cannot have the port, and ends.",
        remedy='Start one server: write `if __name__ == "__main__":` before `app.run(…)`, or give one another port',
        evidence=proof(evidence, str(found[0]) if found else match.string),
    )


@rule("PRIVILEGED_PORT")
def privileged_port(evidence: Evidence) -> Found | None:
    """The server wants a port below 1024, which it may not have.

    Symptom: `Error: listen EACCES: permission denied 0.0.0.0:80`, `bind() to 0.0.0.0:80 failed (13: Permission
    denied)`, `PermissionError: [Errno 13] Permission denied` in a `bind` call, `listen tcp :80: bind: permission
    denied`.

    Cause: ports below 1024 need a capability that containers of modelport, like those of other platforms, do not have.

    Proof: the refusal to bind, with the number of the port.

    Fix: listen on the port in AIP_HTTP_PORT, 8080 by default, and not on 80; for nginx `listen 8080;`.
    """
    found = raised_by(evidence, *_PRIVILEGED)
    match = found[1] if found else said(evidence, *_PRIVILEGED, within=12)
    port = int(match["port"]) if match else 0
    text = str(found[0]) if found else match.string if match else ""
    if match is None:
        bound = raised_by(evidence, r"^PermissionError: \[Errno 13\] Permission denied$")
        if bound is None or not any(re.search(r"\bbind\(|in \w*bind\b", frame) for frame in bound[0].frames):
            return None
        text, port = str(bound[0]), evidence.spec.port
    if "Can't connect" in text and not said(evidence, r"\[Errno 13\] Permission denied", within=12):
        return None
    if match is not None and port >= _FIRST_PRIVILEGED_FREE:
        return None
    wanted = port if port < _FIRST_PRIVILEGED_FREE else None
    patch = (("replace", "/container/ports", [{"containerPort": 8080}]),) if evidence.spec.port == wanted else ()
    return Found(
        summary=f"The server wants port {wanted}, which it may not have."
        if wanted
        else "The server wants a port below 1024, which it may not have.",
        cause="Ports below 1024 need a privilege that containers here do not have.",
        remedy=Remedy(f"Listen on port {8080 if patch else evidence.spec.port}", patch),
        evidence=proof(evidence, text),
    )


RULES: tuple[Rule, ...] = (privileged_port, address_in_use)
