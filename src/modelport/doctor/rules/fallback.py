"""Rules for ends that nothing else explains. The last of all: they say what is seen, and claim no more."""

from __future__ import annotations

import re
import signal

from modelport.core.replicas import Exit
from modelport.doctor.evidence import Evidence, Phase
from modelport.doctor.findings import Severity
from modelport.doctor.last_words import died, fatal
from modelport.doctor.log_text import Raised, quoted, telling_lines
from modelport.doctor.rule import Found, Rule, rule

_LIBRARY = re.compile(r"site-packages|dist-packages|<frozen|/lib/python3|node_modules|node:internal")


@rule("EXITED_CLEANLY")
def exited_cleanly(evidence: Evidence) -> Found | None:
    """The container's program ends by itself, without an error.

    Symptom: exit code 0 a moment after the start; "Model server exited unexpectedly", "Container called exit(0)",
    Kubernetes restarts it for ever (`CrashLoopBackOff`, reason `Completed`).

    Cause: the command is a script that does its work and ends, prints a help text, or starts the server in the
    background; a container lives as long as its first process.

    Proof: exit code 0, with nothing healthy before it and no exception as its last words.

    Fix: start the server in the foreground, as the last line of the script: `exec uvicorn main:app --host 0.0.0.0
    --port $AIP_HTTP_PORT`; `nginx -g 'daemon off;'`; gunicorn without `--daemon`; `app.run(…)` at the program's end.
    """
    end = evidence.exit
    if not died(evidence) or end is None or end.code != 0 or end.signal is not None or fatal(evidence):
        return None
    ran = f" after {evidence.running_s:.1f} s" if evidence.running_s else ""
    return Found(
        summary=f"The container's program ended by itself{ran}, without an error.",
        cause="It is a script that does its work and ends, or it starts the server in the background.",
        remedy="Start the server in the foreground, as the command's last step: `exec uvicorn main:app --host 0.0.0.0"
        " --port $AIP_HTTP_PORT`",
        evidence=(f"exit: {end}", *(quoted(line.text) for line in evidence.last_words[-3:])),
    )


@rule("CRASHES_AT_START")
def crashes_at_start(evidence: Evidence) -> Found | None:
    """The container's program ends with an error that has no page of its own.

    Symptom: an exit code other than 0, or a signal, before it served; "Model server exited unexpectedly" on Vertex AI,
    `CrashLoopBackOff` in Kubernetes, "did not pass the ping health check" on SageMaker.

    Cause: whatever the last lines of the log say.

    Proof: the exit, and those lines of the log that say most about it.

    Fix: read the lines that are shown; run the container by hand, `docker run --rm -p 8080:8080 IMAGE`, and look at the
    whole log with `modelport logs`.
    """
    end = evidence.exit
    if not died(evidence) or end is None:
        if evidence.error_reason != "REPLICA_CANNOT_START":
            return None
        return Found(
            summary="The container cannot be started.",
            cause="The engine refused it; its own words are below.",
            remedy=evidence.hint or "Correct command, args, image or resources",
            evidence=(f"reported: {evidence.error[:500]}",),
        )
    chain = fatal(evidence)
    if end.code == 0 and end.signal is None and not chain:
        return None
    lines = tuple(quoted(line) for line in telling_lines(evidence.last_words))
    return Found(
        summary=f"The container's program {_ended(end)}"
        + (f": {chain[0]}." if chain else " before it served." if evidence.healthy_s is None else "."),
        cause=f"It was raised in {place}." if chain and (place := _own_place(chain[0])) else _meaning(end),
        remedy="Repair what the log lines say; try it by hand with `docker run --rm -p 8080:8080 IMAGE`",
        evidence=(f"exit: {end}", *lines),
    )


@rule("NO_LOGS", Severity.ADVICE)
def no_logs(evidence: Evidence) -> Found | None:
    """The container's program ended with an error, and wrote nothing.

    Symptom: an exit code other than 0 and an empty log; "Model server logs can be found at …" with nothing there.

    Cause: Python keeps its output in a buffer when it does not write to a terminal, and loses it when it is killed; or
    the program writes its log to a file inside the container.

    Proof: the exit, and not one line of output.

    Fix: `ENV PYTHONUNBUFFERED=1` in the Dockerfile, or the same in container.env; log to standard output, such as
    `gunicorn --error-logfile -`.
    """
    end = evidence.exit
    started = evidence.phase in (Phase.START, Phase.LISTEN, Phase.HEALTH) and not evidence.error_reason
    if not died(evidence) or end is None or evidence.log or not started or end.signal is not None or end.code == 0:
        return None
    return Found(
        summary="The container's program ended with an error, and wrote nothing.",
        cause="Its output stayed in a buffer, or goes to a file inside the container.",
        remedy="Write `ENV PYTHONUNBUFFERED=1` into the Dockerfile, and log to standard output",
        evidence=(f"exit: {end}", "log: empty"),
    )


def _own_place(raised: Raised) -> str:
    """Return the innermost place of a traceback that is the program's own, and not of some library."""
    places = [frame for frame in raised.frames if frame.startswith(("File ", "at "))]
    own = [place for place in places if not _LIBRARY.search(place)]
    return next(reversed(own or places), "")


def _ended(end: Exit) -> str:
    if end.signal is not None:
        return f"was ended by {_name(end.signal)}"
    return f"ended with exit code {end.code}" if end.code is not None else "ended"


def _meaning(end: Exit) -> str:
    """Return what an end is known to mean, without claiming why it came to it."""
    if end.signal == signal.SIGKILL:
        return "Something killed it; no sign of a lack of memory was seen."
    if end.signal == signal.SIGSEGV:
        return "It touched memory that is not its own: a defect of native code, often of two libraries that do not fit."
    if end.signal == signal.SIGABRT:
        return "It aborted itself: native code met something that it cannot handle."
    if end.signal == signal.SIGTERM:
        return "Something inside or outside the container told it to end."
    return {126: "A program could not be executed.", 127: "A program was not found."}.get(
        end.code or 0, "Nothing that is known matches; the log lines below say most."
    )


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


RULES: tuple[Rule, ...] = (exited_cleanly, crashes_at_start, no_logs)
