"""Containers of different make that are fine, among them those that look as if they were not."""

from tests.containers.container import DOCKER, NODE, PODMAN, Container
from tests.containers.servers import (
    FASTAPI,
    FLASK,
    GUNICORN,
    NODE_LISTEN,
    NODE_REFUSAL,
    NODE_SERVER,
    STDLIB,
    UVICORN,
    flask,
    stdlib,
    until,
)

BOTH = (PODMAN, DOCKER)
TRAIN = """\
import pickle

from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

data = load_iris()
model = LogisticRegression(max_iter=500).fit(data.data, data.target)
pickle.dump(model, open("model.pkl", "wb"))
"""

MAKES = (
    Container(name="flask-and-gunicorn", files={"app.py": FLASK}, dockerfile=GUNICORN, engines=BOTH),
    Container(name="fastapi-and-uvicorn", files={"main.py": FASTAPI}, dockerfile=UVICORN, instances=None, engines=BOTH),
    Container(
        name="node", files={"server.js": NODE_SERVER + NODE_LISTEN}, dockerfile=NODE, instances=None, engines=BOTH
    ),
    Container(name="standard-library", files={"app.py": STDLIB + "serve()\n"}, instances=None),
    Container(
        # gunicorn looks at PORT by itself.
        name="gunicorn-by-the-port-variable",
        files={"app.py": FLASK},
        dockerfile='COPY . .\nCMD ["gunicorn", "--threads", "8", "app:app"]\n',
        version={"container": {"ports": [{"containerPort": 5000}]}},
    ),
    Container(
        name="gunicorn-with-workers-and-preload",
        files={"app.py": FLASK},
        dockerfile=GUNICORN.replace('"--threads", "4"', '"--workers", "3", "--preload"'),
    ),
    Container(
        name="gunicorn-on-both-families", files={"app.py": FLASK}, dockerfile=GUNICORN.replace("0.0.0.0", "[::]")
    ),
    Container(
        name="shell-script-that-becomes-the-server",
        files={
            "app.py": FLASK,
            "start.sh": '#!/bin/sh\nset -e\nexec gunicorn --bind "0.0.0.0:$AIP_HTTP_PORT" --threads 4 app:app\n',
        },
        dockerfile='COPY . .\nRUN chmod +x start.sh\nENTRYPOINT ["./start.sh"]\n',
    ),
    Container(
        # The engine's init hands a script without a first line to a shell, which is right for this one.
        name="shell-script-without-a-first-line",
        files={"app.py": FLASK, "start.sh": "exec gunicorn --bind 0.0.0.0:8080 --threads 4 app:app\n"},
        dockerfile='COPY . .\nRUN chmod +x start.sh\nENTRYPOINT ["./start.sh"]\n',
    ),
    Container(
        # An ordinary user, a model that is mounted read-only, and the routes of the API.
        name="ordinary-user-with-a-model",
        files={
            "app.py": flask(top='weight = float(open(os.environ["AIP_STORAGE_URI"] + "/model.txt").read())\n')
            .replace('"/health"', 'os.environ["AIP_HEALTH_ROUTE"]')
            .replace('"/predict"', 'os.environ["AIP_PREDICT_ROUTE"]')
        },
        dockerfile=f"USER nobody\n{GUNICORN}",
        version={"deploymentUri": "{model}", "routes": None},
        model={"model.txt": "2.5"},
        engines=BOTH,
    ),
    Container(
        # Nobody gives instances: what the model wants has to be found out by asking.
        name="sklearn-pipeline",
        files={
            "train.py": TRAIN,
            "app.py": flask(
                top='import pickle\n\nmodel = pickle.load(open("model.pkl", "rb"))\n',
                answer='{"predictions": model.predict(request.get_json()["instances"]).tolist()}',
            ),
        },
        dockerfile=GUNICORN.replace("COPY . .\n", "COPY . .\nRUN python train.py\n"),
        instances=None,
    ),
)

