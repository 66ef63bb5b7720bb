from dataclasses import replace
from datetime import UTC, datetime

from modelport.core.errors import VersionCannotBecomeReady
from modelport.core.replicas import Exit, LogLine
from modelport.doctor.evidence import Evidence, Exchange, Phase
from modelport.doctor.findings import Diagnosis, Finding, Remedy, Role, Severity
from modelport.doctor.summary import summarise

NOW = datetime(2026, 11, 21, tzinfo=UTC)
EVIDENCE = Evidence(
    version="projects/p/models/m/versions/v",
    phase=Phase.START,
    driver="docker",
    now=NOW,
    elapsed_s=1.25,
    error="the container was started 2 times and exited with code 3",
    exits=(Exit(3), Exit(None, signal=9), Exit(1)),
    log=(LogLine(NOW, "stderr", "ModuleNotFoundError: No module named 'flask'"),),
    health=(Exchange(NOW, "http://127.0.0.1:1/health", None, "connection refused", 0.0, times=7),),
)
CAUSE = Finding(
    "MODULE_MISSING",
    Severity.ERROR,
    "The Python package `flask` is not in the image.",
    "The program imports it at its start",
    Remedy("Add it to the Dockerfile:\n    RUN pip install flask"),
    ("log: ModuleNotFoundError: No module named 'flask'", "exit: exited with code 1"),
    Role.CAUSE,
)


def test_a_failure_is_one_paragraph_of_cause_proof_and_fix() -> None:
    assert summarise(EVIDENCE, Diagnosis((CAUSE,))).message == (
        "Version `projects/p/models/m/versions/v` cannot become ready: MODULE_MISSING."
        " The Python package `flask` is not in the image. The program imports it at its start."
        " Proof: log: ModuleNotFoundError: No module named 'flask'; exit: exited with code 1."
        " Fix: Add it to the Dockerfile: RUN pip install flask."
    )


def test_programs_find_the_parts_in_the_status() -> None:
    status = summarise(EVIDENCE, Diagnosis((CAUSE, replace(CAUSE, code="NO_LOGS", role=Role.NOTE)))).status()
    assert status.reason == "MODULE_MISSING"
    assert status.debug == ("ModuleNotFoundError: No module named 'flask'",)
    assert status.metadata == {
        "error": VersionCannotBecomeReady.reason,
        "phase": "start",
        "driver": "docker",
        "elapsed_s": "1.2",
        "exit_code": "1",
        "what": "The Python package `flask` is not in the image.",
        "cause": "The program imports it at its start",
        "evidence": "log: ModuleNotFoundError: No module named 'flask'\nexit: exited with code 1",
        "remedy": CAUSE.remedy.text,
        "also": "NO_LOGS",
    }


def test_without_a_cause_the_failure_says_what_was_seen() -> None:
    evidence = replace(EVIDENCE, phase=Phase.ROUTE, error="all slots are taken", error_reason="SLOTS_EXHAUSTED")
    error = summarise(evidence, Diagnosis())
    assert error.message.endswith("cannot become ready (route): all slots are taken")
    assert error.status().reason == VersionCannotBecomeReady.reason
    assert error.metadata["error_reason"] == "SLOTS_EXHAUSTED"


def test_what_an_adapter_advised_goes_before_general_advice() -> None:
    evidence = replace(EVIDENCE, phase=Phase.IMAGE, error_reason="IMAGE_NOT_FOUND", hint="Log in with `docker login`")
    assert summarise(evidence, Diagnosis()).hint == "Log in with `docker login`"


def test_the_log_is_a_tail() -> None:
    lines = tuple(LogLine(NOW, "stdout", f"line {number}" * 200) for number in range(100))
    debug = summarise(replace(EVIDENCE, log=lines), Diagnosis((CAUSE,))).debug
    assert len(debug) == 20
    assert debug[-1].startswith("line 99")
    assert max(len(line) for line in debug) == 500
