import socket

import pytest

from modelport.core.errors import ControlPlaneUnreachable, DeadlineExceeded, InvalidArgument, ModelNotFound, Unavailable
from modelport.sdk.statuses import status_document
from modelport.sdk.transport import Transport
from tests.sdk.standin import Answer, StandIn, standing_in

AWAY = Answer(503, {"error": {"code": 503, "message": "starting", "status": "UNAVAILABLE"}})


def make(stand_in: StandIn, pauses: list[float] | None = None) -> Transport:
    return Transport(stand_in.endpoint, sleep=(pauses if pauses is not None else []).append)


def test_a_read_is_retried_with_growing_pauses() -> None:
    pauses: list[float] = []
    with standing_in({"GET /x": [AWAY, AWAY, Answer(body={"ok": 1})]}) as stand_in:
        assert make(stand_in, pauses).call("GET", "/x") == {"ok": 1}

    assert pauses == [0.1, 0.2]


def test_retry_after_is_waited_for() -> None:
    pauses: list[float] = []
    busy = Answer(429, b"", {"retry-after": "2"})
    with standing_in({"GET /x": [busy, Answer(body={})]}) as stand_in:
        make(stand_in, pauses).call("GET", "/x")

    assert pauses == [2.0]


def test_retries_end_with_the_last_refusal() -> None:
    with standing_in({"GET /x": [AWAY]}) as stand_in:
        with pytest.raises(Unavailable, match="starting"):
            make(stand_in).call("GET", "/x")
        assert len(stand_in.asked) == 4


def test_a_write_is_sent_once() -> None:
    with standing_in({"POST /x": [AWAY]}) as stand_in:
        with pytest.raises(Unavailable):
            make(stand_in).call("POST", "/x", body={})
        assert len(stand_in.asked) == 1


def test_a_refusal_that_will_not_change_is_not_retried() -> None:
    gone = Answer(404, status_document(ModelNotFound("m")))
    with standing_in({"GET /x": [gone]}) as stand_in:
        with pytest.raises(ModelNotFound):
            make(stand_in).call("GET", "/x")
        assert len(stand_in.asked) == 1


def test_bytes_are_sent_as_they_are() -> None:
    with standing_in({"POST /x": [Answer(body=b"text, not JSON")]}) as stand_in:
        assert make(stand_in).call("POST", "/x", body=b'{ "instances" : [1] }') == "text, not JSON"
        assert stand_in.asked[0].body == b'{ "instances" : [1] }'
        assert stand_in.asked[0].headers["content-type"] == "application/json"


def test_nothing_listening_is_unreachable_and_says_where() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        endpoint = f"127.0.0.1:{closed.getsockname()[1]}"

        with pytest.raises(ControlPlaneUnreachable) as caught:
            Transport(endpoint, sleep=lambda _: None).call("GET", "/x")

    assert caught.value.message == f"Nothing answers at `http://{endpoint}`: connection refused"
    assert "modelport serve" in caught.value.hint


def test_silence_is_a_passed_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        transport = Transport(f"http://127.0.0.1:{silent.getsockname()[1]}", sleep=lambda _: None)

        with pytest.raises(DeadlineExceeded):
            transport.call("POST", "/x", timeout_s=0.05)


def test_a_connection_that_breaks_is_unreachable() -> None:
    with (
        standing_in({"GET /x": [Answer(body=b"short", headers={"content-length": "100", "connection": "close"})]}) as s,
        pytest.raises(ControlPlaneUnreachable, match="broke"),
    ):
        make(s).call("GET", "/x")


def test_an_endpoint_of_another_scheme_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="ftp://x"):
        Transport("ftp://x", sleep=lambda _: None).call("GET", "/x")


def test_a_proxy_of_the_environment_is_not_used_for_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with standing_in({"GET /x": [Answer(body={})]}) as stand_in:
        assert make(stand_in).call("GET", "/x") == {}


def test_lines_are_yielded_and_errors_raised() -> None:
    missing = Answer(404, status_document(ModelNotFound("m")))
    with standing_in({"GET /logs": [Answer(body=b'{"a": 1}\n\n{"a": 2}\n'), missing]}) as stand_in:
        transport = make(stand_in)

        assert list(transport.lines("/logs")) == ['{"a": 1}', '{"a": 2}']
        with pytest.raises(ModelNotFound):
            list(transport.lines("/logs"))
