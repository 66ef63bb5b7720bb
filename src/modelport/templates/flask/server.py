"""A Flask server for one scikit-learn model, as AI Platform's custom container contract wants it.

The platform says where to listen and which routes to answer in AIP_* variables, and where the model files lie in
AIP_STORAGE_URI; without it the model that the image brings is used.
"""

import os
from math import isfinite
from pathlib import Path

import joblib
from flask import Flask, jsonify, request
from werkzeug.exceptions import BadRequest, HTTPException

HERE = Path(__file__).parent


def load_model():
    folder = os.environ.get("AIP_STORAGE_URI", "").removeprefix("file://")
    return joblib.load((Path(folder) if folder else HERE / "model") / "model.joblib")


def read_instances(features: int) -> list[list[float]]:
    """Return the rows of the request; raise BadRequest with the one thing that is wrong with them."""
    body = request.get_json(force=True, silent=True)
    if not isinstance(body, dict) or not isinstance(body.get("instances"), list) or not body["instances"]:
        raise BadRequest('the body must be {"instances": [...]} with at least one instance')
    for index, row in enumerate(body["instances"]):
        if not isinstance(row, list) or len(row) != features or not all(map(is_number, row)):
            raise BadRequest(f"instances[{index}] must be a list of {features} numbers")
    return body["instances"]


def is_number(value: object) -> bool:
    return type(value) in (int, float) and isfinite(value)


def create_app() -> Flask:
    app = Flask(__name__)
    # Loaded before the server listens: whoever gets an answer from /health gets predictions too. A model that takes
    # longer than about half a minute should be loaded in the background, as in the FastAPI example.
    model = load_model()

    @app.get(os.environ.get("AIP_HEALTH_ROUTE", "/health"))
    def health():
        return jsonify(status="ok")

    @app.post(os.environ.get("AIP_PREDICT_ROUTE", "/predict"))
    def predict():
        rows = read_instances(model.n_features_in_)
        # tolist() turns numpy's own types into those that JSON has.
        return jsonify(predictions=model.predict(rows).tolist())

    @app.errorhandler(HTTPException)
    def refused(error: HTTPException):
        return jsonify(error=error.description), error.code

    return app
