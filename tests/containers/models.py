"""Containers that cannot have or cannot read their model: pickles, files, artifacts."""

from tests.containers.container import DOCKER, PODMAN, PYTHON, Container, Edit, Respec
from tests.containers.servers import FLASK, FLASK_RUN, GUNICORN, flask

BOTH = (PODMAN, DOCKER)
LOAD = 'import pickle\n\nwith open("model.pkl", "rb") as file:\n    model = pickle.load(file)\n\n'
GOOD_PICKLE = b"I42\n."

PICKLES = (
    Container(
        # Saved by a script in which the class was defined: it is looked for in whatever program loads it.
        name="pickle-of-a-class-of-the-training-script",
        code="PICKLE_MAIN_CLASS",
        files={"app.py": LOAD + FLASK, "model.pkl": b"c__main__\nScaler\n."},
        dockerfile=GUNICORN,
        evidence=r"Can't get attribute 'Scaler' on <module '__main__'",
        remedy=(Edit("model.pkl", "c__main__\nScaler\n.", "I42\n."),),
    ),
    Container(
        name="pickle-of-an-older-sklearn",
        code="LIBRARY_VERSION_SKEW",
        files={"app.py": LOAD + FLASK + FLASK_RUN, "model.pkl": b"csklearn.ensemble.forest\nRandomForestClassifier\n."},
        evidence=r"sklearn\.ensemble\.forest",
        remedy=(Edit("model.pkl", "csklearn.ensemble.forest\nRandomForestClassifier\n.", "I42\n."),),
        engines=BOTH,
    ),
    Container(
        name="pickle-of-a-newer-python",
        code="LIBRARY_VERSION_SKEW",
        files={"app.py": LOAD + FLASK + FLASK_RUN, "model.pkl": b"\x80\x06I42\n."},
        evidence=r"unsupported pickle protocol: 6",
        remedy=(Edit("model.pkl", "\x80\x06I42", "I42"),),
    ),
    Container(
        # numpy 2 no longer has what numpy 1 had.
        name="numpy-attribute-that-was-removed",
        code="LIBRARY_VERSION_SKEW",
        files={"app.py": "import numpy as np\n\nscale = np.array([1, 2], dtype=np.float)\n" + FLASK + FLASK_RUN},
        evidence=r"module 'numpy' has no attribute 'float'",
        remedy=(Edit("app.py", "np.float", "float"),),
    ),
    Container(
        # The model in git is a pointer to where it really lies.
        name="pickle-is-a-git-lfs-pointer",
        code="MODEL_LOAD_FAILED",
        files={
            "app.py": LOAD + FLASK,
            "model.pkl": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
        },
        dockerfile=GUNICORN,
        evidence=r"UnpicklingError: invalid load key, 'v'",
        remedy=(Edit("Dockerfile", "COPY . .\n", "COPY . .\nRUN printf 'I42\\n.' > model.pkl\n"),),
    ),
    Container(
        name="pickle-cut-short",
        code="MODEL_LOAD_FAILED",
        files={"app.py": LOAD + FLASK + FLASK_RUN, "model.pkl": b"\x80\x04\x95\x00"},
        evidence=r"pickle data was truncated|Ran out of input|EOFError",
        remedy=(Edit("model.pkl", "\x80\x04\x95\x00", "I42\n."),),
    ),
)

