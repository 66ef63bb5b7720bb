"""Stacks: which web server runs in a container, where it says it listens, and the line that makes it listen right.

Recognised by what it prints, by the `server` header of its answers and by its command line. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from modelport.doctor.evidence import Evidence
from modelport.doctor.log_text import plain


class Stack(StrEnum):
    """A family of servers that are configured in the same way."""

    FLASK = "Flask"
    DJANGO = "Django"
    GUNICORN = "gunicorn"
    UVICORN = "uvicorn"
    HYPERCORN = "hypercorn"
    WAITRESS = "waitress"
    AIOHTTP = "aiohttp"
    TORNADO = "Tornado"
    HTTP_SERVER = "http.server"
    GRADIO = "Gradio"
    STREAMLIT = "Streamlit"
    NODE = "Node.js"
    SPRING = "Spring Boot"
    TF_SERVING = "TensorFlow Serving"
    TRITON = "Triton"
    TORCHSERVE = "TorchServe"
    NGINX = "nginx"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Banner:
    """A line in which a server says where it listens; `own` where the words are a framework's, not the program's."""

    host: str
    port: int
    scheme: str
    line: str
    own: bool


# What a server prints when it starts, versions 2020-2026. In this order: gunicorn's workers may be uvicorn's.
_LOG = (
    (Stack.GUNICORN, re.compile(r"\[INFO\] (?:Starting gunicorn |Listening at: )")),
    (Stack.DJANGO, re.compile(r"^Starting development server at http|^Django version \d")),
    (Stack.FLASK, re.compile(r"^ \* (?:Serving Flask app|Running on (?:http|all addresses))")),
    (Stack.UVICORN, re.compile(r"Uvicorn running on |Started server process \[\d+\]")),
    (Stack.HYPERCORN, re.compile(r"Running on https?://\S+ \(CTRL \+ C to quit\)")),
    (Stack.AIOHTTP, re.compile(r"^=+ Running on http")),
    (Stack.WAITRESS, re.compile(r"waitress|^INFO:waitress:Serving on ")),
    (Stack.HTTP_SERVER, re.compile(r"^Serving HTTP on \S+ port \d+")),
    (Stack.GRADIO, re.compile(r"^\* ?Running on local URL:")),
    (Stack.STREAMLIT, re.compile(r"You can now view your Streamlit app")),
    (Stack.SPRING, re.compile(r"Tomcat started on port|:: Spring Boot ::|Netty started on port")),
    (Stack.TF_SERVING, re.compile(r"tensorflow_serving/model_servers")),
    (Stack.TRITON, re.compile(r"Started (?:HTTPService|GRPCInferenceService) at")),
    (Stack.TORCHSERVE, re.compile(r"org\.pytorch\.serve")),
)
_HEADER = (
    (Stack.FLASK, re.compile(r"^Werkzeug/")),
    (Stack.GUNICORN, re.compile(r"^gunicorn")),
    (Stack.UVICORN, re.compile(r"^uvicorn")),
    (Stack.HYPERCORN, re.compile(r"^hypercorn")),
    (Stack.WAITRESS, re.compile(r"^waitress")),
    (Stack.AIOHTTP, re.compile(r"aiohttp/")),
    (Stack.TORNADO, re.compile(r"^TornadoServer/")),
    (Stack.DJANGO, re.compile(r"^WSGIServer/")),
    (Stack.HTTP_SERVER, re.compile(r"^(?:BaseHTTP|SimpleHTTP)/")),
    (Stack.NGINX, re.compile(r"^(?:nginx|openresty)")),
)
_COMMAND = (
    (Stack.GUNICORN, re.compile(r"(?:^|[/\s])gunicorn(?:\s|$)")),
    (Stack.UVICORN, re.compile(r"(?:^|[/\s])(?:uvicorn|fastapi)(?:\s|$)")),
    (Stack.HYPERCORN, re.compile(r"(?:^|[/\s])hypercorn(?:\s|$)")),
    (Stack.WAITRESS, re.compile(r"(?:^|[/\s])waitress(?:-serve)?(?:\s|$)")),
    (Stack.FLASK, re.compile(r"(?:^|[/\s])flask\s.*\brun\b")),
    (Stack.DJANGO, re.compile(r"manage\.py\s+runserver")),
    (Stack.HTTP_SERVER, re.compile(r"-m\s+http\.server")),
    (Stack.STREAMLIT, re.compile(r"(?:^|[/\s])streamlit\s+run")),
    (Stack.TF_SERVING, re.compile(r"tensorflow_model_server")),
    (Stack.TRITON, re.compile(r"tritonserver")),
    (Stack.TORCHSERVE, re.compile(r"(?:^|[/\s])torchserve|org\.pytorch\.serve")),
    (Stack.NGINX, re.compile(r"(?:^|[/\s])nginx(?:[\s:]|$)")),
    (Stack.NODE, re.compile(r"(?:^|[/\s])(?:node|npm|yarn|tsx|ts-node)(?:\s|$)")),
)
_DEFAULT_PORTS: dict[Stack, tuple[int, ...]] = {
    Stack.FLASK: (5000,),
    Stack.DJANGO: (8000,),
    Stack.GUNICORN: (8000,),
    Stack.UVICORN: (8000,),
    Stack.HYPERCORN: (8000,),
    Stack.WAITRESS: (8080,),
    Stack.AIOHTTP: (8080,),
    Stack.TORNADO: (8888,),
    Stack.HTTP_SERVER: (8000,),
    Stack.GRADIO: (7860,),
    Stack.STREAMLIT: (8501,),
    Stack.NODE: (3000,),
    Stack.SPRING: (8080,),
    Stack.TF_SERVING: (8501,),
    Stack.TRITON: (8000,),
    Stack.TORCHSERVE: (8080,),
    Stack.NGINX: (80,),
}
_OWN_BANNER = re.compile(
    r"(?:^ \* Running on|Uvicorn running on|Listening at:|^=+ Running on|^Starting development server at"
    r"|\] Running on|^\* ?Running on local URL:|Serving on)\s+(?P<scheme>https?)://(?P<host>\[[^\]]+\]|[^\s:/\[]+)"
    r":(?P<port>\d+)"
)
_OWN_PLAIN = re.compile(
    r"^Serving HTTP on (?P<host>\S+) port (?P<port>\d+)|(?:Tomcat|Netty) started on port(?:\(s\):|) (?P<java>\d+)"
)
_ANY_BANNER = re.compile(
    r"\b(?:listening|running|started|serving|server|ready|up)\b[^/\d]{0,40}?"
    r"(?:(?P<scheme>https?)://(?P<host>\[[^\]]+\]|[^\s:/\[]+):|\bport:?\s*|\s(?P<bare>\d+\.\d+\.\d+\.\d+|localhost):|\s:)"
    r"(?P<port>\d{2,5})\b",
    re.IGNORECASE,
)
_SIDE_SERVER = re.compile(r"metric|prometheus|admin|debug|management|dashboard|grpc|probe|profil", re.IGNORECASE)


def recognise(evidence: Evidence) -> Stack:
    """Return the stack; UNKNOWN where nothing gives it away."""
    texts = [plain(line.text) for line in evidence.last_words]
    for stack, pattern in _LOG:
        if any(pattern.search(text) for text in texts):
            return stack
    commands = _commands(evidence)
    for stack, pattern in _COMMAND:
        if any(pattern.search(command) for command in commands):
            return stack
    asked = (*evidence.health, *evidence.sweep, *(prediction.exchange for prediction in evidence.predictions))
    servers = {exchange.header("server") for exchange in asked}
    for stack, pattern in _HEADER:
        if any(pattern.search(server) for server in servers):
            return stack
    if any(exchange.header("x-powered-by") == "Express" for exchange in asked):
        return Stack.NODE
    return Stack.UNKNOWN


def banners(evidence: Evidence) -> tuple[Banner, ...]:
    """Return what the last attempt printed of where it listens; lines of metrics and admin servers are left out."""
    found = []
    for line in evidence.last_words:
        text = plain(line.text)
        if match := _OWN_BANNER.search(text):
            found.append(Banner(match["host"].strip("[]"), int(match["port"]), match["scheme"], text, own=True))
        elif match := _OWN_PLAIN.search(text):
            port = int(match["port"] or match["java"])
            found.append(Banner((match["host"] or "").strip("[]"), port, "http", text, own=True))
        elif (match := _ANY_BANNER.search(text)) and not _SIDE_SERVER.search(text):
            host = (match["host"] or match["bare"] or "").strip("[]")
            found.append(Banner(host, int(match["port"]), (match["scheme"] or "").lower(), text, own=False))
    return tuple(found)


def default_ports(stack: Stack) -> tuple[int, ...]:
    """Return the ports on which servers of this stack listen unless told otherwise."""
    return _DEFAULT_PORTS.get(stack, ())


def is_usual(port: int) -> bool:
    """Return whether some stack's servers listen on this port unless told otherwise."""
    return any(port in ports for ports in _DEFAULT_PORTS.values())


