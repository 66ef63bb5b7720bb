"""Containers that predict, and answer with what no client of the API understands."""

from tests.containers.container import DOCKER, PODMAN, Container, Edit
from tests.containers.predicting import ROWS_OF_THREE, SEED, SEED_FILES, SEED_IMAGE, WRAPPED
from tests.containers.servers import FASTAPI, GUNICORN, PREDICTIONS, STDLIB, UVICORN, flask

BOTH = (PODMAN, DOCKER)


def answering(answer: str) -> dict[str, str]:
    """Return an application whose predict route returns this expression."""
    return {"app.py": flask(top="import numpy\n", answer=answer)}


CASES = (
    Container(
        # What the answer to the question ends with: a list, and nothing around it.
        name="corrected-example-of-the-question",
        code="PREDICTIONS_MISSING",
        files={**SEED_FILES, "run_prediction.py": SEED.replace("get_json()", "get_json()['instances']")},
        dockerfile=SEED_IMAGE,
        instances=ROWS_OF_THREE,
        evidence=r"answer: \[\d",
        remedy=(WRAPPED,),
        engines=BOTH,
    ),
    Container(
        name="outputs-instead-of-predictions",
        code="PREDICTIONS_MISSING",
        files={"main.py": FASTAPI.replace('"predictions"', '"outputs"')},
        dockerfile=UVICORN,
        evidence=r"outputs",
        remedy=(Edit("main.py", '"outputs"', '"predictions"'),),
    ),
    Container(
        name="only-the-first-row",
        code="PREDICTIONS_COUNT_MISMATCH",
        files=answering('{"predictions": [sum(request.get_json()["instances"][0])]}'),
        dockerfile=GUNICORN,
        evidence=r"1",
        remedy=(Edit("app.py", '[sum(request.get_json()["instances"][0])]', 'request.get_json()["instances"]'),),
    ),
    Container(
        name="numpy-in-the-answer-of-flask",
        code="RESPONSE_NOT_SERIALISABLE",
        files=answering('{"predictions": numpy.float32(request.get_json()["instances"]).sum(axis=1)}'),
        dockerfile=GUNICORN,
        evidence=r"ndarray is not JSON serializable",
        remedy=(Edit("app.py", ".sum(axis=1)", ".sum(axis=1).tolist()"),),
        engines=BOTH,
    ),
    Container(
        name="numpy-in-the-answer-of-fastapi",
        code="RESPONSE_NOT_SERIALISABLE",
        files={"main.py": "import numpy\n" + FASTAPI.replace("[sum(row) for", "[numpy.float32(sum(row)) for")},
        dockerfile=UVICORN,
        evidence=r"numpy|not iterable|serialize",
        remedy=(Edit("main.py", "numpy.float32(sum(row))", "float(sum(row))"),),
    ),
    Container(
        name="numpy-in-the-answer-of-json-dumps",
        code="RESPONSE_NOT_SERIALISABLE",
        files={
            "app.py": "import numpy\n" + STDLIB.replace("[sum(row) for", "[numpy.float32(sum(row)) for") + "serve()\n"
        },
        evidence=r"float32 is not JSON serializable",
        remedy=(Edit("app.py", "numpy.float32(sum(row))", "sum(row)"),),
    ),
    Container(
        # Python's own spelling of a dict is nearly JSON.
        name="text-of-a-dict",
        code="RESPONSE_NOT_JSON",
        files=answering(f"str({PREDICTIONS})"),
        dockerfile=GUNICORN,
        evidence=r"'predictions'|text/html",
        remedy=(Edit("app.py", f"str({PREDICTIONS})", PREDICTIONS),),
    ),
    Container(
        name="page-instead-of-an-answer",
        code="RESPONSE_NOT_JSON",
        files=answering('"<!doctype html><h1>Prediction: 3.0</h1>"'),
        dockerfile=GUNICORN,
        evidence=r"Prediction: 3\.0",
        remedy=(Edit("app.py", '"<!doctype html><h1>Prediction: 3.0</h1>"', PREDICTIONS),),
    ),
    Container(
        name="nan-in-the-answer-of-flask",
        code="RESPONSE_HAS_NAN",
        files=answering('{"predictions": [float("nan") for row in request.get_json()["instances"]]}'),
        dockerfile=GUNICORN,
        evidence=r"NaN",
        remedy=(Edit("app.py", 'float("nan")', "None"),),
    ),
    Container(
        # Starlette refuses to write NaN, and the client gets 500.
        name="nan-in-the-answer-of-starlette",
        code="RESPONSE_HAS_NAN",
        files={
            "main.py": "from starlette.responses import JSONResponse\n"
            + FASTAPI.replace(
                'return {"predictions": [sum(row) for row in rows.instances]}',
                'return JSONResponse({"predictions": [float("nan")] * len(rows.instances)})',
            )
        },
        dockerfile=UVICORN,
        evidence=r"Out of range float values are not JSON compliant",
        remedy=(Edit("main.py", 'float("nan")', "None"),),
    ),
)