FILES = (
    Container(
        # The first example of the question that this product was born from: no server, and the file is read from stdin.
        name="script-that-reads-standard-input",
        code="READS_STANDARD_INPUT",
        files={
            "run_prediction.py": """\
# run_prediction.py - Initial, incorrect attempt
import pickle
import sys
import json

def load_model(model_path):
  with open(model_path, 'rb') as f:
    return pickle.load(f)

def predict(model, data):
  # Simplified prediction logic
  return model.predict(data)

if __name__ == "__main__":
  model_path = sys.argv[1]
  model = load_model(model_path)
  input_data = json.loads(sys.stdin.read())
  prediction_output = predict(model, input_data)
  print(json.dumps(prediction_output))
""",
            "my_model.pkl": GOOD_PICKLE,
            "app.py": FLASK + FLASK_RUN,
        },
        dockerfile='COPY . .\nCMD ["python", "run_prediction.py", "my_model.pkl"]\n',
        evidence=r"sys\.stdin|JSONDecodeError",
        remedy=(Edit("Dockerfile", '"run_prediction.py", "my_model.pkl"', '"app.py"'),),
        engines=BOTH,
    ),
    Container(
        # The same for a loop that ends with the input; nothing shows that this is what it waited for.
        name="loop-over-standard-input",
        code="EXITED_CLEANLY",
        files={
            "predict.py": 'import sys\n\nprint("ready")\nfor line in sys.stdin:\n    print(float(line) * 2)\n',
            "app.py": FLASK + FLASK_RUN,
        },
        dockerfile=PYTHON.replace("app.py", "predict.py"),
        evidence=r"code 0",
        remedy=(Edit("Dockerfile", "predict.py", "app.py"),),
    ),
    Container(
        name="model-not-copied-into-the-image",
        code="MODEL_FILE_MISSING",
        files={"app.py": LOAD + FLASK + FLASK_RUN, "models.txt": "0"},
        evidence=r"No such file or directory: 'model\.pkl'",
        remedy=(Edit("Dockerfile", "COPY . .\n", "COPY . .\nRUN printf 'I42\\n.' > model.pkl\n"),),
    ),
    Container(
        # deploymentUri names the folder above the one that the program expects.
        name="model-one-folder-deeper",
        code="MODEL_FILE_MISSING",
        files={
            "app.py": 'import os\n\nweights = open(os.environ["AIP_STORAGE_URI"] + "/model.txt").read()\n'
            + FLASK
            + FLASK_RUN
        },
        version={"deploymentUri": "{model}"},
        model={"export/1/model.txt": "42"},
        evidence=r"export/1/model\.txt",
        remedy=Respec({"deploymentUri": "{model}/export/1"}),
        engines=BOTH,
    ),
    Container(
        # A default path of the program, and a version that has no model to copy.
        name="version-without-its-model",
        code="MODEL_FILE_MISSING",
        files={
            "app.py": flask(top='weights = open((os.environ["AIP_STORAGE_URI"] or "/model") + "/model.txt").read()\n')
            + FLASK_RUN
        },
        model={"model.txt": "42"},
        evidence=r"/model/model\.txt",
        remedy=Respec({"deploymentUri": "{model}"}),
    ),
)

ARTIFACTS = (
    Container(
        name="artifacts-that-do-not-exist",
        code="ARTIFACT_NOT_FOUND",
        files={"app.py": FLASK + FLASK_RUN},
        version={"deploymentUri": "{model}/missing"},
        model={"model.txt": "42"},
        evidence=r"/missing",
        remedy=Respec({"deploymentUri": "{model}"}),
    ),
    Container(
        name="artifacts-behind-a-login",
        code="ARTIFACT_UNAUTHORIZED",
        files={"app.py": FLASK + FLASK_RUN},
        version={"deploymentUri": "http://{refusing}/model.bin"},
        evidence=r"40[13]|/model\.bin",
        remedy=Respec({"deploymentUri": None}),
    ),
    Container(
        name="artifacts-of-too-many-files",
        code="ARTIFACT_REFUSED",
        files={"app.py": FLASK + FLASK_RUN},
        version={"deploymentUri": "{model}"},
        model={f"shards/{number:04}.txt": "1" for number in range(1001)} | {"small/model.txt": "42"},
        evidence=r"1,002 files",
        remedy=Respec({"deploymentUri": "{model}/small"}),
    ),
)

CASES = (*PICKLES, *FILES, *ARTIFACTS)
