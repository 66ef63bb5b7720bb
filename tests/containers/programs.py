"""Containers whose program starts and gives up: over a module, a library, an argument, a variable, or its own text."""

from tests.containers.container import DOCKER, NODE, PODMAN, Container, Edit, Respec
from tests.containers.servers import FASTAPI, FLASK, FLASK_RUN, GUNICORN, NODE_LISTEN, NODE_SERVER, UVICORN, flask

BOTH = (PODMAN, DOCKER)

MODULES = (
    Container(
        name="python-module-not-installed",
        code="MODULE_MISSING",
        files={"app.py": "import lightgbm\n" + FLASK + FLASK_RUN},
        evidence=r"No module named 'lightgbm'",
        remedy=(Edit("app.py", "import lightgbm\n", ""),),
        engines=BOTH,
    ),
    Container(
        # gunicorn prints the traceback and then goes on about its worker.
        name="gunicorn-application-lacks-a-module",
        code="MODULE_MISSING",
        files={"app.py": "import lightgbm\n" + FLASK},
        dockerfile=GUNICORN,
        evidence=r"No module named 'lightgbm'",
        remedy=(Edit("app.py", "import lightgbm\n", ""),),
    ),
    Container(
        # The application is in app.py, and gunicorn is told of main.
        name="gunicorn-with-the-wrong-module",
        code="MODULE_MISSING",
        files={"app.py": FLASK},
        dockerfile=GUNICORN.replace("app:app", "main:app"),
        evidence=r"No module named 'main'",
        remedy=(Edit("Dockerfile", "main:app", "app:app"),),
    ),
    Container(
        # The application is called app, and gunicorn is told of application.
        name="gunicorn-with-the-wrong-name",
        code="APPLICATION_NOT_FOUND",
        files={"app.py": FLASK},
        dockerfile=GUNICORN.replace("app:app", "app:application"),
        evidence=r"Failed to find attribute 'application' in 'app'",
        remedy=(Edit("Dockerfile", "app:application", "app:app"),),
    ),
    Container(
        name="uvicorn-with-the-wrong-name",
        code="APPLICATION_NOT_FOUND",
        files={"main.py": FASTAPI},
        dockerfile=UVICORN.replace("main:app", "main:application"),
        evidence=r'Attribute "application" not found in module "main"',
        remedy=(Edit("Dockerfile", "main:application", "main:app"),),
    ),
    Container(
        name="uvicorn-with-the-wrong-module",
        code="MODULE_MISSING",
        files={"main.py": FASTAPI},
        dockerfile=UVICORN.replace("main:app", "app.main:app"),
        evidence=r"app\.main|No module named 'app'",
        remedy=(Edit("Dockerfile", "app.main:app", "main:app"),),
    ),
    Container(
        name="node-package-not-installed",
        code="MODULE_MISSING",
        files={"server.js": 'const express = require("express");\n' + NODE_SERVER + NODE_LISTEN},
        dockerfile=NODE,
        evidence=r"Cannot find module 'express'",
        remedy=(Edit("server.js", 'const express = require("express");\n', ""),),
    ),
    Container(
        # What `import lightgbm` does in a slim image.
        name="openmp-not-installed",
        code="SHARED_LIBRARY_MISSING",
        files={"app.py": 'import ctypes\n\nctypes.CDLL("libgomp.so.1")\n' + FLASK + FLASK_RUN},
        evidence=r"libgomp\.so\.1: cannot open shared object file",
        remedy=(Edit("app.py", 'ctypes.CDLL("libgomp.so.1")\n', ""),),
    ),
    Container(
        name="python-with-a-missing-bracket",
        code="SYNTAX_ERROR",
        files={"app.py": FLASK + FLASK_RUN.replace("))\n", ")\n")},
        evidence=r"SyntaxError: '\(' was never closed",
        remedy=(Edit("app.py", '["AIP_HTTP_PORT"])', '["AIP_HTTP_PORT"]))'),),
    ),
    Container(
        name="node-with-a-missing-bracket",
        code="SYNTAX_ERROR",
        files={"server.js": NODE_SERVER + NODE_LISTEN.replace("))", ")")},
        dockerfile=NODE,
        evidence=r"SyntaxError: missing \) after argument list",
        remedy=(Edit("server.js", "AIP_HTTP_PORT);", "AIP_HTTP_PORT));"),),
    ),
)

