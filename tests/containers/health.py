"""Containers whose port answers, but not with 200 on the health route."""

from tests.containers.container import DOCKER, NODE, PODMAN, Container, Edit, OwnPatch, Respec
from tests.containers.servers import FASTAPI, FLASK, GUNICORN, NODE_LISTEN, NODE_SERVER, UVICORN, flask, stdlib, until

BOTH = (PODMAN, DOCKER)

ROUTES = (
    Container(
        # /health and /predict, as the guides for every other platform have it, and a version without routes.
        name="flask-with-usual-routes-and-none-asked-for",
        code="HEALTH_ROUTE_NOT_FOUND",
        files={"app.py": FLASK},
        dockerfile=GUNICORN,
        version={"routes": None},
        evidence=r"GET \S+/v1/models/\S+ → 404",
        remedy=OwnPatch(),
        engines=BOTH,
    ),
    Container(
        name="fastapi-with-healthz",
        code="HEALTH_ROUTE_NOT_FOUND",
        files={"main.py": FASTAPI.replace("/health", "/healthz")},
        dockerfile=UVICORN,
        evidence=r"GET \S+/health → 404",
        remedy=OwnPatch(),
    ),
    Container(
        # SageMaker's routes: the sweep knows them.
        name="image-for-another-platform",
        code="HEALTH_ROUTE_NOT_FOUND",
        files={"app.py": FLASK.replace("/health", "/ping").replace("/predict", "/invocations")},
        dockerfile=GUNICORN,
        version={"routes": None},
        evidence=r"/ping → 200",
        remedy=OwnPatch(),
    ),
    Container(
        name="fastapi-without-any-health-route",
        code="HEALTH_ROUTE_NOT_FOUND",
        files={
            "main.py": "from fastapi import FastAPI\n\napp = FastAPI(openapi_url=None)\n\n\n"
            '@app.post("/predict")\ndef predict(body: dict):\n    return {"predictions": body["instances"]}\n'
        },
        dockerfile=UVICORN,
        evidence=r"GET \S+/health → 404",
        remedy=(
            Edit(
                "main.py",
                '@app.post("/predict")',
                '@app.get("/health")\ndef health():\n    return "ok"\n\n\n@app.post("/predict")',
            ),
        ),
    ),
    Container(
        name="token-before-everything",
        code="HEALTH_UNAUTHORIZED",
        files={
            "app.py": FLASK
            + "@app.before_request\ndef authorize():\n"
            + '    if request.authorization != "secret":\n        return {"error": "token"}, 401\n'
        },
        dockerfile=GUNICORN,
        evidence=r"→ 401",
        remedy=(Edit("app.py", 'request.authorization != "secret"', "False"),),
    ),
    Container(
        # FastAPI sends /health to /health/ with 307; only 200 counts.
        name="fastapi-trailing-slash",
        code="HEALTH_REDIRECTS",
        files={"main.py": FASTAPI.replace('"/health"', '"/health/"')},
        dockerfile=UVICORN,
        evidence=r"→ 307",
        remedy=OwnPatch(),
    ),
    Container(
        name="flask-trailing-slash",
        code="HEALTH_REDIRECTS",
        files={"app.py": FLASK.replace('"/health"', '"/health/"')},
        dockerfile=GUNICORN,
        evidence=r"→ 308",
        remedy=Respec({"routes": {"health": "/health/"}}),
    ),
)

STATUSES = (
    Container(
        # Never 200: what the model needs is not there, and nobody reads the log.
        name="model-never-gets-ready",
        code="HEALTH_NOT_200",
        files={"app.py": stdlib(health=until(3600, 503)) + "serve()\n"},
        limits={"startup_timeout_s": 15.0},
        evidence=r"→ 503",
        remedy=(Edit("app.py", "< 3600", "< 1"),),
    ),
    Container(
        name="health-raises",
        code="HEALTH_NOT_200",
        files={"app.py": flask(health='return {"models": len(MODELS)}')},
        dockerfile=GUNICORN,
        evidence=r"NameError: name 'MODELS' is not defined|→ 500",
        remedy=(Edit("app.py", "app = Flask", "MODELS = []\napp = Flask"),),
    ),
    Container(
        name="health-says-no-content",
        code="HEALTH_NOT_200",
        files={
            "server.js": NODE_SERVER.replace('return response.end("ok")', "return response.writeHead(204).end()")
            + NODE_LISTEN
        },
        dockerfile=NODE,
        evidence=r"→ 204",
        remedy=(Edit("server.js", "writeHead(204)", "writeHead(200)"),),
    ),
    Container(
        # The health check asks a database that nobody can reach.
        name="health-waits-for-another-system",
        code="HEALTH_TIMES_OUT",
        files={"app.py": flask(health="time.sleep(3600)")},
        dockerfile=GUNICORN,
        evidence=r"no answer within",
        remedy=(Edit("app.py", "time.sleep(3600)", 'return "ok"'),),
        limits={"probe_timeout_s": 2.0, "startup_timeout_s": 20.0},
    ),
    Container(
        # The model is loaded with the first request, and that takes longer than gunicorn lets a worker be silent: it
        # boots one worker after the other, for ever.
        name="gunicorn-worker-timeout",
        code="WORKER_TIMEOUT",
        files={
            "app.py": flask(
                top="import functools\n\nload = functools.cache(lambda: time.sleep(20))\n",
                health='return load() or "ok"',
            )
        },
        dockerfile='COPY . .\nCMD ["gunicorn", "--bind", "0.0.0.0:8080", "--timeout", "2", "app:app"]\n',
        evidence=r"WORKER TIMEOUT",
        remedy=(Edit("Dockerfile", '"2"', '"60"'),),
    ),
    Container(
        name="gunicorn-worker-timeout-while-predicting",
        code="WORKER_TIMEOUT",
        files={"app.py": flask(before_predicting="time.sleep(5)")},
        dockerfile='COPY . .\nCMD ["gunicorn", "--bind", "0.0.0.0:8080", "--timeout", "2", "app:app"]\n',
        evidence=r"WORKER TIMEOUT",
        remedy=(Edit("app.py", "time.sleep(5)", "time.sleep(0.1)"),),
    ),
    Container(
        # Ready, says the health route, which never asked the model.
        name="healthy-without-its-model",
        code="HEALTHY_BUT_CANNOT_PREDICT",
        files={
            "app.py": flask(
                top="model = None\ntry:\n    model = open('/models/model.bin').read()\n"
                "except OSError as error:\n    print(f'ERROR failed to load model: {error}', flush=True)\n",
                before_predicting="model.predict([])",
            )
        },
        dockerfile=GUNICORN,
        evidence=r"(?i)failed to load model|NoneType",
        remedy=(Edit("app.py", "model.predict([])", "pass"),),
    ),
)

CASES = (*ROUTES, *STATUSES)
