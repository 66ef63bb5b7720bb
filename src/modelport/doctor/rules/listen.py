"""Rules for servers that run and cannot be reached: wrong address, wrong port, or no listening socket at all."""

from __future__ import annotations

from modelport.core.facts import ListeningSocket
from modelport.doctor.evidence import Evidence, Phase
from modelport.doctor.findings import Remedy
from modelport.doctor.idleness import busy, idle_program, quiet_s
from modelport.doctor.log_text import matching, quoted
from modelport.doctor.rule import Found, Rule, rule
from modelport.doctor.serving import Certainty, Serving, serving
from modelport.doctor.socket_table import (
    alive,
    local_only,
    only_ipv6,
    probe_line,
    reachable,
    refused,
    sockets,
    table_line,
)
from modelport.doctor.stacks import Stack, default_ports, listen_line, recognise

# A replica whose port stays closed for so long is restarted: four attempts to connect, ten seconds apart.
LISTEN_BUDGET_S = 40.0
_API_PORT = 8080
_SETTLED_S = 3.0


@rule("LISTENS_ON_LOOPBACK")
def listens_on_loopback(evidence: Evidence) -> Found | None:
    """The server accepts connections from inside its container only.

    Symptom: the version never becomes ready, and the container's log looks fine: `Running on http://127.0.0.1:5000`,
    `Uvicorn running on http://127.0.0.1:8000`, `Listening at: http://127.0.0.1:8000`. Elsewhere the same container
    gives "Model server never became ready. Please validate that your model file or container configuration are valid"
    (Vertex AI), "did not pass the ping health check" (SageMaker), "The user-provided container failed to start and
    listen on the port defined provided by the PORT=8080 environment variable" (Cloud Run). `curl localhost:8080`
    from a shell inside the container works, which makes it worse.

    Cause: many servers listen on 127.0.0.1 unless told otherwise: Flask, uvicorn, gunicorn, Django's runserver. In a
    container that address belongs to the container alone. Publishing the port, or EXPOSE, changes nothing about it.

    Proof: the container's own socket table shows the server's listening socket on 127.0.0.1 or ::1, while connections
    from outside are refused.

    Fix: listen on all addresses, and on the port in AIP_HTTP_PORT:
    `app.run(host="0.0.0.0", port=int(os.environ["AIP_HTTP_PORT"]))`, `CMD exec uvicorn main:app --host 0.0.0.0 --port
    $AIP_HTTP_PORT`, `CMD exec gunicorn --bind 0.0.0.0:$AIP_HTTP_PORT main:app`,
    `server.listen(process.env.AIP_HTTP_PORT, "0.0.0.0")`.
    """
    found = _misplaced(evidence)
    if found is None or not local_only(found.socket, evidence):
        return None
    port, expected = found.socket.port, evidence.spec.port
    cause = f"It listens on {found.socket.host}, which belongs to the container alone"
    cause += f", and on port {port} instead of {expected}." if port != expected else "."
    return Found(
        summary="The server accepts connections from inside its container only.",
        cause=cause,
        remedy=listen_line(evidence),
        evidence=(*found.evidence, *probe_line(evidence)),
    )


@rule("PORT_VARIABLE_IGNORED")
def port_variable_ignored(evidence: Evidence) -> Found | None:
    """The server has a port of its own and ignores the one it is given in AIP_HTTP_PORT.

    Symptom: the container works as long as nobody sets a port, and is never reached once the version names one:
    "failed to start and listen on the port defined provided by the PORT environment variable" (Cloud Run), "Model
    server never became ready" (Vertex AI).

    Cause: the port is written into the code or the Dockerfile, is the framework's default, or comes from another
    variable, while the version says another number in `container.ports`, or the process driver picked a free one.

    Proof: the container's socket table shows the server on another port than the one that was asked for, and that port
    is the usual 8080, the framework's default, or the value of another variable.

    Fix: read the variable: `port=int(os.environ["AIP_HTTP_PORT"])`, `--port $AIP_HTTP_PORT` in shell form, or
    `--port=$(AIP_HTTP_PORT)` in `container.args`; or set `container.ports` to the port that the server has.
    """
    found = _misplaced(evidence)
    if found is None or local_only(found.socket, evidence):
        return None
    why = _why_ignored(evidence, found.socket.port)
    if not why:
        return None
    port = found.socket.port
    return Found(
        summary=f"The server listens on port {port} and ignores AIP_HTTP_PORT, which is {evidence.spec.port}.",
        cause=why,
        remedy=_port_remedy(evidence, port),
        evidence=(*found.evidence, *probe_line(evidence)),
    )