SLOW_STARTERS = (
    Container(
        # It listens at once and says 503 until the model is there.
        name="says-503-while-it-loads",
        files={"app.py": stdlib(health=until(12, 503)) + "serve()\n"},
        engines=BOTH,
    ),
    Container(
        # Nothing at all is to be seen for twelve seconds: no port, no log line, no work.
        name="opens-its-port-late",
        files={"app.py": STDLIB + "time.sleep(12)\nserve()\n"},
        engines=BOTH,
    ),
    Container(
        # A port for the administrator comes first, and it is not the one that was asked for.
        name="opens-an-admin-port-first",
        files={
            "app.py": STDLIB
            + 'threading.Thread(target=listen("0.0.0.0", 9090).serve_forever, daemon=True).start()\n'
            + 'print("admin on 9090, loading models", flush=True)\ntime.sleep(10)\nserve()\n'
        },
        engines=BOTH,
    ),
    Container(
        # gunicorn opens the port and lets callers wait until its worker has loaded the application.
        name="gunicorn-loads-in-its-worker",
        files={"app.py": flask(top="time.sleep(12)\n")},
        dockerfile=GUNICORN,
        engines=BOTH,
    ),
    Container(
        # A port for the administrator on loopback, as servers with a management interface have it.
        name="opens-a-management-port-on-loopback-first",
        files={
            "app.py": STDLIB
            + 'threading.Thread(target=listen("127.0.0.1", 8081).serve_forever, daemon=True).start()\n'
            + "time.sleep(8)\nserve()\n"
        },
    ),
    Container(
        # As TensorFlow Serving does: the route of a model is not there before the model is.
        name="says-404-until-the-model-is-loaded",
        files={"app.py": stdlib(health=until(8, 404)) + "serve()\n"},
        engines=BOTH,
    ),
    Container(
        # Application servers whose security configuration is loaded last.
        name="says-401-for-a-moment",
        files={"app.py": stdlib(health=until(3, 401)) + "serve()\n"},
    ),
    Container(
        # Loads with all its might before it listens, and is done well within the time that it has.
        name="works-hard-before-it-listens",
        files={"app.py": STDLIB + "while time.process_time() < 4:\n    sum(range(10000))\nserve()\n"},
    ),
)

WORDS = """\
CUDA out of memory
Killed
Bus error
Illegal instruction
exec format error
No space left on device
Read-only file system
Permission denied
WORKER TIMEOUT
error: unrecognized arguments: --x
 * Running on http://127.0.0.1:8080
OSError: libgomp.so.1: cannot open shared object file: No such file or directory
"""

TALKERS = (
    Container(
        name="thousands-of-lines-with-the-word-error",
        files={
            "app.py": STDLIB
            + "for number in range(6000):\n    print(f'ERROR rate {number / 6000:.4f}, 0 failed, no exception')\n"
            + "serve()\n"
        },
        engines=BOTH,
    ),
    Container(
        # An optional part is missing, and the program says so at length.
        name="logs-tracebacks-and-goes-on",
        files={
            "app.py": "import traceback\n\ntry:\n    import torch\nexcept ImportError:\n    traceback.print_exc()\n"
            + "try:\n    open('/models/model.pkl')\nexcept OSError:\n    traceback.print_exc()\n"
            + FLASK
        },
        dockerfile=GUNICORN,
    ),
    Container(
        name="words-of-every-failure",
        files={"app.py": STDLIB + "print(open('words.txt').read(), flush=True)\nserve()\n", "words.txt": WORDS},
    ),
    Container(
        # The port is still taken by a program that is about to end; the second try gets it.
        name="address-in-use-at-first",
        files={
            "app.py": STDLIB
            + "other = listen('0.0.0.0', 8080)\n"
            + "threading.Timer(3, other.server_close).start()\nwhile True:\n    try:\n        serve()\n        break\n"
            + "    except OSError as error:\n        print(error, 'trying again', flush=True)\n        time.sleep(1)\n"
        },
    ),
    Container(
        # The first worker dies before it serves; gunicorn boots another.
        name="first-worker-crashes",
        files={
            "app.py": "import os\nimport pathlib\nimport signal\n\nfirst = pathlib.Path('/tmp/first')\n"
            + "if not first.exists():\n    first.touch()\n    os.kill(os.getpid(), signal.SIGSEGV)\n"
            + FLASK
        },
        dockerfile=GUNICORN,
        engines=BOTH,
    ),
    Container(
        # Its first worker takes too long for gunicorn, the second finds everything in the cache.
        name="first-worker-times-out",
        files={
            "app.py": flask(
                top="import pathlib\n\n\ndef load(cache=pathlib.Path('/tmp/cache')):\n"
                "    if not cache.exists():\n        cache.touch()\n        time.sleep(30)\n",
                health='return load() or "ok"',
            )
        },
        dockerfile=GUNICORN.replace('"--threads", "4"', '"--timeout", "2"'),
    ),
    Container(
        # Whatever is not the health route is a prediction, and what cannot be read ends it: nobody else may ask.
        name="node-that-stands-no-other-request",
        files={"server.js": NODE_SERVER.replace(NODE_REFUSAL, "") + NODE_LISTEN},
        dockerfile=NODE,
    ),
    Container(
        # Redirects elsewhere, 404 elsewhere, a token elsewhere: only the routes that were asked for count.
        name="strict-everywhere-else",
        files={
            "app.py": FLASK
            + "@app.before_request\ndef authorize():\n    if request.path not in ('/health', '/predict'):\n"
            + "        return {'error': 'token'}, 401\n"
        },
        dockerfile=GUNICORN,
    ),
)

CASES = (*MAKES, *SLOW_STARTERS, *TALKERS)
