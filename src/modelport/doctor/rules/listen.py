"""Rules for servers that run and cannot be reached: wrong address, wrong port, or no listening socket at all."""

from __future__ import annotations

from modelport.core.facts import ListeningSocket
from modelport.doctor.evidence import Evidence
from modelport.doctor.rule import Found, Rule, rule


@rule("LISTENS_ON_LOOPBACK")
def listens_on_loopback(evidence: Evidence) -> Found | None:
    """The server accepts connections from inside its container only.

    Symptom: the version never becomes ready, and the container's log looks fine: `Running on http://127.0.0.1:8080`,
    `Uvicorn running on http://127.0.0.1:8000`, `Listening at: http://127.0.0.1:8000`. Elsewhere: "Model server never
    became ready. Please validate that your model file or container configuration are valid" (Vertex AI), "did not pass
    the ping health check" (SageMaker), "failed to start and listen on the port defined provided by the PORT=8080
    environment variable" (Cloud Run).

    Cause: many servers listen on 127.0.0.1 unless told otherwise. In a container that address belongs to the container
    alone.

    Proof: the container's own socket table shows its listening sockets on loopback and none elsewhere, while
    connections from outside are refused.

    Fix: listen on all addresses and on the port in AIP_HTTP_PORT:
    `app.run(host="0.0.0.0", port=int(os.environ["AIP_HTTP_PORT"]))`, `uvicorn main:app --host 0.0.0.0 --port
    $AIP_HTTP_PORT`, `gunicorn --bind 0.0.0.0:$AIP_HTTP_PORT main:app`.
    """
    sockets = listening(evidence)
    if not sockets or not all(socket.loopback for socket in sockets) or evidence.listening_s is not None:
        return None
    return Found(
        summary="The server accepts connections from inside its container only.",
        cause=f"It listens on {sockets[0].host}, which belongs to the container alone.",
        remedy=f"Listen on 0.0.0.0 and port {evidence.spec.port}",
        evidence=(f"socket table of the container: {sockets[0]}",),
    )


def listening(evidence: Evidence) -> tuple[ListeningSocket, ...]:
    """Return the listening sockets that were seen inside the replica."""
    return (evidence.facts.sockets if evidence.facts else None) or ()


RULES: tuple[Rule, ...] = (listens_on_loopback,)
