"""From evidence to the words of a failed version: phase, exit, last log lines, probe transcript. Pure."""

from __future__ import annotations

from modelport.core.errors import Error, VersionCannotBecomeReady
from modelport.doctor.evidence import Evidence

_HINTS = {
    "image": "Check the image reference, and that the engine may pull it",
    "artifacts": "Check deploymentUri, and the credentials that modelport runs with",
    "start": "Read the log lines; start the container by hand with the same command, args and env",
    "listen": "Listen on 0.0.0.0 and on the port in AIP_HTTP_PORT",
    "health": "Answer 200 on the health route, or set routes.health to the path that does",
    "route": "Look at the gateway with `modelport status`",
}


def summarise(evidence: Evidence) -> Error:
    """Return the failure as an error: one sentence first, then what was seen, bounded."""
    lines = [f"Version `{evidence.version}` cannot become ready ({evidence.phase}): {evidence.error}"]
    if evidence.exits:
        lines.append("Exits: " + "; ".join(str(end) for end in evidence.exits))
    if evidence.health:
        lines.append("Probes:")
        lines += [f"  {probe}" for probe in evidence.health]
    if evidence.log:
        lines.append(f"Last {len(evidence.log)} log lines:")
        lines += [f"  {line.text}" for line in evidence.log]
    elif evidence.phase in ("start", "listen", "health"):
        lines.append("The container wrote nothing to its output.")
    metadata = {
        "phase": evidence.phase,
        "cause": evidence.error,
        "driver": evidence.driver,
        "elapsed_s": f"{evidence.elapsed_s:.1f}",
    }
    if evidence.exits and (code := evidence.exits[-1].code) is not None:
        metadata["exit_code"] = str(code)
    if evidence.error_reason:
        metadata["error_reason"] = evidence.error_reason
    hint = evidence.hint or _HINTS.get(evidence.phase, "")
    return VersionCannotBecomeReady("\n".join(lines), hint=hint, violations=(), **metadata)
