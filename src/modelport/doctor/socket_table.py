"""The socket table: which of a replica's listening sockets matters, and whether its port can be reached. Pure."""

from __future__ import annotations

from modelport.core.facts import ListeningSocket
from modelport.doctor.evidence import CLOSED, NOT_HTTP, Evidence, Exchange

# Docker's embedded DNS listens here in every container of a user-defined network.
_ENGINE_DNS = "127.0.0.11"
_REPEATED_CRASH_S = 10.0


def alive(evidence: Evidence) -> bool:
    """Return whether the last attempt still runs as far as is known; a restart proves itself for some seconds first."""
    if not evidence.exits:
        return True
    return (
        evidence.facts is not None
        and evidence.facts.attempt > len(evidence.exits)
        and evidence.running_s >= _REPEATED_CRASH_S
    )


def sockets(evidence: Evidence) -> tuple[ListeningSocket, ...] | None:
    """Return the listening sockets of the replica's own programs; None where they could not be seen."""
    if evidence.facts is None or evidence.facts.sockets is None:
        return None
    return tuple(one for one in evidence.facts.sockets if one.host != _ENGINE_DNS)


def reachable(evidence: Evidence) -> bool:
    """Return whether something answers, or at least listens, where the replica is asked.

    An accepted connection is no proof where the engine's own proxy stands in front; the socket table outranks it
    unless it is older.
    """
    if any(exchange.status is not None for exchange in evidence.health):
        return True
    table = sockets(evidence)
    if table is None:
        return evidence.listening_s is not None
    if any(one.port == evidence.spec.port and not local_only(one, evidence) for one in table):
        return not only_ipv6(evidence)
    return evidence.listening_s is not None and _looked_at_s(evidence) < evidence.listening_s


def local_only(socket: ListeningSocket, evidence: Evidence) -> bool:
    """Return whether the socket is out of reach for its address; a plain process shares the host's loopback."""
    return socket.loopback and evidence.driver != "process"


def only_ipv6(evidence: Evidence) -> bool:
    """Return whether the port is open on `::` alone while connections over IPv4 are refused."""
    hosts = {one.host for one in sockets(evidence) or () if one.port == evidence.spec.port}
    last = evidence.health[-1] if evidence.health else None
    over_ipv4 = last is not None and not last.url.partition("://")[2].startswith("[")
    return hosts == {"::"} and over_ipv4 and refused(evidence) and _looked_at_s(evidence) >= 1


def refused(evidence: Evidence) -> bool:
    """Return whether the last health check found nobody: refused, or cut at once as engines' own proxies do."""
    if not evidence.health:
        return False
    last = evidence.health[-1]
    return last.status is None and not last.error.startswith("no answer within")


def cut(exchange: Exchange) -> bool:
    """Return whether a connection was accepted and gave no HTTP answer, though not for want of time."""
    return exchange.status is None and exchange.error in (CLOSED, NOT_HTTP)


def table_line(socket: ListeningSocket) -> str:
    """Return a socket as a line of evidence."""
    return f"socket table of the container: {socket}"


def probe_line(evidence: Evidence) -> tuple[str, ...]:
    """Return the last health check as a line of evidence, if there was one."""
    return (f"probe: {evidence.health[-1]}",) if evidence.health else ()


def _looked_at_s(evidence: Evidence) -> float:
    if evidence.facts is None:
        return 0.0
    return evidence.running_s - (evidence.now - evidence.facts.taken_at).total_seconds()
