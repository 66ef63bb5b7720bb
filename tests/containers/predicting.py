"""Containers that are healthy and cannot predict: the route, the body, the code behind them, the time they take."""

from tests.containers.container import DOCKER, NODE, PODMAN, Container, Edit, Instances, OwnPatch
from tests.containers.servers import FASTAPI, FLASK, GUNICORN, NODE_LISTEN, NODE_SERVER, UVICORN, flask, stdlib

BOTH = (PODMAN, DOCKER)

# The question's own program as it was corrected first: it listens, and hands the whole body to the model.
SEED = """\
# run_prediction.py - Corrected version with Flask
from flask import Flask, request, jsonify
import pickle
import sys
import json

app = Flask(__name__)

# Load the model once during app initialization
def load_model(model_path):
    with open(model_path, 'rb') as f:
        return pickle.load(f)
model_path = sys.argv[1] # model path from CLI.
model = load_model(model_path)

@app.route('/health', methods=['GET'])
def health():
  return "ok", 200

@app.route('/predict', methods=['POST'])
def predict():
  data = request.get_json()
  prediction = model.predict(data)
  return jsonify(prediction.tolist()), 200

if __name__ == '__main__':
  app.run(host='0.0.0.0', port=8080)
"""
TRAIN = """\
import pickle

from sklearn.linear_model import LinearRegression

rows = [[1, 2, 3], [2, 1, 0], [0, 1, 5], [4, 4, 4]]
with open("my_model.pkl", "wb") as file:
    pickle.dump(LinearRegression().fit(rows, [sum(row) for row in rows]), file)
"""
SEED_FILES = {"run_prediction.py": SEED, "train.py": TRAIN}
SEED_IMAGE = 'COPY . .\nRUN python train.py\nCMD ["python", "run_prediction.py", "my_model.pkl"]\n'
ROWS_OF_THREE = ([1, 2, 3], [4, 5, 6])
WRAPPED = Edit("run_prediction.py", "jsonify(prediction.tolist())", "jsonify(predictions=prediction.tolist())")
UNWRAPPED = Edit("run_prediction.py", "request.get_json()", "request.get_json()['instances']")

ROUTES = (
    Container(
        # The health route was set, the predict route forgotten.
        name="predict-route-forgotten",
        code="PREDICT_ROUTE_NOT_FOUND",
        files={"app.py": FLASK},
        dockerfile=GUNICORN,
        version={"routes": {"predict": None}},
        evidence=r"POST \S+:predict → 404",
        remedy=OwnPatch(),
        engines=BOTH,
    ),
    Container(
        # Somewhere nobody would guess; the server's own OpenAPI document tells.
        name="predict-route-of-its-own",
        code="PREDICT_ROUTE_NOT_FOUND",
        files={"main.py": FASTAPI.replace("/predict", "/api/v2/score")},
        dockerfile=UVICORN,
        evidence=r"/api/v2/score|POST \S+/predict → 404",
        remedy=OwnPatch(),
    ),
    Container(
        name="predict-with-get",
        code="PREDICT_METHOD_NOT_ALLOWED",
        files={"app.py": FLASK.replace("@app.post", "@app.get")},
        dockerfile=GUNICORN,
        evidence=r"→ 405",
        remedy=(Edit("app.py", '@app.get("/predict")', '@app.post("/predict")'),),
    ),
    Container(
        name="predict-wants-a-key",
        code="PREDICT_UNAUTHORIZED",
        files={
            "app.py": flask(before_predicting='if "X-Api-Key" not in request.headers: return {"error": "key"}, 403')
        },
        dockerfile=GUNICORN,
        evidence=r"→ 403",
        remedy=(Edit("app.py", '"X-Api-Key" not in request.headers', "False"),),
    ),
    Container(
        name="predict-with-a-trailing-slash",
        code="PREDICT_REDIRECTS",
        files={"main.py": FASTAPI.replace('"/predict"', '"/predict/"')},
        dockerfile=UVICORN,
        evidence=r"→ 307",
        remedy=OwnPatch(),
    ),
)