@rule("LISTENS_ON_OTHER_PORT")
def listens_on_other_port(evidence: Evidence) -> Found | None:
    """The server listens on another port than the one at which it is asked.

    Symptom: the version never becomes ready; connections are refused though the log says that the server runs:
    `Running on http://0.0.0.0:5000`, `Uvicorn running on http://0.0.0.0:8000`, `Listening on port 3000`. Elsewhere:
    "Model server never became ready" (Vertex AI), "did not pass the ping health check" (SageMaker).

    Cause: Flask takes port 5000, uvicorn, gunicorn and Django 8000, Node examples 3000, TensorFlow Serving 8501, unless
    told otherwise; a version without `container.ports` is asked on 8080. EXPOSE in a Dockerfile decides nothing.

    Proof: the container's socket table shows the server's socket on another port, and none on the version's.

    Fix: listen on the port in AIP_HTTP_PORT, such as `port=int(os.environ["AIP_HTTP_PORT"])`; or say in the version
    which port it is: `"container": {"ports": [{"containerPort": 5000}]}`.
    """
    found = _misplaced(evidence)
    if found is None or local_only(found.socket, evidence) or _why_ignored(evidence, found.socket.port):
        return None
    port = found.socket.port
    default = port in default_ports(stack := recognise(evidence))
    return Found(
        summary=f"The server listens on port {port}; port {evidence.spec.port} is asked.",
        cause=f"{port} is the port that {stack} takes unless told otherwise."
        if default
        else f"The program chose port {port}, and the version does not say so.",
        remedy=_port_remedy(evidence, port),
        evidence=(*found.evidence, *probe_line(evidence)),
    )


@rule("LISTENS_ON_IPV6_ONLY")
def listens_on_ipv6_only(evidence: Evidence) -> Found | None:
    """The server listens on the right port over IPv6 alone; it is asked over IPv4.

    Symptom: the log says `Uvicorn running on http://[::]:8080`, `curl` inside the container works with `localhost`,
    and from outside every connection is refused.

    Cause: `::` means all addresses of both kinds only where the server does not switch IPv4 off; Python's asyncio does,
    and uvicorn, hypercorn and aiohttp with it.

    Proof: the socket table shows `[::]` with the version's port and nothing for IPv4, and connections over IPv4 are
    refused.

    Fix: listen on `0.0.0.0` in place of `::`: `CMD exec uvicorn main:app --host 0.0.0.0 --port $AIP_HTTP_PORT`.
    """
    if not alive(evidence) or reachable(evidence) or not only_ipv6(evidence):
        return None
    socket = next(one for one in sockets(evidence) or () if one.port == evidence.spec.port)
    return Found(
        summary="The server accepts connections over IPv6 only.",
        cause="It listens on `::` with IPv4 switched off, and is asked over IPv4.",
        remedy=listen_line(evidence),
        evidence=(table_line(socket), *probe_line(evidence)),
    )


