"""Containers that run and cannot be reached: the wrong address, the wrong port, no port at all, or not HTTP."""

from tests.containers.container import DOCKER, NODE, PODMAN, PYTHON, Container, Edit, OwnPatch
from tests.containers.servers import FASTAPI, FLASK, FLASK_RUN, GUNICORN, NODE_SERVER, STDLIB, UVICORN

BOTH = (PODMAN, DOCKER)

LOOPBACK = (
    Container(
        # The one that everybody meets: Flask's quick start has no host.
        name="flask-on-loopback",
        code="LISTENS_ON_LOOPBACK",
        files={"app.py": FLASK + "app.run(port=8080)\n"},
        evidence=r"LISTEN 127\.0\.0\.1:8080",
        remedy=(Edit("app.py", "port=8080", 'host="0.0.0.0", port=8080'),),
        engines=BOTH,
    ),
    Container(
        # uvicorn's own defaults: wrong address and wrong port at once. The address is what hides the server.
        name="uvicorn-without-host-and-port",
        code="LISTENS_ON_LOOPBACK",
        files={"main.py": FASTAPI},
        dockerfile='COPY . .\nCMD ["uvicorn", "main:app"]\n',
        evidence=r"LISTEN 127\.0\.0\.1:8000",
        remedy=(Edit("Dockerfile", '"main:app"', '"main:app", "--host", "0.0.0.0", "--port", "8080"'),),
    ),
    Container(
        name="gunicorn-bound-to-loopback",
        code="LISTENS_ON_LOOPBACK",
        files={"app.py": FLASK},
        dockerfile=GUNICORN.replace("0.0.0.0", "127.0.0.1"),
        evidence=r"LISTEN 127\.0\.0\.1:8080",
        remedy=(Edit("Dockerfile", "127.0.0.1", "0.0.0.0"),),
    ),
    Container(
        name="node-on-localhost",
        code="LISTENS_ON_LOOPBACK",
        files={"server.js": NODE_SERVER + 'server.listen(8080, "localhost");\n'},
        dockerfile=NODE,
        evidence=r"LISTEN (127\.0\.0\.1|\[::1\]):8080",
        remedy=(Edit("server.js", ', "localhost"', ""),),
    ),
    Container(
        # asyncio, below uvicorn, switches IPv4 off where it is given an address of IPv6.
        name="uvicorn-on-ipv6",
        code="LISTENS_ON_IPV6_ONLY",
        files={"main.py": FASTAPI},
        dockerfile=UVICORN.replace("0.0.0.0", "::"),
        evidence=r"LISTEN \[::\]:8080",
        remedy=(Edit("Dockerfile", "::", "0.0.0.0"),),
    ),
    Container(
        # Made to stand behind nginx on the same machine.
        name="gunicorn-on-a-unix-socket",
        code="LISTENS_ON_UNIX_SOCKET_ONLY",
        files={"app.py": FLASK},
        dockerfile=GUNICORN.replace("0.0.0.0:8080", "unix:/tmp/app.sock"),
        evidence=r"unix:/tmp/app\.sock",
        remedy=(Edit("Dockerfile", "unix:/tmp/app.sock", "0.0.0.0:8080"),),
    ),
)