BODIES = (
    Container(
        # The question's second example: the model is handed the object around the instances.
        name="instances-handed-over-whole",
        code="INSTANCES_NOT_UNWRAPPED",
        files=SEED_FILES,
        dockerfile=SEED_IMAGE,
        instances=ROWS_OF_THREE,
        evidence=r"(?i)→ 200|Expected 2D array",
        remedy=(UNWRAPPED, WRAPPED),
        engines=BOTH,
    ),
    Container(
        name="fastapi-wants-a-bare-list",
        code="INSTANCES_NOT_UNWRAPPED",
        files={
            "main.py": FASTAPI.replace("def predict(rows: Rows)", "def predict(rows: list[list[float]])").replace(
                "in rows.instances", "in rows"
            )
        },
        dockerfile=UVICORN,
        evidence=r"→ 200|list_type|→ 422",
        remedy=(
            Edit("main.py", "def predict(rows: list[list[float]])", "def predict(rows: Rows)"),
            Edit("main.py", "in rows]", "in rows.instances]"),
        ),
    ),
    Container(
        name="fastapi-requires-parameters",
        code="PARAMETERS_REQUIRED",
        files={"main.py": FASTAPI.replace("list[list[float]]", "list[list[float]]\n    parameters: dict")},
        dockerfile=UVICORN,
        evidence=r"parameters",
        remedy=(Edit("main.py", "parameters: dict", "parameters: dict | None = None"),),
    ),
    Container(
        name="flask-reads-parameters-without-a-default",
        code="PARAMETERS_REQUIRED",
        files={"app.py": flask(before_predicting='scale = request.get_json()["parameters"]["scale"]')},
        dockerfile=GUNICORN,
        evidence=r"KeyError: 'parameters'",
        remedy=(Edit("app.py", '["parameters"]["scale"]', '.get("parameters")'),),
    ),
    Container(
        # The format of another platform.
        name="fastapi-wants-inputs",
        code="REQUEST_FORMAT_MISMATCH",
        files={"main.py": FASTAPI.replace("instances: list", "inputs: list").replace("rows.instances", "rows.inputs")},
        dockerfile=UVICORN,
        evidence=r"inputs",
        remedy=(Edit("main.py", "inputs: list", "instances: list"), Edit("main.py", "rows.inputs", "rows.instances")),
    ),
    Container(
        name="flask-reads-inputs",
        code="REQUEST_FORMAT_MISMATCH",
        files={"app.py": FLASK.replace('["instances"]', '["inputs"]')},
        dockerfile=GUNICORN,
        evidence=r"KeyError: 'inputs'",
        remedy=(Edit("app.py", '["inputs"]', '["instances"]'),),
    ),
    Container(
        # Nobody gives instances, and nothing tells what they are like: no error can be proved.
        name="instances-that-nobody-can-guess",
        code="PREDICT_NOT_TRIED",
        files={
            "app.py": flask(
                before_predicting='if "checksum" not in request.get_data(as_text=True): return {"error": "no"}, 400',
                answer='{"predictions": [row["checksum"] for row in request.get_json()["instances"]]}',
            )
        },
        dockerfile=GUNICORN,
        instances=None,
        evidence=r"→ 400",
        remedy=Instances(({"checksum": 1}, {"checksum": 2})),
        serves=True,
    ),
    Container(
        name="only-octet-streams",
        code="CONTENT_TYPE_REFUSED",
        files={
            "app.py": FLASK
            + "@app.before_request\ndef binary():\n"
            + '    if request.method == "POST" and request.mimetype != "application/octet-stream":\n'
            + '        return {"error": "unsupported media type"}, 415\n'
        },
        dockerfile=GUNICORN,
        evidence=r"→ 415",
        remedy=(Edit("app.py", '!= "application/octet-stream"', '!= "application/json"'),),
    ),
    Container(
        # The limit that web frameworks of node have unless told otherwise.
        name="body-limit-of-100-kb",
        code="BODY_TOO_LARGE",
        files={
            "server.js": NODE_SERVER.replace(
                "(body += chunk));\n",
                '(body += chunk));\n  if (Number(request.headers["content-length"]) > 102400)'
                " return response.writeHead(413).end();\n",
            )
            + NODE_LISTEN
        },
        dockerfile=NODE,
        evidence=r"→ 413",
        remedy=(Edit("server.js", "102400", "10485760"),),
    ),
    Container(
        name="flask-body-limit",
        code="BODY_TOO_LARGE",
        files={"app.py": FLASK + 'app.config["MAX_CONTENT_LENGTH"] = 1 << 20\n'},
        dockerfile=GUNICORN,
        evidence=r"→ 413",
        remedy=(Edit("app.py", "1 << 20", "16 << 20"),),
    ),
    Container(
        name="rows-of-the-wrong-width",
        code="INPUT_SHAPE_MISMATCH",
        files={
            **SEED_FILES,
            "run_prediction.py": SEED.replace(UNWRAPPED.old, UNWRAPPED.new).replace(WRAPPED.old, WRAPPED.new),
        },
        dockerfile=SEED_IMAGE,
        instances=([1, 2], [3, 4]),
        evidence=r"X has 2 features, but LinearRegression is expecting 3",
        remedy=Instances(ROWS_OF_THREE),
    ),
)

