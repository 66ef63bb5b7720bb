from dataclasses import replace
from datetime import timedelta

import pytest

from modelport.core.facts import ListeningSocket
from modelport.core.replicas import EnvVar, Exit
from modelport.doctor.evidence import Evidence, Usage
from modelport.doctor.exchange import CLOSED
from tests.doctor.living import (
    FLASK,
    GUNICORN,
    HEALTH_ROUTE,
    NODE,
    NOW,
    SPEC,
    UVICORN,
    asked,
    cause,
    cause_code,
    closed,
    codes,
    facts,
    lines,
    predicting,
    prediction,
)

FAR = ("0.0.0.0", 5000)
SPRING = ("INFO 1 --- [main] o.s.b.w.embedded.tomcat.TomcatWebServer : Tomcat started on port 9000 (http)",)


@pytest.mark.parametrize(
    ("code", "evidence"),
    [
        ("LISTENS_ON_LOOPBACK", closed(FLASK, ("127.0.0.1", 5000))),
        ("LISTENS_ON_LOOPBACK", closed(UVICORN, ("127.0.0.1", 8000))),
        ("LISTENS_ON_LOOPBACK", closed(GUNICORN, ("127.0.0.1", 8000))),
        ("LISTENS_ON_LOOPBACK", closed((), ("127.0.0.1", 8080))),
        ("LISTENS_ON_LOOPBACK", closed((), ("::1", 8080))),
        # A metrics port that is open to all does not hide it, nor does the engine's own DNS.
        ("LISTENS_ON_LOOPBACK", closed(FLASK, ("0.0.0.0", 9090), ("127.0.0.1", 8080))),
        ("LISTENS_ON_LOOPBACK", closed(FLASK, ("127.0.0.11", 40123), ("127.0.0.1", 5000))),
        # Sockets that cannot be seen: the framework's own line and refused connections.
        ("LISTENS_ON_LOOPBACK", closed(FLASK, facts=None)),
        # Docker's own proxy accepts every connection, and cuts it.
        (
            "LISTENS_ON_LOOPBACK",
            closed(
                FLASK,
                ("127.0.0.1", 5000),
                listening_s=0.1,
                health=(asked(HEALTH_ROUTE, None, error=CLOSED, times=9),),
            ),
        ),
        ("LISTENS_ON_OTHER_PORT", closed(FLASK, FAR)),
        ("LISTENS_ON_OTHER_PORT", closed(UVICORN, ("0.0.0.0", 8000))),
        ("LISTENS_ON_OTHER_PORT", closed(NODE, ("::", 3000))),
        ("LISTENS_ON_OTHER_PORT", closed(SPRING, ("::", 9000))),
        ("LISTENS_ON_OTHER_PORT", closed((), ("0.0.0.0", 7070))),
        (
            "LISTENS_ON_OTHER_PORT",
            closed(
                (),
                ("0.0.0.0", 9090),
                ("0.0.0.0", 7070),
                sweep=(
                    asked("/metrics", 200, port=9090, body="# HELP python_info"),
                    asked("/predict", 405, port=7070, method="OPTIONS", headers=(("allow", "POST"),)),
                ),
            ),
        ),
        (
            "PORT_VARIABLE_IGNORED",
            closed(FLASK, ("0.0.0.0", 8080), spec=replace(SPEC, port=9000, port_given=True)),
        ),
        ("PORT_VARIABLE_IGNORED", closed(FLASK, FAR, spec=replace(SPEC, port=9000, port_given=True))),
        ("PORT_VARIABLE_IGNORED", closed(FLASK, ("127.0.0.1", 5000), driver="process", spec=replace(SPEC, port=41001))),
        (
            "PORT_VARIABLE_IGNORED",
            closed(UVICORN, ("0.0.0.0", 7000), spec=replace(SPEC, env=(EnvVar("UVICORN_PORT", "7000"),))),
        ),
        ("LISTENS_ON_IPV6_ONLY", closed(UVICORN, ("::", 8080))),
        (
            "LISTENS_ON_UNIX_SOCKET_ONLY",
            closed(("[2026-11-21 11:59:40 +0000] [1] [INFO] Listening at: unix:/run/app.sock (1)",)),
        ),
        (
            "LISTENS_ON_UNIX_SOCKET_ONLY",
            closed(("INFO:     Uvicorn running on unix socket /run/u.sock (Press CTRL+C)",)),
        ),
        (
            "LOADS_BEFORE_LISTENING",
            closed((), running_s=60, quiet_s=0, log=lines(("Loading checkpoint shards:  40%|####",), ago_s=1)),
        ),
        (
            "LOADS_BEFORE_LISTENING",
            closed((), running_s=8, quiet_s=0, log=lines(("Loading checkpoint shards: 10/60",), ago_s=0.5)),
        ),
        (
            "LOADS_BEFORE_LISTENING",
            closed((), running_s=45, quiet_s=0, usage=(Usage(36, 30.0, 1), Usage(45, 38.5, 1))),
        ),
        (
            "LOADS_BEFORE_LISTENING",
            closed((), ("0.0.0.0", 8080), running_s=70, listening_s=62, health=(asked(HEALTH_ROUTE, 200),)),
        ),
        ("NEVER_LISTENS", closed(("model loaded, predicting",), running_s=50)),
        ("NEVER_LISTENS", closed((), facts=facts(command="sleep infinity"), running_s=5)),
        ("NEVER_LISTENS", closed((), facts=facts(command="sh", processes=("/sbin/docker-init -- sh", "sh")))),
    ],
)
def test_a_server_that_cannot_be_reached_has_its_cause_named(code: str, evidence: Evidence) -> None:
    assert cause_code(evidence) == code


