"""The answers that the gateway gives by itself, as text for HAProxy's configuration.

Each is the error envelope of Google's APIs with a stable `reason` and the id of the request. What a container answers
is never replaced.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

# HAProxy fills these in when it answers; see `slots.py` for the fields of a record.
VERSION = "%[var(txn.record),field(7,|)]"
QUEUE_LIMIT = "%[var(txn.record),field(1,|)]"
TIMEOUT_MS = "%[var(txn.record),field(2,|)]"
REQUEST_BYTES = "%[var(txn.record),field(3,|)]"
RESPONSE_BYTES = "%[var(txn.record),field(4,|)]"
# The id that the client sent (see `config.py`), else a new one; kept, so that header, body and journal have the same.
# `word` takes the last that is not empty, because no sample means "this one, or else that one".
REQUEST_ID = "%[uuid(),concat(|,txn.id),word(-1,|),set-var(txn.id)]"

_CONTENT_TYPE = "application/json; charset=UTF-8"
_SAMPLE = re.compile(r"(%\[[^\]]*\])")


@dataclass(frozen=True)
class Answer:
    """One error answer: HTTP status, `google.rpc` status, reason, message, and seconds for Retry-After (0: none)."""

    http_status: int
    status: str
    reason: str
    message: str
    retry_after_s: int = 0
    allow: str = ""

    def text(self) -> str:
        """Return the body, with the samples that HAProxy fills in."""
        return json.dumps(
            {
                "error": {
                    "code": self.http_status,
                    "message": self.message,
                    "status": self.status,
                    "details": [
                        {
                            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                            "reason": _kept(self.reason),
                            "domain": "modelport",
                            "metadata": {"requestId": REQUEST_ID},
                        }
                    ],
                }
            }
        )

    def reply(self) -> str:
        """Return the arguments of `http-request return`, `http-response return` and `http-error`."""
        text = self.text()
        if "'" in text:
            raise ValueError(f"an answer in the configuration cannot hold a single quote: {text}")
        body = "".join(part if _SAMPLE.fullmatch(part) else part.replace("%", "%%") for part in _SAMPLE.split(text))
        # HAProxy makes the body before the headers, so the id is there.
        headers = " hdr x-request-id %[var(txn.id)]"
        headers += f" hdr retry-after {self.retry_after_s}" if self.retry_after_s else ""
        headers += f" hdr allow {self.allow}" if self.allow else ""
        return f"status {self.http_status} content-type \"{_CONTENT_TYPE}\" lf-string '{body}'{headers}"


def _kept(reason: str) -> str:
    """Return the reason as a sample that is also kept for the journal."""
    sample = reason.removesuffix("]") if _SAMPLE.fullmatch(reason) else f"%[str({reason})"
    return f"{sample},set-var(txn.reason)]"


MALFORMED = Answer(400, "INVALID_ARGUMENT", "MALFORMED_REQUEST", "The request is not well-formed HTTP/1.1.")
TOO_SLOW = Answer(408, "DEADLINE_EXCEEDED", "REQUEST_TIMEOUT", "The request did not arrive completely in time.")
GATEWAY_FAULT = Answer(500, "INTERNAL", "INTERNAL", "The gateway could not handle the request.")
POST_ONLY = Answer(405, "UNIMPLEMENTED", "METHOD_NOT_ALLOWED", "A prediction is a POST request.", allow="POST")
STARTING = Answer(
    503, "UNAVAILABLE", "GATEWAY_STARTING", "The gateway has just started and has no routes yet.", retry_after_s=1
)
CONTROL_PLANE_DOWN = tuple(
    Answer(
        http_status,
        "UNAVAILABLE",
        "CONTROL_PLANE_DOWN",
        "The control plane does not answer. Predictions of READY versions go on.",
        retry_after_s=1,
    )
    for http_status in (502, 503, 504)
)

NO_HEALTHY_REPLICA = Answer(
    503, "UNAVAILABLE", "NO_HEALTHY_REPLICA", f"Version `{VERSION}` has no healthy replica.", retry_after_s=1
)
PAYLOAD_TOO_LARGE = Answer(
    400, "INVALID_ARGUMENT", "PAYLOAD_TOO_LARGE", f"Request payload size exceeds the limit: {REQUEST_BYTES} bytes."
)
RESPONSE_TOO_LARGE = Answer(
    400,
    "INVALID_ARGUMENT",
    "RESPONSE_TOO_LARGE",
    f"The response of version `{VERSION}` exceeds the limit: {RESPONSE_BYTES} bytes."
    " Send fewer instances in one request.",
)
QUEUE_FULL = Answer(
    429,
    "RESOURCE_EXHAUSTED",
    "QUEUE_FULL",
    f"All replicas of version `{VERSION}` are busy and its queue is full, at {QUEUE_LIMIT} requests.",
    retry_after_s=1,
)
REPLICA_TIMEOUT = Answer(
    504,
    "DEADLINE_EXCEEDED",
    "REPLICA_TIMEOUT",
    f"The replica of version `{VERSION}` sent nothing for {TIMEOUT_MS} ms.",
)
REPLICA_BAD_RESPONSE = Answer(
    502,
    "UNAVAILABLE",
    "REPLICA_BAD_RESPONSE",
    f"The replica of version `{VERSION}` closed the connection early or did not answer in HTTP.",
)


def not_taken(queue_timeout_ms: int) -> Answer:
    """Return the answer to a request that no replica took.

    HAProxy has one 503 for "waited too long" and "connection failed". They differ in the time that has passed: failed
    connections with all their retries take less than the shortest queue timeout allowed.
    """
    waited = f"date(0,ms),sub(txn.started),div({queue_timeout_ms}),bool"
    return Answer(
        503,
        "UNAVAILABLE",
        f"%[{waited},iif(QUEUE_TIMEOUT,REPLICA_FAILED)]",
        f"No replica of version `{VERSION}` took the request:"
        f" %[{waited},iif(all were busy for too long,the connection failed)].",
        retry_after_s=1,
    )
