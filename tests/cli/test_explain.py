"""`modelport explain`: what it says of reasons, of requests, and of whatever is pasted."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from modelport.cli.pasted import Pasted, read_pasted
from modelport.core.errors import ModelNotFound, RequestNotFound
from modelport.sdk.statuses import status_document
from tests.cli.conftest import Ran
from tests.sdk.standin import Answer, standing_in

Cli = Callable[..., Ran]

NOWHERE = ("--endpoint", "http://127.0.0.1:9")
ID = "9836d3d2-0789-4baf-9cfa-44abf350dde4"
NAME = "projects/demo/models/churn/versions/v1"


def error(reason: str, request_id: str = "", **metadata: str) -> dict[str, Any]:
    metadata |= {"requestId": request_id} if request_id else {}
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "metadata": metadata}
    return {"error": {"code": 503, "message": "It failed.", "status": "UNAVAILABLE", "details": [info]}}


ENVELOPE = error("QUEUE_TIMEOUT", ID)
CURL = f"HTTP/1.1 503 Service Unavailable\r\nx-request-id: {ID}\r\nretry-after: 1\r\n\r\n{json.dumps(ENVELOPE)}"
# As google-api-python-client words it.
GOOGLES = """HttpError: <HttpError 503 "no" Details: "[{'reason': 'NO_HEALTHY_REPLICA', 'domain': 'modelport'}]">"""


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("QUEUE_FULL", Pasted("QUEUE_FULL")),
        ("queue full\n", Pasted("QUEUE_FULL")),
        ("unavailable", Pasted("UNAVAILABLE")),
        (ID, Pasted(request_id=ID)),
        ("req-1", Pasted(request_id="req-1")),
        ("QUEUE_FUL", Pasted(message="QUEUE_FUL")),
        (json.dumps(ENVELOPE), Pasted("QUEUE_TIMEOUT", ID, "It failed.")),
        (json.dumps(ENVELOPE["error"]), Pasted("QUEUE_TIMEOUT", ID, "It failed.")),
        (json.dumps({"name": "operations/1", "done": True, **ENVELOPE}), Pasted("QUEUE_TIMEOUT", ID, "It failed.")),
        (CURL, Pasted("QUEUE_TIMEOUT", ID, "It failed.")),
        (
            json.dumps(error("VERSION_CANNOT_BECOME_READY", code="LISTENS_ON_LOOPBACK")),
            Pasted("LISTENS_ON_LOOPBACK", "", "It failed."),
        ),
        (
            json.dumps(
                {"error": {"message": "FAILED: NEVER_LISTENS. x", "details": [{"reason": "VERSION_NOT_READY"}]}}
            ),
            Pasted("NEVER_LISTENS", "", "FAILED: NEVER_LISTENS. x"),
        ),
        (json.dumps({"error": {"message": "no", "status": "ABORTED"}}), Pasted("ABORTED", "", "no")),
        (json.dumps(error("QUEUE_FULL", "a b")), Pasted("QUEUE_FULL", "", "It failed.")),
        (f"x-request-id: {ID}", Pasted("", ID, f"x-request-id: {ID}")),
        (GOOGLES, Pasted("NO_HEALTHY_REPLICA", "", GOOGLES)),
        ("error: it ends with QUEUE_FULL", Pasted("QUEUE_FULL", "", "error: it ends with QUEUE_FULL")),
        ("", Pasted()),
        ("{", Pasted(message="{")),
        ("[]", Pasted(message="[]")),
        ('{"error": 3}', Pasted(message='{"error": 3}')),
        ('{"error": {"message": 3, "details": [3, {"metadata": 4, "reason": 5}]}}', Pasted(message="3")),
    ],
)
def test_what_is_pasted_is_understood(text: str, found: Pasted) -> None:
    assert read_pasted(text) == found


def test_a_reason_is_explained_without_a_platform(cli: Cli) -> None:
    ran = cli("explain", "METHOD_NOT_ALLOWED", *NOWHERE)
    assert (ran.code, ran.err) == (0, "")
    assert (
        ran.out
        == """\
METHOD_NOT_ALLOWED   (an answer of the gateway)
  What     The path exists, with another HTTP method.
  Why      A prediction is a POST request. Of other paths `Allow` in the answer names the methods.
  Fix      Send POST with a JSON body:
           `curl -X POST URL -H 'Content-Type: application/json' -d '{"instances": […]}'`.
