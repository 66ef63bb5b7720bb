"""Recorded evidence with something lost or something added: the answer may become less exact, and never another cause.

A first finding that is wrong costs a user more than none. What is lost may lead to a code that only says what is seen;
what is added, the noise that real programs make, must change nothing.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from modelport.core.replicas import LogLine
from modelport.doctor.diagnose import diagnose
from modelport.doctor.evidence import Evidence
from modelport.doctor.findings import Severity
from tests.doctor.recorded import Recorded, recorded

pytestmark = pytest.mark.slow

CASES = recorded()

# They name what is seen and claim no cause.
HONEST = {
    "CRASHES_AT_START",
    "CRASHES_WHILE_PREDICTING",
    "EXITED_CLEANLY",
    "HEALTH_NOT_200",
    "HEALTH_TIMES_OUT",
    "NEVER_LISTENS",
    "PREDICT_FAILS",
    "PREDICT_TIMES_OUT",
}

# What is still true, and less exact, where the fact that decides is lost.
LESS_EXACT = {
    # The script's first line cannot be read, and the kernel says "no such file" of its interpreter.
    "ENTRYPOINT_LINE_ENDINGS": {"COMMAND_NOT_FOUND", "BAD_ARGUMENTS"},
    "WRONG_ARCHITECTURE": {"COMMAND_NOT_FOUND"},
    "PORT_VARIABLE_IGNORED": {"LISTENS_ON_OTHER_PORT"},
}


def _words(*texts: str, stream: str = "stderr") -> tuple[LogLine, ...]:
    return tuple(LogLine(None, stream, text) for text in texts)


HARMLESS_TRACEBACK = _words(
    "Traceback (most recent call last):",
    '  File "/usr/lib/python3/dist-packages/app/extras.py", line 12, in load_extras',
    "    import tensorboard",
    "ModuleNotFoundError: No module named 'tensorboard'",
    "tensorboard is not there; metrics are written to the log",
)
PORT_TAKEN_FOR_A_MOMENT = _words(
    "[ERROR] Connection in use: ('0.0.0.0', 8080)",
    "OSError: [Errno 98] Address already in use",
    "[ERROR] Retrying in 1 second.",
)
WARNINGS = _words(
    "WARNING:root:feature 'age' has 12 missing values",
    "UserWarning: Trying to unpickle estimator from version 1.3.0 when using version 1.3.2.",
    "WARNING CUDA is not available, using the CPU; no GPU was found",
    "W0101 00:00:00.000000 1 cuda.cc:80] failed call to cuInit: UNKNOWN ERROR (303)",
    "WARNING: permission denied for /sys/fs/cgroup/memory.high, continuing",
)
ORDINARY = _words(*(f"INFO:     step {number} of 25 is done" for number in range(25)), stream="stdout")


def _with_log(evidence: Evidence, before: tuple[LogLine, ...] = (), after: tuple[LogLine, ...] = ()) -> Evidence:
    attempt = max((line.attempt for line in evidence.log), default=1)
    start = evidence.now - timedelta(seconds=evidence.running_s)
    first = [replace(line, attempt=attempt, time=start) for line in before]
    last = [replace(line, attempt=attempt, time=evidence.log[-1].time if evidence.log else start) for line in after]
    return replace(evidence, log=(*first, *evidence.log, *last))


def _without_facts(**lost: None) -> Callable[[Evidence], Evidence]:
    return lambda evidence: replace(evidence, facts=replace(evidence.facts, **lost) if evidence.facts else None)


LOSSES: dict[str, Callable[[Evidence], Evidence]] = {
    "no facts": lambda evidence: replace(evidence, facts=None),
    "no sockets": _without_facts(sockets=None),
    "no processes": _without_facts(processes=None),
    "no entry file": _without_facts(entry=None),
    "no memory facts": lambda evidence: _without_facts(
        memory_bytes=None, memory_peak_bytes=None, memory_limit_bytes=None, oom_kills=None
    )(evidence),
    "no image": lambda evidence: replace(_without_facts(image=None)(evidence), image=None),
    "no usage": lambda evidence: replace(evidence, usage=()),
    "no log": lambda evidence: replace(evidence, log=()),
    "half of the log": lambda evidence: replace(evidence, log=evidence.log[len(evidence.log) // 2 :]),
    "no word of memory": lambda evidence: replace(
        _without_facts(oom_kills=None)(evidence),
        exits=tuple(replace(end, oom_killed=False) for end in evidence.exits),
    ),
    "no sweep": lambda evidence: replace(evidence, sweep=()),
    "no host": lambda evidence: replace(evidence, host=type(evidence.host)()),
    "no artifacts": lambda evidence: replace(evidence, artifacts=None),
    "no predictions": lambda evidence: replace(evidence, predictions=(), health_under_load=()),
    "no end": lambda evidence: replace(evidence, stopping=None),
    "one stream after the other": lambda evidence: replace(
        evidence, log=tuple(sorted(evidence.log, key=lambda line: (line.attempt, line.stream)))
    ),
    "the other stream first": lambda evidence: replace(
        evidence, log=tuple(sorted(evidence.log, key=lambda line: (line.attempt, line.stream != "stdout")))
    ),
    "lines of others in between": lambda evidence: replace(
        evidence,
        log=tuple(
            one
            for number, line in enumerate(evidence.log)
            for one in (line, *((replace(ORDINARY[number % 25], attempt=line.attempt),) if number % 3 == 2 else ()))
        ),
    ),
    "every line twice": lambda evidence: replace(
        evidence, log=tuple(line for line in evidence.log for line in (line, line))
    ),
    "the log backwards": lambda evidence: replace(evidence, log=evidence.log[::-1]),
}

NOISE: dict[str, Callable[[Evidence], Evidence]] = {
    "a harmless traceback long ago": lambda evidence: _with_log(evidence, HARMLESS_TRACEBACK + ORDINARY),
    "a port that was taken for a moment": lambda evidence: _with_log(evidence, PORT_TAKEN_FOR_A_MOMENT + ORDINARY),
    "warnings before": lambda evidence: _with_log(evidence, WARNINGS + ORDINARY),
    "warnings after": lambda evidence: _with_log(evidence, after=WARNINGS[:3]),
    "ordinary lines before": lambda evidence: _with_log(evidence, ORDINARY),
    "colours": lambda evidence: replace(
        evidence, log=tuple(replace(line, text=f"\x1b[33m{line.text}\x1b[0m") for line in evidence.log)
    ),
}


def _wrong(case: Recorded, evidence: Evidence, allowed: set[str]) -> str:
    """Return the code of an error that comes first and should not, or nothing."""
    first = next(iter(diagnose(evidence).findings), None)
    if first is None or first.severity is not Severity.ERROR:
        return ""
    return "" if first.code in allowed and not case.container.serves else first.code


def _loss_allows(case: Recorded) -> set[str]:
    return {case.code, *HONEST, *LESS_EXACT.get(case.code, ())} if case.code else set()


def _noise_allows(case: Recorded) -> set[str]:
    return {case.code, *LESS_EXACT.get(case.code, ())} if case.code else set()


@pytest.mark.parametrize("loss", LOSSES)
def test_what_is_lost_never_leads_to_another_cause(loss: str) -> None:
    wrong = {
        case.name: code for case in CASES if (code := _wrong(case, LOSSES[loss](case.evidence), _loss_allows(case)))
    }
    assert wrong == {}


@pytest.mark.parametrize("noise", NOISE)
def test_noise_changes_nothing(noise: str) -> None:
    answers = {
        case.name: (case.code, found)
        for case in CASES
        if (found := _first_error(NOISE[noise](case.evidence))) != _first_error(case.evidence)
        and found not in LESS_EXACT.get(case.code, ())
    }
    assert answers == {}


@pytest.mark.parametrize("distance", [1, 23, 59])
def test_the_log_of_another_container_changes_no_cause(distance: int) -> None:
    """What another program once printed, and what then went well, comes before the log of each case."""
    wrong = {}
    for index, case in enumerate(CASES):
        other = CASES[(index + distance) % len(CASES)]
        mixed = _with_log(case.evidence, other.evidence.log[-40:] + ORDINARY)
        if code := _wrong(case, mixed, _noise_allows(case)):
            wrong[f"{case.name} after {other.name}"] = code
    assert wrong == {}


def _first_error(evidence: Evidence) -> str:
    first = next(iter(diagnose(evidence).findings), None)
    return first.code if first is not None and first.severity is Severity.ERROR else ""