FAILURES = (
    Container(
        name="predict-raises",
        code="PREDICT_FAILS",
        files={"app.py": flask(before_predicting='raise RuntimeError("tokenizer is not initialised")')},
        dockerfile=GUNICORN,
        evidence=r"tokenizer is not initialised|→ 500",
        remedy=(Edit("app.py", 'raise RuntimeError("tokenizer is not initialised")', "pass"),),
    ),
    Container(
        name="predict-ends-the-process",
        code="CRASHES_WHILE_PREDICTING",
        files={"app.py": stdlib(before_predicting="os.abort()") + "serve()\n"},
        evidence=r"signal 6|134",
        remedy=(Edit("app.py", "os.abort()", "pass"),),
        engines=BOTH,
    ),
    Container(
        # Nothing catches what the handler throws, so one odd request ends node.
        name="node-throws-while-predicting",
        code="CRASHES_WHILE_PREDICTING",
        files={"server.js": NODE_SERVER.replace("JSON.parse(body).instances", "JSON.parse(body).rows") + NODE_LISTEN},
        dockerfile=NODE,
        evidence=r"TypeError|code 1",
        remedy=(Edit("server.js", ".rows", ".instances"),),
    ),
    Container(
        # gunicorn lives on and boots another worker.
        name="gunicorn-worker-dies-while-predicting",
        code="CRASHES_WHILE_PREDICTING",
        files={"app.py": flask(top="import ctypes\n", before_predicting="ctypes.string_at(0)")},
        dockerfile=GUNICORN,
        evidence=r"SIGSEGV|no HTTP answer",
        remedy=(Edit("app.py", "ctypes.string_at(0)", "pass"),),
    ),
    Container(
        name="memory-runs-out-while-predicting",
        code="OUT_OF_MEMORY",
        files={"app.py": stdlib(before_predicting="batch = [b'x' * (64 << 20) for _ in range(36)]") + "serve()\n"},
        version={"machineType": "n1-highcpu-2"},
        evidence=r"(?i)oom|memory",
        remedy=(Edit("app.py", "range(36)", "range(1)"),),
        engines=BOTH,
    ),
    Container(
        name="predict-never-ends",
        code="PREDICT_TIMES_OUT",
        files={"app.py": stdlib(before_predicting="time.sleep(3600)") + "serve()\n"},
        evidence=r"no answer within 3 s",
        remedy=(Edit("app.py", "time.sleep(3600)", "pass"),),
        limits={"predict_timeout_s": 3.0},
    ),
    Container(
        # The model is loaded with the first request.
        name="first-prediction-loads-the-model",
        code="SLOW_FIRST_PREDICTION",
        files={
            "app.py": flask(
                top="import functools\n\n\n@functools.cache\ndef load():\n    time.sleep(6)\n\n\n",
                before_predicting="load()",
            )
        },
        dockerfile=GUNICORN,
        evidence=r"\d s",
        remedy=(Edit("app.py", "time.sleep(6)", "time.sleep(0)"),),
        serves=True,
    ),
    Container(
        # One worker, one request at a time: who is predicting does not say that he is well.
        name="one-worker-for-everything",
        code="HEALTH_STARVED_BY_PREDICTIONS",
        files={"app.py": flask(before_predicting="time.sleep(2)")},
        dockerfile=GUNICORN.replace('"--threads", "4", ', ""),
        evidence=r"(?i)health|GET",
        remedy=(Edit("Dockerfile", '"app:app"', '"--threads", "16", "app:app"'),),
        limits={"probe_timeout_s": 3.0},
        serves=True,
    ),
)

CASES = (*ROUTES, *BODIES, *FAILURES)
