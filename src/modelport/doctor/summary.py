"""From a diagnosis to the error of a failed version: one paragraph for people, the parts of it for programs. Pure."""

from __future__ import annotations

from modelport.core.errors import Error, VersionCannotBecomeReady
from modelport.doctor.evidence import Evidence
from modelport.doctor.findings import Diagnosis, Finding

_HINTS = {
    "image": "Check the image reference, and that the engine may pull it",
    "artifacts": "Check deploymentUri, and the credentials that modelport runs with",
    "start": "Read the log lines; start the container by hand with the same command, args and env",
    "listen": "Listen on 0.0.0.0 and on the port in AIP_HTTP_PORT",
    "health": "Answer 200 on the health route, or set routes.health to the path that does",
    "route": "Look at the gateway with `modelport status`",
}
_LOG_LINES = 20
_LINE = 500
_PROOF = 5


def summarise(evidence: Evidence, diagnosis: Diagnosis) -> Error:
    """Return the failure as an error whose reason is the code of the cause, where one was found."""
    metadata = {
        "phase": evidence.phase.value,
        "driver": evidence.driver,
        "elapsed_s": f"{evidence.elapsed_s:.1f}",
    }
    if evidence.exit is not None and evidence.exit.code is not None:
        metadata["exit_code"] = str(evidence.exit.code)
    if evidence.error_reason:
        metadata["error_reason"] = evidence.error_reason
    log = tuple(line.text[:_LINE] for line in evidence.log[-_LOG_LINES:])
    cause = diagnosis.cause
    if cause is None:
        message = f"Version `{evidence.version}` cannot become ready ({evidence.phase}): {evidence.error}"
        hint = evidence.hint or _HINTS.get(evidence.phase, "")
        return VersionCannotBecomeReady(message, hint=hint, violations=(), debug=log, cause=evidence.error, **metadata)
    others = [one.code for one in diagnosis.findings if one is not cause]
    return VersionCannotBecomeReady(
        paragraph(evidence.version, cause),
        hint=cause.remedy.text,
        violations=(),
        finding=cause.code,
        debug=log,
        **metadata,
        what=cause.summary,
        cause=cause.cause,
        evidence="\n".join(cause.evidence),
        remedy=cause.remedy.text,
        **({"also": ", ".join(others)} if others else {}),
    )


def paragraph(version: str, cause: Finding) -> str:
    """Return cause, proof and fix in one paragraph."""
    proof = "; ".join(line.strip() for line in cause.evidence[:_PROOF])
    parts = (
        f"Version `{version}` cannot become ready: {cause.code}. {_sentence(cause.summary)}",
        _sentence(cause.cause),
        f"Proof: {_sentence(proof)}" if proof else "",
        f"Fix: {_sentence(' '.join(cause.remedy.text.split()))}",
    )
    return " ".join(part for part in parts if part)


def _sentence(text: str) -> str:
    text = text.strip()
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."
