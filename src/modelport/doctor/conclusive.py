"""Conclusive: whether waiting longer can still change anything for a replica that is not healthy yet. Pure.

Asked many times a second. A slow starter must never be given up: whatever may be part of loading counts as no end.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from modelport.doctor.evidence import CLOSED, REFUSED, Evidence, Exchange, Phase
from modelport.doctor.idleness import idle_program, own_lines, quiet_s, says_it_is_loading
from modelport.doctor.last_words import said_times
from modelport.doctor.log_text import exceptions, fatal_exception, matching
from modelport.doctor.route_survey import answers, health_answer, is_readiness, predict_answer, says_no_such_route
from modelport.doctor.serving import Certainty, serving
from modelport.doctor.socket_table import alive, cut, only_ipv6, reachable, refused, sockets
from modelport.doctor.stacks import Stack, banners, is_usual, recognise

_LOADING_STATUSES = (502, 503, 504)  # 502 and 504: a web server whose program behind it is not there yet
_NO_MODEL_YET = (
    r"(?i)\b(?:not|n't)\b.{0,20}\b(?:loaded|ready|initiali[sz]ed)\b|\bloading\b|\bmodel\b.*\bnot defined|NoneType"
)
# gunicorn boots one worker after the other; the first may have died of something that passes.
_WORKERS_DIE = (
    (r"Worker \(pid:\d+\) was sent SIGKILL! Perhaps out of memory\?", 2),
    (r"WORKER TIMEOUT \(pid:\d+\)", 3),
)
_NEXT_CHECK_S = 2.0  # after the one before; a check that takes longer hangs
_LOAD_FAILED = r"(?i)load|model"

# Before that nobody needs to hear that a server is not up yet.
_USUAL_START_S = 10.0
_LOADING = 503
# The last answer may be older than the port, which is known to be open as soon as a connection lasts.
_BEFORE_IT_LISTENED = (REFUSED, CLOSED)


@dataclass(frozen=True)
class Patience:
    """How long to look before something counts as settled.

    Attributes:
        settled_s: for what cannot be part of a start; twice as long where it is less certain.
        listen_budget_s: a replica may keep its port closed for so long.
        probe_timeout_s: of one health check.
    """

    settled_s: float = 3.0
    listen_budget_s: float = 40.0
    probe_timeout_s: float = 10.0


def conclusive(evidence: Evidence, patience: Patience) -> Phase | None:
    """Return the phase that has failed for good, or None while waiting may still help."""
    if evidence.healthy_s is not None:
        return None
    if not alive(evidence):
        return Phase.START
    if not reachable(evidence):
        return Phase.LISTEN if _closed_for_good(evidence, patience) else None
    return Phase.HEALTH if _unhealthy_for_good(evidence, patience) else None


def early_warning(evidence: Evidence) -> str:
    """Return what is not as it should be so far, on one line, or nothing."""
    if evidence.healthy_s is not None:
        return ""
    if evidence.exits:
        end = evidence.exits[-1]
        how = "killed for memory" if end.oom_killed else str(end)
        return f"{how}, started again" if alive(evidence) else how
    if not reachable(evidence):
        return _closed_warning(evidence)
    last = evidence.health[-1] if evidence.health else None
    if last is None or last.status == 200 or last.error in _BEFORE_IT_LISTENED:
        return ""
    if last.status == _LOADING and evidence.running_s < _USUAL_START_S:
        return ""
    return f"{last.method} {last.path} → {last.outcome}"


def _closed_warning(evidence: Evidence) -> str:
    expected = f"expected 0.0.0.0:{evidence.spec.port}"
    found = serving(evidence)
    table = sockets(evidence)
    if found is None and not table:
        silent = table is not None and evidence.running_s >= _USUAL_START_S
        return f"listens on no port yet; {expected}" if silent else ""
    one = found.socket if found is not None else (table or ())[0]
    host = f"[{one.host}]" if ":" in one.host else one.host
    return f"listens on {host}:{one.port}; {expected}"


def _closed_for_good(evidence: Evidence, patience: Patience) -> bool:
    """Return whether the port will stay closed."""
    if evidence.running_s >= patience.listen_budget_s:
        return True
    if evidence.running_s < patience.settled_s:
        return False
    table, quiet = sockets(evidence), quiet_s(evidence)
    if idle_program(evidence):
        return True
    if only_ipv6(evidence):
        return quiet >= patience.settled_s
    if table == ():
        said = matching(evidence.last_words, r"Listening at: unix:", r"Uvicorn running on unix socket")
        return said is not None and quiet >= 2 * patience.settled_s
    found = serving(evidence)
    if found is None or not refused(evidence):
        return False
    port = found.socket.port
    if port == evidence.spec.port:
        # The address is taken: nothing that starts later can listen there for everybody.
        return quiet >= patience.settled_s or evidence.running_s >= 4 * patience.settled_s
    if found.certainty is Certainty.SURE:
        shown = predict_answer(evidence, port)
        seen_s = (evidence.now - shown.time).total_seconds() if shown is not None else 0.0
        return quiet >= patience.settled_s or seen_s >= 2 * patience.settled_s
    # A server for metrics or administration may have a banner too, and be there long before the one that matters.
    named = [one for one in banners(evidence) if one.port == port]
    if not named or not is_usual(port) or says_it_is_loading(own_lines(evidence)):
        return False
    return quiet >= 2 * patience.settled_s


def _unhealthy_for_good(evidence: Evidence, patience: Patience) -> bool:
    """Return whether a server that can be reached will not become healthy."""
    last = evidence.health[-1] if evidence.health else None
    if any(said_times(evidence, pattern) >= times for pattern, times in _WORKERS_DIE):
        return True
    if last is None or _answering_s(evidence) < patience.settled_s or not _goes_on(evidence, last):
        return False
    if last.status is None:
        return _silent_for_good(evidence, last, patience)
    quiet = quiet_s(evidence)
    if last.status in (404, 405, 501):
        return _missing_for_good(evidence, last, patience, quiet)
    if last.status in _LOADING_STATUSES:
        return last.status == 503 and quiet >= 2 * patience.settled_s and _load_failed(evidence)
    if last.status >= 500:
        return not _model_missing(evidence, last) and _settled_failure(evidence, patience)
    return last.status != 200 and last.status != 429


def _missing_for_good(evidence: Evidence, last: Exchange, patience: Patience, quiet: float) -> bool:
    """Return whether the health route will not appear; some servers answer 404 until their model is loaded."""
    if recognise(evidence) is Stack.TF_SERVING or says_it_is_loading(own_lines(evidence)):
        return False
    other = health_answer(evidence)
    if last.status != 404:
        return quiet >= patience.settled_s
    by_framework = says_no_such_route(last)
    if (other is not None and is_readiness(other)) or predict_answer(evidence) is not None:
        return quiet >= patience.settled_s
    if by_framework:
        return quiet >= 2 * patience.settled_s
    return _answering_s(evidence) >= patience.listen_budget_s and quiet >= 2 * patience.settled_s


def _silent_for_good(evidence: Evidence, last: Exchange, patience: Patience) -> bool:
    """Return whether a health route without an answer will never give one."""
    quiet = quiet_s(evidence)
    if not last.error.startswith("no answer within"):
        table = sockets(evidence)
        open_port = any(one.port == evidence.spec.port for one in table or ())
        secure = any(one.scheme == "https" and one.port == evidence.spec.port for one in banners(evidence))
        if secure:
            return quiet >= patience.settled_s
        return open_port and cut(last) and _settled_failure(evidence, patience)
    # gunicorn and others listen first, and let callers wait while they load.
    others = [one for one in answers(evidence) if one.path != last.path]
    return bool(others) and quiet >= patience.settled_s and last.latency_s >= patience.probe_timeout_s * 0.9


def _settled_failure(evidence: Evidence, patience: Patience) -> bool:
    """Return whether a failing health route has failed alike for a while; each failure may print its traceback."""
    if _answering_s(evidence) < 2 * patience.settled_s:
        return False
    printed = [str(one) for one in exceptions(evidence.last_words)][-3:]
    repeated = len(printed) == 3 and len(set(printed)) == 1
    return repeated or quiet_s(evidence) >= 2 * patience.settled_s


def _model_missing(evidence: Evidence, last: Exchange) -> bool:
    """Return whether the failure says that there is no model, which may be about to change."""
    raised = next(reversed(exceptions(evidence.last_words)), None)
    return any(re.search(_NO_MODEL_YET, text) for text in (last.body, str(raised or "")))


def _load_failed(evidence: Evidence) -> bool:
    raised = fatal_exception(own_lines(evidence), within=5)
    if raised is None:
        return False
    lines = own_lines(evidence)
    around = lines[max(0, raised.first - 2) : raised.last + 6]
    return matching(around, _LOAD_FAILED) is not None


def _goes_on(evidence: Evidence, last: Exchange) -> bool:
    """Return whether health checks still end like the last one: one that hangs meanwhile may be about to succeed."""
    if last.error.startswith("no answer within"):
        return True
    if last.last_time is not None:
        return (evidence.now - last.last_time).total_seconds() <= last.latency_s + _NEXT_CHECK_S
    return last.times * (last.latency_s + 1.0) >= (evidence.now - last.time).total_seconds()


def _answering_s(evidence: Evidence) -> float:
    """Return how long the port has been open."""
    return evidence.running_s - (evidence.listening_s or 0.0)
