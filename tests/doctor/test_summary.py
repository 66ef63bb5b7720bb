from dataclasses import replace
from datetime import UTC, datetime

from modelport.core.replicas import Exit, LogLine
from modelport.doctor.evidence import Evidence, Exchange, Phase
from modelport.doctor.summary import summarise

NOW = datetime(2026, 11, 21, tzinfo=UTC)
EVIDENCE = Evidence(
    version="projects/p/models/m/versions/v",
    phase=Phase.START,
    driver="docker",
    now=NOW,
    elapsed_s=1.25,
    error="the container was started 2 times and exited with code 3",
    exits=(Exit(3), Exit(None, signal=9)),
    log=(LogLine(NOW, "stderr", "ModuleNotFoundError: No module named 'flask'"),),
    health=(Exchange(NOW, "http://127.0.0.1:1/health", None, "connection refused", 0.0, times=7),),
)


def test_a_failure_says_phase_cause_exits_probes_and_last_words() -> None:
    error = summarise(EVIDENCE)
    assert error.message == (
        "Version `projects/p/models/m/versions/v` cannot become ready (start):"
        " the container was started 2 times and exited with code 3\n"
        "Exits: exited with code 3; ended by signal 9\n"
        "Probes:\n"
        "  GET http://127.0.0.1:1/health → connection refused (7 times)\n"
        "Last 1 log lines:\n"
        "  ModuleNotFoundError: No module named 'flask'"
    )
    assert error.metadata["phase"] == "start"
    assert error.metadata["cause"] == EVIDENCE.error
    assert error.hint


def test_a_container_that_said_nothing_is_said_to_have_said_nothing() -> None:
    assert "wrote nothing to its output" in summarise(replace(EVIDENCE, log=())).message


def test_a_failure_before_the_start_does_not_speak_of_output() -> None:
    assert "output" not in summarise(replace(EVIDENCE, phase=Phase.IMAGE, log=())).message


def test_what_an_adapter_advised_goes_before_general_advice() -> None:
    evidence = replace(EVIDENCE, phase=Phase.IMAGE, error_reason="IMAGE_NOT_FOUND", hint="Log in with `docker login`")
    error = summarise(evidence)
    assert error.hint == "Log in with `docker login`"
    assert error.metadata["error_reason"] == "IMAGE_NOT_FOUND"