"""
    )


def test_a_finding_names_its_page(cli: Cli) -> None:
    ran = cli("explain", "listens-on-loopback")
    assert ran.code == 0
    assert ran.out.startswith("LISTENS_ON_LOOPBACK   (a finding about a container)\n  What     The server accepts")
    assert ran.out.endswith("\ndocs: docs/reference/findings/LISTENS_ON_LOOPBACK.md\n")


def test_a_message_of_another_platform_leads_to_its_causes(cli: Cli) -> None:
    ran = cli("explain", "Model server never became ready")
    assert ran.code == 0
    assert "LISTENS_ON_LOOPBACK" in ran.out
    found = json.loads(cli("explain", "Model server never became ready", "--output", "json").out)
    names = [one["name"] for one in found["candidates"] or [found["explanation"]]]
    assert "LISTENS_ON_LOOPBACK" in names


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("QUEUE_FUL", "Did you mean `QUEUE_FULL`?"),
        ("xyz", "Give a reason such as QUEUE_FULL, the `x-request-id` of an answer, or the whole error"),
        ("\x1b[31mred", "Give a reason such as QUEUE_FULL, the `x-request-id` of an answer, or the whole error"),
    ],
)
def test_what_cannot_be_explained_has_a_hint(cli: Cli, text: str, hint: str) -> None:
    ran = cli("explain", text)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.endswith(f"hint: {hint}\n")
    assert "\x1b" not in ran.err


REQUEST: dict[str, Any] = {
    "requestId": ID,
    "time": "2026-11-21T10:00:02.100000Z",
    "method": "POST",
    "path": "/v1/projects/demo/models/churn:predict",
    "httpStatus": 503,
    "reason": "QUEUE_TIMEOUT",
    "version": NAME,
    "replica": "",
    "retries": 0,
    "seconds": {"received": 0.001, "queued": 30.0, "connected": None, "answered": None, "total": 30.001},
    "endedBy": "sQ--",
    "times": 1,
    "versionNow": {"name": NAME, "state": "READY", "ready": 1, "wanted": 2, "cause": "Healthy: connection refused"},
}


def remembering(**changed: Any) -> dict[str, list[Answer]]:
    return {f"GET /modelport/v1/requests/{ID}": [Answer(body=REQUEST | changed)]}


def test_a_request_is_told_from_end_to_end(cli: Cli) -> None:
    with standing_in(remembering()) as platform:
        ran = cli("explain", ID, "--endpoint", platform.endpoint)
    assert (ran.code, ran.err) == (0, "")
    request, meaning, now = ran.out.split("\n\n")
    assert (
        request
        == f"""\
request {ID}
  When     2026-11-21 10:00:02.100 UTC
  Asked    POST /v1/projects/demo/models/churn:predict
  Version  demo: churn/v1
  Answer   503 QUEUE_TIMEOUT, by the gateway itself
  Times       0.001 s  the request came in
             30.000 s  waited for a free replica
             30.001 s  altogether"""
    )
    assert meaning.startswith("QUEUE_TIMEOUT   (an answer of the gateway)\n  What     The request waited")
    assert "`modelport logs churn/v1`" in meaning
    assert (
        now
        == """\
now: demo: churn/v1 READY, 1 of 2 replicas ready: Healthy: connection refused
next: modelport logs churn/v1
"""
    )


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"reason": "", "httpStatus": 500, "replica": "churn-0"}, "Answer   500 by replica churn-0"),
        ({"reason": "", "httpStatus": 500, "replica": "churn-0"}, "The container itself answered so"),
        ({"reason": "", "httpStatus": 500, "version": "", "replica": "api"}, "500 by the control plane"),
        ({"reason": "", "httpStatus": 0}, "nothing: the client had left"),
        ({"reason": "", "httpStatus": 0}, "before there was an answer"),
        ({"retries": 2}, "Retries  2: the connection failed"),
        ({"times": 3}, "Seen     3 times with this id"),
        ({"versionNow": None}, "now: version demo: churn/v1 is not there any more"),
        ({"path": "/a\x1b[31m\u202e"}, "Asked    POST /a"),
        ({"reason": "A_NEWER_ONE"}, "503 A_NEWER_ONE, by the gateway itself"),
    ],
)
def test_whatever_became_of_it_is_told(cli: Cli, changed: dict[str, Any], words: str) -> None:
    with standing_in(remembering(**changed)) as platform:
        ran = cli("explain", ID, "--endpoint", platform.endpoint)
    assert ran.code == 0
    assert words in ran.out
    assert not {"\x1b", "\u202e"} & set(ran.out)


def test_programs_get_one_document(cli: Cli) -> None:
    with standing_in(remembering()) as platform:
        ran = cli("explain", ID, "--endpoint", platform.endpoint, "--output", "json")
    found = json.loads(ran.out)
    assert found["request"] == REQUEST
    assert found["explanation"]["name"] == "QUEUE_TIMEOUT"
    assert set(found["explanation"]) == {"name", "kind", "meaning", "why", "fix"}
    assert found["candidates"] == []


def test_a_whole_error_is_read_from_stdin(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(CURL))
    with standing_in(remembering()) as platform:
        ran = cli("explain", "-", "--endpoint", platform.endpoint)
    assert (ran.code, ran.err) == (0, "")
    assert "30.000 s  waited for a free replica" in ran.out


def test_without_a_platform_the_reason_is_explained_nevertheless(cli: Cli) -> None:
    ran = cli("explain", json.dumps(ENVELOPE), *NOWHERE)
    assert ran.code == 0
    assert ran.out.startswith("QUEUE_TIMEOUT ")
    assert "what follows is what `QUEUE_TIMEOUT` means in general" in ran.err


def test_a_request_that_is_forgotten_leaves_its_reason(cli: Cli) -> None:
    gone = {f"GET /modelport/v1/requests/{ID}": [Answer(404, status_document(RequestNotFound(ID)))]}
    with standing_in(gone) as platform:
        assert cli("explain", json.dumps(ENVELOPE), "--endpoint", platform.endpoint).code == 0
        ran = cli("explain", ID, "--endpoint", platform.endpoint)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith(f"error: The gateway remembers no failed request `{ID}`\n")


def test_an_id_without_a_platform_is_out_of_reach(cli: Cli) -> None:
    assert cli("explain", ID, *NOWHERE).code == 3


def test_an_error_of_the_platform_is_explained(cli: Cli) -> None:
    ran = cli("explain", json.dumps(status_document(ModelNotFound("projects/p/models/m"))))
    assert ran.code == 0
    assert ran.out.startswith("MODEL_NOT_FOUND   (an error of the platform)\n  What     No model has this name.\n")
