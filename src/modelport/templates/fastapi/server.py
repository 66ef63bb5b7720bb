"""A FastAPI server for one scikit-learn model: listens at once, and says 503 on its health route until it has loaded.

The platform says where to listen and which routes to answer in AIP_* variables, and where the model files lie in
AIP_STORAGE_URI; without it the model that the image brings is used.
"""

import os
import traceback
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Thread
from typing import Annotated

import joblib
from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, FiniteFloat

HERE = Path(__file__).parent
FEATURES = 4


class Instances(BaseModel):
    instances: Annotated[
        list[Annotated[list[FiniteFloat], Field(min_length=FEATURES, max_length=FEATURES)]], Field(min_length=1)
    ]


class Predictions(BaseModel):
    predictions: list[str]


@asynccontextmanager
async def lifespan(app: FastAPI):
    app.state.model = None
    Thread(target=load_model, args=(app,), daemon=True).start()
    yield


def load_model(app: FastAPI) -> None:
    folder = os.environ.get("AIP_STORAGE_URI", "").removeprefix("file://")
    try:
        app.state.model = joblib.load((Path(folder) if folder else HERE / "model") / "model.joblib")
    except Exception:
        # A server that can never predict should end, so that the platform can say why, rather than answer 503 for ever.
        traceback.print_exc()
        os._exit(1)


app = FastAPI(title="iris", lifespan=lifespan)


@app.get(os.environ.get("AIP_HEALTH_ROUTE", "/health"))
async def health() -> dict[str, str]:
    loaded_model()
    return {"status": "ok"}


# Not `async`: predicting takes the processor, so it runs in a thread and leaves the health route free.
@app.post(os.environ.get("AIP_PREDICT_ROUTE", "/predict"))
def predict(body: Instances) -> Predictions:
    return Predictions(predictions=loaded_model().predict(body.instances).tolist())


@app.exception_handler(RequestValidationError)
async def refused(_request: Request, error: RequestValidationError) -> JSONResponse:
    problems = [f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors()]
    return JSONResponse({"error": "; ".join(problems)}, status_code=400)


def loaded_model():
    if app.state.model is None:
        raise HTTPException(503, "the model is still being loaded")
    return app.state.model