@rule("LISTENS_ON_UNIX_SOCKET_ONLY")
def listens_on_unix_socket_only(evidence: Evidence) -> Found | None:
    """The server listens on a Unix socket, a file, and on no TCP port.

    Symptom: the log ends with `Listening at: unix:/run/app.sock` (gunicorn) or `Uvicorn running on unix socket
    /run/app.sock`, and connections to the port are refused: "Model server never became ready" (Vertex AI), "did not
    pass the ping health check" (SageMaker).

    Cause: such a setup is meant to stand behind nginx on the same machine; here nginx is missing or did not start.

    Proof: no listening TCP socket in the container, and the server's own start-up line names a Unix socket.

    Fix: listen on TCP: `CMD exec gunicorn --bind 0.0.0.0:$AIP_HTTP_PORT main:app`; or start nginx as well, with
    `listen 8080;`.
    """
    said = matching(
        evidence.last_words, r"Listening at: unix:(?P<path>\S+)", r"Uvicorn running on unix socket (?P<path>\S+)"
    )
    if said is None or sockets(evidence) != () or not alive(evidence) or reachable(evidence):
        return None
    return Found(
        summary=f"The server listens on the Unix socket {said['path']} and on no TCP port.",
        cause="It was told to bind a file, as behind a web server on the same machine.",
        remedy=listen_line(evidence),
        evidence=("socket table of the container: no listening TCP socket", quoted(said.string), *probe_line(evidence)),
    )


@rule("LOADS_BEFORE_LISTENING")
def loads_before_listening(evidence: Evidence) -> Found | None:
    """The program does something long, such as loading its model, before it opens its port.

    Symptom: the container is started again and again after about 40 seconds, and each time its log ends amid loading:
    `Loading checkpoint shards: 40%`. Elsewhere: "Model server never became ready" (Vertex AI), "model container failed
    to boot and complete setup within 600 seconds" (Replicate), "did not pass the ping health check" (SageMaker).

    Cause: a container whose port stays closed for 40 seconds counts as dead and is restarted, and then begins anew.

    Proof: no socket on the version's port within 40 seconds, while the program uses CPU time, takes memory or writes
    its log; or a port that was opened only after that.

    Fix: listen first, load in a thread, and answer 503 on the health route until the model is there:
    `threading.Thread(target=load, daemon=True).start()` before `app.run(...)`. Loading less also helps: artifacts
    next to the container in place of a download, fewer workers, `gunicorn --preload`.
    """
    late = evidence.listening_s is not None and evidence.listening_s > LISTEN_BUDGET_S
    if late and evidence.listening_s is not None and any(one.status is not None for one in evidence.health):
        lines: tuple[str, ...] = (f"start: the port opened after {evidence.listening_s:.0f} s",)
        waited = evidence.listening_s
    else:
        closed = alive(evidence) and not reachable(evidence) and not _opened(evidence)
        sign = busy(evidence)
        # Whoever waits may have less patience than the contract.
        waited_for = evidence.running_s >= LISTEN_BUDGET_S or evidence.phase is Phase.LISTEN
        if not closed or not waited_for or sign is None or sockets(evidence) is None or idle_program(evidence):
            return None
        if (found := serving(evidence)) is not None and found.certainty >= Certainty.NAMED:
            return None
        waited = evidence.running_s
        lines = (_no_socket_line(evidence), sign, *probe_line(evidence))
    return Found(
        summary=f"The port was still closed after {min(waited, LISTEN_BUDGET_S):.0f} s: the program loads before it "
        "listens.",
        cause=f"It was busy for {waited:.0f} s before opening port {evidence.spec.port}; after "
        f"{LISTEN_BUDGET_S:.0f} s a container counts as dead and is restarted.",
        remedy="Listen first, load the model in a thread, and answer 503 on the health route until it is there: "
        "`threading.Thread(target=load_model, daemon=True).start()` before the line that starts the server",
        evidence=lines,
    )