PORTS = (
    Container(
        name="flask-on-its-own-port",
        code="LISTENS_ON_OTHER_PORT",
        files={"app.py": FLASK + 'app.run(host="0.0.0.0")\n'},
        evidence=r"LISTEN 0\.0\.0\.0:5000",
        remedy=OwnPatch(),
        engines=BOTH,
    ),
    Container(
        name="uvicorn-on-its-own-port",
        code="LISTENS_ON_OTHER_PORT",
        files={"main.py": FASTAPI},
        dockerfile='EXPOSE 8000\nCOPY . .\nCMD ["uvicorn", "main:app", "--host", "0.0.0.0"]\n',
        evidence=r"LISTEN 0\.0\.0\.0:8000",
        remedy=OwnPatch(),
    ),
    Container(
        # The spec asks for another port than 8080, and the program never looks at AIP_HTTP_PORT.
        name="node-ignores-the-port-asked-for",
        code="PORT_VARIABLE_IGNORED",
        files={"server.js": NODE_SERVER + "server.listen(3000);\n"},
        dockerfile=NODE,
        version={"container": {"ports": [{"containerPort": 9000}]}},
        evidence=r"LISTEN (0\.0\.0\.0|\[::\]):3000",
        remedy=(Edit("server.js", "3000", "Number(process.env.AIP_HTTP_PORT)"),),
    ),
    Container(
        # Made for another platform, whose port the version still sets.
        name="version-sets-another-port-variable",
        code="PORT_VARIABLE_IGNORED",
        files={"app.py": FLASK + 'app.run(host="0.0.0.0", port=int(os.environ["PORT"]))\n'},
        version={"container": {"env": [{"name": "PORT", "value": "9090"}]}},
        evidence=r"LISTEN 0\.0\.0\.0:9090",
        remedy=OwnPatch(),
    ),
    Container(
        # Without capabilities and not as root a server may not listen below 1024; Docker's namespaces allow it.
        name="low-port-of-an-ordinary-user",
        code="PRIVILEGED_PORT",
        files={"app.py": STDLIB + "serve(port=80)\n"},
        dockerfile=f"USER nobody\n{PYTHON}",
        evidence=r"Permission denied",
        remedy=(Edit("app.py", "serve(port=80)", "serve()"),),
    ),
    Container(
        # A forgotten static server took the port; gunicorn tries five times and gives up.
        name="gunicorn-and-another-server",
        code="ADDRESS_IN_USE",
        files={
            "app.py": FLASK,
            "start.sh": "#!/bin/sh\npython -m http.server 8080 &\nsleep 1\nexec gunicorn --bind 0.0.0.0:8080 app:app\n",
        },
        dockerfile='COPY . .\nCMD ["sh", "start.sh"]\n',
        evidence=r"(?i)address already in use|Connection in use",
        remedy=(Edit("start.sh", "python -m http.server 8080 &\nsleep 1\n", ""),),
    ),
    Container(
        name="node-listens-twice",
        code="ADDRESS_IN_USE",
        files={"server.js": NODE_SERVER + "server.listen(8080);\nhttp.createServer().listen(8080);\n"},
        dockerfile=NODE,
        evidence=r"EADDRINUSE",
        remedy=(Edit("server.js", "http.createServer().listen(8080);\n", ""),),
    ),
)

NOBODY_LISTENS = (
    Container(
        # A worker that polls a queue: fine elsewhere, but nothing here ever asks it.
        name="queue-worker",
        code="NEVER_LISTENS",
        files={
            "app.py": 'import time\n\nprint("worker started, polling", flush=True)\nwhile True:\n    time.sleep(5)\n',
        },
        evidence=r"(?i)no listening|nothing listens|socket table",
        remedy=(Edit("app.py", "while True:\n    time.sleep(5)\n", STDLIB + "serve()\n"),),
        engines=BOTH,
    ),
    Container(
        name="kept-alive-by-a-shell",
        code="NEVER_LISTENS",
        files={"app.py": FLASK + FLASK_RUN},
        dockerfile='COPY . .\nENTRYPOINT ["sleep"]\nCMD ["infinity"]\n',
        evidence=r"(?i)no listening|nothing listens|socket table",
        remedy=(Edit("Dockerfile", 'ENTRYPOINT ["sleep"]\nCMD ["infinity"]', 'CMD ["python", "app.py"]'),),
    ),
    Container(
        # Loads for longer than a server may take until it listens: in production it would be restarted for ever.
        name="loads-before-it-listens",
        code="LOADS_BEFORE_LISTENING",
        files={
            "app.py": STDLIB
            + "for shard in range(60):\n    print(f'Loading checkpoint shards: {shard}/60', flush=True)\n"
            + "    time.sleep(0.5)\nserve()\n"
        },
        evidence=r"(?i)shards|CPU|listen",
        remedy=(Edit("app.py", "range(60)", "range(2)"),),
        limits={"listen_budget_s": 8.0},
    ),
    Container(
        # A gRPC server greets with a binary frame.
        name="grpc-on-the-port",
        code="HEALTH_NOT_HTTP",
        files={
            "app.py": """\
import socket

SETTINGS = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])

server = socket.create_server(("0.0.0.0", 8080))
while True:
    connection, _ = server.accept()
    with connection:
        connection.sendall(SETTINGS)
""",
        },
        evidence=r"not HTTP",
        remedy=(Edit("app.py", "import socket\n", STDLIB + "serve()\n"),),
    ),
)

CASES = (*LOOPBACK, *PORTS, *NOBODY_LISTENS)