ARGUMENTS = (
    Container(
        # As with a flag that a newer version of a model server no longer knows.
        name="flag-that-was-removed",
        code="BAD_ARGUMENTS",
        files={
            "app.py": "import argparse\n\nparser = argparse.ArgumentParser()\n"
            + 'parser.add_argument("--model-id")\nargs = parser.parse_args()\n'
            + FLASK
            + FLASK_RUN
        },
        dockerfile='COPY . .\nENTRYPOINT ["python", "app.py"]\n',
        version={"container": {"args": ["--model-id=llm", "--swap-space=16"]}},
        evidence=r"unrecognized arguments: --swap-space=16",
        remedy=Respec({"container": {"args": ["--model-id=llm"]}}),
        engines=BOTH,
    ),
    Container(
        name="gunicorn-flag-misspelt",
        code="BAD_ARGUMENTS",
        files={"app.py": FLASK},
        dockerfile=GUNICORN.replace("--threads", "--thread-count"),
        evidence=r"--thread-count",
        remedy=(Edit("Dockerfile", "--thread-count", "--threads"),),
    ),
    Container(
        name="uvicorn-flag-misspelt",
        code="BAD_ARGUMENTS",
        files={"main.py": FASTAPI},
        dockerfile=UVICORN.replace("--host", "--hosts"),
        evidence=r"No such option.*--hosts",
        remedy=(Edit("Dockerfile", "--hosts", "--host"),),
    ),
    Container(
        name="node-flag-misspelt",
        code="BAD_ARGUMENTS",
        files={"server.js": NODE_SERVER + NODE_LISTEN},
        dockerfile=NODE.replace('"node"', '"node", "--max-memory=512"'),
        evidence=r"bad option: --max-memory",
        remedy=(Edit("Dockerfile", "--max-memory", "--max-old-space-size"),),
    ),
    Container(
        # Set on the author's machine, and nowhere else.
        name="variable-that-is-not-set",
        code="ENVIRONMENT_VARIABLE_MISSING",
        files={"app.py": flask(top='name = os.environ["MODEL_NAME"]\n') + FLASK_RUN},
        evidence=r"KeyError: 'MODEL_NAME'",
        remedy=Respec({"container": {"env": [{"name": "MODEL_NAME", "value": "iris"}]}}),
    ),
    Container(
        # Without a shell nobody replaces $APP_PORT.
        name="shell-variable-without-a-shell",
        code="VARIABLE_NOT_EXPANDED",
        files={"app.py": FLASK},
        dockerfile='ENV APP_PORT=8080\nCOPY . .\nCMD ["gunicorn", "--bind", "0.0.0.0:$APP_PORT", "app:app"]\n',
        evidence=r"\$APP_PORT",
        remedy=(Edit("Dockerfile", "$APP_PORT", "8080"),),
        engines=BOTH,
    ),
    Container(
        # ${...} is the shell's spelling; the one of a version's spec is $(...).
        name="reference-to-a-variable-of-the-image",
        code="VARIABLE_NOT_EXPANDED",
        files={"app.py": "import sys\n\nweights = open(sys.argv[1]).read()\n" + FLASK + FLASK_RUN, "weights.txt": "1"},
        dockerfile='ENV WEIGHTS=/app/weights.txt\nCOPY . .\nENTRYPOINT ["python", "app.py"]\n',
        version={"container": {"args": ["$(WEIGHTS)"]}},
        evidence=r"\$\(WEIGHTS\)",
        remedy=Respec({"container": {"args": ["/app/weights.txt"]}}),
    ),
)

CASES = (*MODULES, *ARGUMENTS)
