"""The serving socket: which of several listening sockets is the model server's, and how certain that is. Pure.

Servers open further ports, for metrics or administration, and often long before the one that matters.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from modelport.core.facts import ListeningSocket
from modelport.doctor.evidence import Evidence
from modelport.doctor.log_text import quoted
from modelport.doctor.route_survey import answers, health_answer, is_metrics, predict_answer
from modelport.doctor.socket_table import local_only, refused, sockets, table_line
from modelport.doctor.stacks import Banner, banners, default_ports, recognise


class Certainty(IntEnum):
    """ONLY: there is no other; USUAL: it looks like one; NAMED: a start-up line says it; SURE: predictions go there."""

    ONLY = 1
    USUAL = 2
    NAMED = 3
    SURE = 4


@dataclass(frozen=True)
class Serving:
    """A socket that is not the one to be reached, yet the model server's; `evidence` are the lines that show it."""

    socket: ListeningSocket
    certainty: Certainty
    evidence: tuple[str, ...]


def serving(evidence: Evidence) -> Serving | None:
    """Return the socket on which the model server listens in place of the version's port."""
    table = sockets(evidence)
    if table is None:
        return _from_banner(evidence)
    judged = [found for socket in table if (found := _judge(evidence, socket, alone=len(table) == 1)) is not None]
    return max(judged, key=lambda found: (found.certainty, not found.socket.loopback), default=None)


def _judge(evidence: Evidence, socket: ListeningSocket, *, alone: bool) -> Serving | None:
    port, expected = socket.port, evidence.spec.port
    if port == expected and not local_only(socket, evidence):
        return None
    said = _banner(evidence, port)
    lines = (table_line(socket), *((quoted(said.line),) if said else ()))
    if port == expected:
        return Serving(socket, Certainty.SURE, lines)
    if any(is_metrics(one) for one in answers(evidence, port)):
        return None
    shown = predict_answer(evidence, port)
    if shown is not None:
        return Serving(socket, Certainty.SURE, (*lines, f"probe: {shown}"))
    if said is not None:
        return Serving(socket, Certainty.NAMED, lines)
    answer = health_answer(evidence, port)
    if port in default_ports(recognise(evidence)) or answer is not None:
        return Serving(socket, Certainty.USUAL, (*lines, *((f"probe: {answer}",) if answer else ())))
    return Serving(socket, Certainty.ONLY, lines) if alone else None


def _banner(evidence: Evidence, port: int) -> Banner | None:
    named = [banner for banner in banners(evidence) if banner.port == port]
    return next((banner for banner in named if banner.own), next(iter(named), None))


def _from_banner(evidence: Evidence) -> Serving | None:
    """Where the sockets cannot be seen, a framework's own start-up line counts if nobody answers at the port."""
    own = [banner for banner in banners(evidence) if banner.own]
    if not own or not refused(evidence):
        return None
    if any("all addresses" in line.text for line in evidence.last_words):
        own = [banner for banner in own if banner.port != evidence.spec.port]
    wrong = [one for one in own if one.port != evidence.spec.port or one.host in ("127.0.0.1", "localhost", "::1")]
    if len(wrong) < len(own) or not wrong:
        return None
    host = "127.0.0.1" if wrong[-1].host == "localhost" else wrong[-1].host
    return Serving(ListeningSocket(host, wrong[-1].port), Certainty.NAMED, (quoted(wrong[-1].line),))
