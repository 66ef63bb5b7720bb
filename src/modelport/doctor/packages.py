"""Packages: what to install so that a module can be imported or a shared library can be loaded. Data, and look-ups."""

from __future__ import annotations

# Where the name on PyPI is not the name of the module.
_PIP = {
    "Crypto": "pycryptodome",
    "OpenSSL": "pyOpenSSL",
    "PIL": "Pillow",
    "attr": "attrs",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "dotenv": "python-dotenv",
    "faiss": "faiss-cpu",
    "fitz": "PyMuPDF",
    "flash_attn": "flash-attn",
    "flask_cors": "flask-cors",
    "git": "GitPython",
    "google.cloud.aiplatform": "google-cloud-aiplatform",
    "google.cloud.bigquery": "google-cloud-bigquery",
    "google.cloud.storage": "google-cloud-storage",
    "google.protobuf": "protobuf",
    "grpc": "grpcio",
    "jose": "python-jose",
    "jwt": "PyJWT",
    "magic": "python-magic",
    "multipart": "python-multipart",
    "mysqldb": "mysqlclient",
    "onnxruntime": "onnxruntime",
    "osgeo": "GDAL",
    "pkg_resources": "'setuptools<81'",
    "prometheus_client": "prometheus-client",
    "psycopg2": "psycopg2-binary",
    "pydantic_settings": "pydantic-settings",
    "pyarrow": "pyarrow",
    "pythonjsonlogger": "python-json-logger",
    "sagemaker_containers": "sagemaker-containers",
    "sentence_transformers": "sentence-transformers",
    "serial": "pyserial",
    "setuptools": "setuptools",
    "distutils": "setuptools",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "tensorflow_hub": "tensorflow-hub",
    "tensorflow_text": "tensorflow-text",
    "tflite_runtime": "tflite-runtime",
    "timm": "timm",
    "tree_sitter": "tree-sitter",
    "win32api": "pywin32",
    "yaml": "PyYAML",
    "zmq": "pyzmq",
}
# Modules whose name on PyPI is their own; what is in neither table is likelier a file of the user's.
_SAME_NAMES = """
    accelerate aiohttp anyio bentoml boto3 botocore catboost category_encoders celery cloudpickle dask diffusers
    dill django fastapi feature_engine flask gensim gradio granian gunicorn h5py httpx huggingface_hub hypercorn
    imblearn jax jinja2 joblib keras langchain librosa lightgbm lightning litserve llama_cpp loguru mangum
    matplotlib mlflow mlserver networkx nltk numba numpy onnx openai openpyxl orjson pandas peft pillow plotly
    polars prophet psutil pydantic pymongo pyspark pytorch_lightning ray redis regex requests safetensors sanic
    scipy seaborn sentencepiece shap soundfile spacy sqlalchemy starlette statsmodels tensorflow tiktoken
    tokenizers torch torchaudio torchvision tornado tqdm transformers triton typer ujson uvicorn uvloop vllm
    waitress werkzeug xgboost
"""
_SAME = frozenset(_SAME_NAMES.split())
_APT = {
    "libgomp.so.1": "libgomp1",
    "libGL.so.1": "libgl1",
    "libgthread-2.0.so.0": "libglib2.0-0",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libSM.so.6": "libsm6",
    "libXext.so.6": "libxext6",
    "libXrender.so.1": "libxrender1",
    "libX11.so.6": "libx11-6",
    "libxcb.so.1": "libxcb1",
    "libsndfile.so.1": "libsndfile1",
    "libsndfile.so": "libsndfile1",
    "libopenblas.so.0": "libopenblas0",
    "libblas.so.3": "libblas3",
    "liblapack.so.3": "liblapack3",
    "libgfortran.so.5": "libgfortran5",
    "libgfortran.so.3": "libgfortran3",
    "libquadmath.so.0": "libquadmath0",
    "libstdc++.so.6": "libstdc++6",
    "libgcc_s.so.1": "libgcc-s1",
    "libpq.so.5": "libpq5",
    "libmysqlclient.so.21": "libmysqlclient21",
    "libmariadb.so.3": "libmariadb3",
    "libssl.so.1.1": "libssl1.1",
    "libssl.so.3": "libssl3",
    "libcrypto.so.3": "libssl3",
    "libffi.so.7": "libffi7",
    "libffi.so.8": "libffi8",
    "libmagic.so.1": "libmagic1",
    "libaio.so.1": "libaio1",
    "libodbc.so.2": "unixodbc",
    "libexpat.so.1": "libexpat1",
    "libz.so.1": "zlib1g",
    "libbz2.so.1.0": "libbz2-1.0",
    "libsqlite3.so.0": "libsqlite3-0",
    "libxml2.so.2": "libxml2",
    "libtbb.so.2": "libtbb2",
    "libtbb.so.12": "libtbb12",
    "libjpeg.so.62": "libjpeg62-turbo",
    "libpng16.so.16": "libpng16-16",
    "libtiff.so.6": "libtiff6",
    "libwebp.so.7": "libwebp7",
    "libavcodec.so.59": "libavcodec59",
    "libgdal.so.32": "libgdal32",
    "libgeos_c.so.1": "libgeos-c1v5",
    "libhdf5_serial.so.103": "libhdf5-103-1",
    "libopenmpi.so.40": "libopenmpi3",
    "libmpi.so.40": "libopenmpi3",
    "libnuma.so.1": "libnuma1",
    "libusb-1.0.so.0": "libusb-1.0-0",
    "libcurl.so.4": "libcurl4",
    "libatomic.so.1": "libatomic1",
    "libgoogle-perftools.so.4": "libgoogle-perftools4",
    "libtcmalloc.so.4": "libgoogle-perftools4",
    "libjemalloc.so.2": "libjemalloc2",
}


def pip_package(module: str) -> str:
    """Return what to give to pip for a module; empty where it is not known as a package."""
    for name in (module, ".".join(module.split(".")[:3]), ".".join(module.split(".")[:2]), module.split(".")[0]):
        if name in _PIP:
            return _PIP[name]
    top = module.split(".")[0]
    return top.replace("imblearn", "imbalanced-learn").replace("_", "-") if top in _SAME else ""


def apt_package(library: str) -> str:
    """Return the Debian package that has a shared library; empty where it is not known."""
    return _APT.get(library, "")