@pytest.mark.parametrize(
    "evidence",
    [
        # A healthy server, whatever else it opened.
        predicting(prediction(200, '{"predictions": [1, 2]}')),
        predicting(
            prediction(200, '{"predictions": [1, 2]}'),
            facts=facts(("127.0.0.1", 8081), ("127.0.0.1", 8082), ("0.0.0.0", 8080)),
        ),
        # It ended: why is for others to say.
        closed(FLASK, ("127.0.0.1", 5000), exits=(Exit(1),)),
        # Nothing is known of its sockets, and nothing was printed.
        closed((), facts=None),
        # The port was opened after the last look at the sockets.
        closed(
            FLASK,
            listening_s=19.0,
            facts=replace(facts(("127.0.0.1", 5000)), taken_at=NOW - timedelta(seconds=10)),
            health=(asked(HEALTH_ROUTE, None, error="no answer within 10 s"),),
        ),
        # Not yet a reason to give up: it loads.
        closed(("Loading model",), ("127.0.0.1", 9090), phase="start", running_s=5, quiet_s=1),
    ],
)
def test_a_server_is_not_blamed_for_what_is_not_certain(evidence: Evidence) -> None:
    assert not {code for code in codes(evidence) if "LISTEN" in code or code == "PORT_VARIABLE_IGNORED"}


def test_metrics_are_not_taken_for_the_server() -> None:
    page = asked("/health", 200, port=8000, body="# HELP python_gc_objects_collected_total Objects")
    evidence = closed(("Loading model",), ("0.0.0.0", 8000), sweep=(page,), running_s=50)
    assert cause_code(evidence) == "NEVER_LISTENS"


def test_a_server_on_loopback_and_another_port_gets_one_line_that_repairs_both() -> None:
    found = cause(closed(FLASK, ("127.0.0.1", 5000)))
    assert found is not None
    assert found.cause == (
        "It listens on 127.0.0.1, which belongs to the container alone, and on port 5000 instead of 8080."
    )
    assert found.remedy.text == 'app.run(host="0.0.0.0", port=int(os.environ["AIP_HTTP_PORT"]))'
    assert found.evidence == (
        "socket table of the container: LISTEN 127.0.0.1:5000 (python, pid 1)",
        "log: * Running on http://127.0.0.1:5000",
        f"probe: GET http://10.88.0.7:8080{HEALTH_ROUTE} → connection refused (12 times)",
    )


def test_another_port_is_repaired_by_the_spec() -> None:
    found = cause(closed(FLASK, FAR))
    assert found is not None
    assert found.remedy.patch == (("add", "/container/ports", [{"containerPort": 5000}]),)


def test_the_line_to_change_names_the_program_that_was_started() -> None:
    evidence = closed(
        UVICORN, facts=facts(("127.0.0.1", 8000), command="/usr/bin/python3 /usr/bin/uvicorn app.api:api")
    )
    found = cause(evidence)
    assert found is not None
    assert found.remedy.text == "CMD exec uvicorn app.api:api --host 0.0.0.0 --port $AIP_HTTP_PORT"


def test_the_sockets_of_a_plain_process_are_within_reach() -> None:
    evidence = predicting(
        prediction(200, '{"predictions": [1, 2]}'), driver="process", facts=facts(("127.0.0.1", 8080))
    )
    assert cause(evidence) is None


def test_a_socket_knows_how_it_is_shown() -> None:
    assert str(ListeningSocket("::1", 5000)) == "LISTEN [::1]:5000"
