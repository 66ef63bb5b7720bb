"""Containers that serve, and could do so better: how they end, which server they use, what they keep to themselves."""

from tests.containers.container import DOCKER, NODE, PODMAN, Container, Edit
from tests.containers.servers import FLASK, FLASK_RUN, NODE_LISTEN, NODE_SERVER, SHUT_DOWN, stdlib

BOTH = (PODMAN, DOCKER)

CASES = (
    Container(
        name="sigterm-is-ignored",
        code="IGNORES_SIGTERM",
        files={"app.py": stdlib(on_sigterm="signal.SIG_IGN") + "serve()\n"},
        evidence=r"SIGTERM|killed",
        remedy=(Edit("app.py", "signal.SIG_IGN", SHUT_DOWN),),
        limits={"stop_grace_s": 2.0},
        engines=BOTH,
        serves=True,
    ),
    Container(
        name="node-ignores-sigterm",
        code="IGNORES_SIGTERM",
        files={
            "server.js": NODE_SERVER.replace("server.close(() => process.exit(0))", "console.log('SIGTERM')")
            + NODE_LISTEN
        },
        dockerfile=NODE,
        evidence=r"SIGTERM|killed",
        remedy=(Edit("server.js", "console.log('SIGTERM')", "server.close(() => process.exit(0))"),),
        limits={"stop_grace_s": 2.0},
        serves=True,
    ),
    Container(
        # It ends at once, and with it the predictions that were under way.
        name="drops-requests-on-sigterm",
        code="DROPS_REQUESTS_ON_SIGTERM",
        files={
            "app.py": stdlib(before_predicting="time.sleep(0.5)", on_sigterm="lambda *_: os._exit(0)") + "serve()\n"
        },
        evidence=r"(?i)SIGTERM|no HTTP answer|under way",
        remedy=(
            Edit("app.py", "lambda *_: os._exit(0)", "lambda *_: threading.Thread(target=server.shutdown).start()"),
        ),
        serves=True,
    ),
    Container(
        name="server-of-flask-itself",
        code="DEVELOPMENT_SERVER",
        files={"app.py": FLASK + FLASK_RUN},
        evidence=r"development server",
        remedy=(
            Edit(
                "Dockerfile", '"python", "app.py"', '"gunicorn", "--bind", "0.0.0.0:8080", "--threads", "4", "app:app"'
            ),
            Edit("app.py", FLASK_RUN, ""),
        ),
        serves=True,
    ),
)