def application(evidence: Evidence) -> str:
    """Return `module:variable` as it is written in a command line, else by the script that Python runs."""
    commands = _commands(evidence)
    for one in commands:
        if match := re.search(r"\s([\w.]+:\w+(?:\(\))?)(?:\s|$)", one):
            return match[1]
    scripts = (re.search(r"python[\d.]*\s(?:-\w\s)*(?:\S*/)?(\w+)\.py\b", one) for one in commands)
    return next((f"{match[1]}:app" for match in scripts if match), "main:app")


def listen_line(evidence: Evidence) -> str:
    """Return the literal line that makes this server listen on all addresses and on the port it is given."""
    stack, commands = recognise(evidence), _commands(evidence)
    app = application(evidence)
    direct = any(pattern.search(one) for known, pattern in _COMMAND if known is stack for one in commands)
    lines = {
        Stack.GUNICORN: f"CMD exec gunicorn --bind 0.0.0.0:$AIP_HTTP_PORT {app}",
        Stack.UVICORN: f"CMD exec uvicorn {app} --host 0.0.0.0 --port $AIP_HTTP_PORT"
        if direct
        else 'uvicorn.run(app, host="0.0.0.0", port=int(os.environ["AIP_HTTP_PORT"]))',
        Stack.HYPERCORN: f"CMD exec hypercorn --bind 0.0.0.0:$AIP_HTTP_PORT {app}",
        Stack.WAITRESS: f"CMD exec waitress-serve --listen=0.0.0.0:$AIP_HTTP_PORT {app}",
        Stack.FLASK: "CMD exec flask run --host 0.0.0.0 --port $AIP_HTTP_PORT"
        if direct
        else 'app.run(host="0.0.0.0", port=int(os.environ["AIP_HTTP_PORT"]))',
        Stack.DJANGO: "CMD exec python manage.py runserver 0.0.0.0:$AIP_HTTP_PORT",
        Stack.AIOHTTP: 'web.run_app(app, host="0.0.0.0", port=int(os.environ["AIP_HTTP_PORT"]))',
        Stack.TORNADO: 'app.listen(int(os.environ["AIP_HTTP_PORT"]), address="0.0.0.0")',
        Stack.HTTP_SERVER: 'HTTPServer(("0.0.0.0", int(os.environ["AIP_HTTP_PORT"])), Handler).serve_forever()',
        Stack.GRADIO: 'demo.launch(server_name="0.0.0.0", server_port=int(os.environ["AIP_HTTP_PORT"]))',
        Stack.STREAMLIT: "CMD exec streamlit run app.py --server.address 0.0.0.0 --server.port $AIP_HTTP_PORT",
        Stack.NODE: 'server.listen(process.env.AIP_HTTP_PORT, "0.0.0.0")',
        Stack.SPRING: "server.port=${AIP_HTTP_PORT} and server.address=0.0.0.0 in application.properties",
        Stack.TF_SERVING: "args: --rest_api_port=$(AIP_HTTP_PORT)",
        Stack.TRITON: "args: --http-port=$(AIP_HTTP_PORT)",
        Stack.TORCHSERVE: "inference_address=http://0.0.0.0:8080 in config.properties",
        Stack.NGINX: f"listen 0.0.0.0:{evidence.spec.port}; in nginx.conf",
    }
    return lines.get(stack, f"Listen on 0.0.0.0 and on the port in AIP_HTTP_PORT ({evidence.spec.port})")


def _commands(evidence: Evidence) -> tuple[str, ...]:
    facts = evidence.facts
    if facts is None:
        return (" ".join((*evidence.spec.command, *evidence.spec.args)),)
    return (" ".join(facts.command), *(" ".join(process.command) for process in facts.processes or ()))