@rule("NEVER_LISTENS")
def never_listens(evidence: Evidence) -> Found | None:
    """The container runs and opens no port: there is no server in it, or it waits for something else.

    Symptom: the version never becomes ready, connections are refused, nothing crashes, and often nothing is logged.
    Elsewhere: "Model server never became ready" (Vertex AI), "failed to start and listen on the port" (Cloud Run).

    Cause: the command starts no web server: a script that predicts once or reads standard input, a shell, `sleep`; or
    the server waits for something that never comes before it listens, such as a database.

    Proof: the container's socket table has no listening socket that could be the server's, while its processes live.

    Fix: start a web server as the container's command, in the foreground, on 0.0.0.0 and the port in AIP_HTTP_PORT:
    `CMD exec gunicorn --bind 0.0.0.0:$AIP_HTTP_PORT main:app`.
    """
    table = sockets(evidence)
    if table is None or not alive(evidence) or reachable(evidence) or only_ipv6(evidence):
        return None
    if _misplaced(evidence) is not None or listens_on_unix_socket_only(evidence) or loads_before_listening(evidence):
        return None
    idle = idle_program(evidence)
    if evidence.running_s < (_SETTLED_S if idle else LISTEN_BUDGET_S) and evidence.phase is not Phase.LISTEN:
        return None
    others = tuple(table_line(one) for one in table)
    processes = tuple(
        f"process {process.pid}: {' '.join(process.command)[:120]}"
        for process in ((evidence.facts.processes if evidence.facts else None) or ())[:3]
    )
    if idle:
        cause = f"The container runs `{idle}`, which serves nothing."
    elif (sign := busy(evidence)) is not None:
        cause, processes = "It is still busy with something else.", (*processes, sign)
    else:
        cause = "Its program runs, and does nothing that would open a port: it waits, or it is no server."
    return Found(
        summary=f"Nothing listens on port {evidence.spec.port} {evidence.running_s:.0f} s after the start.",
        cause=cause,
        remedy="Start a web server as the container's command, in the foreground: "
        + (
            "`CMD exec gunicorn --bind 0.0.0.0:$AIP_HTTP_PORT main:app`"
            if recognise(evidence) is Stack.UNKNOWN
            else f"`{listen_line(evidence)}`"
        ),
        evidence=(*(others or (_no_socket_line(evidence),)), *processes, *probe_line(evidence)),
    )


def _misplaced(evidence: Evidence) -> Serving | None:
    """Return the server's socket where it is not the one to be reached, and that is certain enough to say."""
    if not alive(evidence) or reachable(evidence) or only_ipv6(evidence):
        return None
    found = serving(evidence)
    if found is None or (not refused(evidence) and evidence.health):
        return None
    certain = found.certainty > Certainty.ONLY or (quiet_s(evidence) >= _SETTLED_S and busy(evidence) is None)
    return found if certain else None


def _why_ignored(evidence: Evidence, port: int) -> str:
    """Return why it is evident that the program does not look at AIP_HTTP_PORT, or nothing."""
    spec = evidence.spec
    known = (*spec.env, *(evidence.image.env if evidence.image else ()))
    other = [one.name for one in known if one.value == str(port) and one.name.endswith("PORT")]
    if other and other[0] != "AIP_HTTP_PORT":
        return f"It takes its port from {other[0]}, which is {port}."
    if evidence.driver == "process":
        return "Its port is fixed; without a container the platform picks a free port and says it in AIP_HTTP_PORT."
    if spec.port_given and spec.port != _API_PORT and (port == _API_PORT or port in default_ports(recognise(evidence))):
        return f"Its port is fixed at {port}, while container.ports says {spec.port}."
    return ""


def _port_remedy(evidence: Evidence, port: int) -> Remedy:
    line = listen_line(evidence)
    if evidence.driver == "process":
        return Remedy(line)
    return Remedy(
        f"{line}   (or set container.ports to {port})",
        (("add", "/container/ports", [{"containerPort": port}]),),
    )


def _opened(evidence: Evidence) -> bool:
    return any(one.port == evidence.spec.port for one in sockets(evidence) or ())


def _no_socket_line(evidence: Evidence) -> str:
    table: tuple[ListeningSocket, ...] = sockets(evidence) or ()
    if not table:
        return f"socket table of the container: no listening TCP socket after {evidence.running_s:.0f} s"
    return f"socket table of the container: nothing on port {evidence.spec.port} after {evidence.running_s:.0f} s"


RULES: tuple[Rule, ...] = (
    listens_on_ipv6_only,
    listens_on_loopback,
    port_variable_ignored,
    listens_on_other_port,
    listens_on_unix_socket_only,
    loads_before_listening,
    never_listens,
)
