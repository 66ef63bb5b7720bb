"""Rules for programs whose parts are not there: modules, shared libraries, versions that fit; or that do not parse."""

from __future__ import annotations

import re

from modelport.doctor.evidence import Evidence
from modelport.doctor.last_words import proof, raised_by, said
from modelport.doctor.log_text import Raised
from modelport.doctor.packages import apt_package, pip_package
from modelport.doctor.rule import Found, Rule, rule

# Python 3.6 and later, and 2.7.
_NO_MODULE = r"^(?:ModuleNotFoundError|ImportError): No module named '?([\w.]+)'?(?:;|$)"
_NO_LIBRARY = (
    # glibc's loader through ctypes or an extension module
    r"([\w.+-]+\.so[\w.]*): cannot open shared object file: No such file or directory",
    # musl's loader
    r"Error loading shared library ([\w.+-]+\.so[\w.]*): No such file or directory",
)
_SKEW = (
    # pickle of CPython 3.8-3.13: a newer Python wrote it
    r"^ValueError: unsupported pickle protocol: (\d+)",
    # numpy 1.20 and later under an extension that was built for another one
    r"^ValueError: numpy\.(?:dtype|ndarray|ufunc) size changed, may indicate binary incompatibility",
    r"^(?:ImportError|RuntimeError): module compiled against (?:ABI|API) version",
    r"^(?:ImportError|RuntimeError): A module that was compiled using NumPy 1\.x",
    r"^ImportError: numpy\.core\.multiarray failed to import",
    r"^AttributeError: module 'numpy' has no attribute '(?:bool|int|float|object|str|bool8|float_|unicode_|NaN)'",
    # numpy's generators in a pickle of another major version
    r"^ValueError: <class 'numpy\.random\.\S+'> is not a known BitGenerator module",
    # scikit-learn: the trees' layout changed in 1.3
    r"^ValueError: node array from the pickle has an incompatible dtype",
    r"^AttributeError: '\w+' object has no attribute '(?:_?monotonic_cst|_preprocessor|criterion|_sklearn_version)'",
    r"^AttributeError: Can't get attribute '\w+' on <module '(?:sklearn|numpy|pandas|xgboost|lightgbm|scipy)[\w.]*'",
    r"^AttributeError: module '(?:sklearn|pandas|scipy|keras|tensorflow|torch|collections)[\w.]*' has no attr",
    # A file of the user's own with a library's name is not a library: what is installed lies in *-packages.
    r"^ImportError: cannot import name '\w+' from '(?:sklearn|numpy|pandas|scipy|werkzeug|jinja2|markupsafe"
    r"|itsdangerous|flask|keras|tensorflow|torch|transformers|huggingface_hub|google\.protobuf|collections|typing_extensions|pydantic"
    r"|starlette|fastapi|click|urllib3)[\w.]*' \((?:.*-packages/.*|.*/lib/python3.*|unknown location)\)",
    # protobuf 4 and later with code that protoc 3.18 or older generated
    r"^TypeError: Descriptors cannot (?:not )?be created directly",
    r"^VersionError: Detected (?:incompatible|mismatched) Protobuf",
    # numba, tensorflow, pydantic 2
    r"^ImportError: Numba needs NumPy",
    r"^PydanticImportError: `?BaseSettings`? has been moved",
    r"^XGBoostError: .*Check failed: .*(?:version|Unknown model)",
)
# Their parts are packages of their own.
_NAMESPACES = ("google", "azure", "ruamel", "zope", "backports")
_USER_FRAME = re.compile(r'^File "(?!<frozen)(?P<path>[^"]+)"')
_LIBRARY_PATHS = ("/site-packages/", "/dist-packages/", "/lib/python")


@rule("SYNTAX_ERROR")
def syntax_error(evidence: Evidence) -> Found | None:
    """The program does not parse.

    Symptom: `SyntaxError: invalid syntax`, `IndentationError: unexpected indent`, `SyntaxError: Unexpected token`,
    `SyntaxError: Cannot use import statement outside a module`, right at the start.

    Cause: a typing error, a merge conflict that was left in, or syntax that is newer than the image's Python or Node,
    such as `match` before Python 3.10 or `except*` before 3.11.

    Proof: the interpreter's own error ended the program, with the place.

    Fix: correct the line that is named, or use an image with the version that the code was written for:
    `FROM python:3.12-slim`.
    """
    found = raised_by(evidence, r"^(?:SyntaxError|IndentationError|TabError): (.*)")
    if found is None:
        return None
    raised, match = found
    place = next((frame for frame in reversed(raised.frames) if frame.startswith("File ")), "")
    # Data that was read as JSON, or evaluated, is no part of the program.
    if any("JSON.parse" in frame for frame in raised.frames) or re.match(r'File "<(string|unknown)>"', place):
        return None
    return Found(
        summary=f"The program does not parse: {match[1].splitlines()[0]}.",
        cause="The interpreter of this image does not understand a line of it.",
        remedy=f"Correct {place.replace('File ', '')}" if place else "Correct the line that the log names",
        evidence=proof(evidence, str(raised), place),
    )


@rule("LIBRARY_VERSION_SKEW")
def library_version_skew(evidence: Evidence) -> Found | None:
    """A library is installed in another version than the model or the code was made with.

    Symptom: `No module named 'sklearn.ensemble.forest'`, `No module named 'numpy._core'`, `No module named
    'sklearn._loss'`, `InconsistentVersionWarning: Trying to unpickle estimator … from version 1.2.2 when using version
    1.5.0`, `unsupported pickle protocol: 5`, `numpy.dtype size changed, may indicate binary incompatibility`, `cannot
    import name 'url_quote' from 'werkzeug.urls'`, "Failed to load model: Could not load the model … (Error code: 0)" on
    the original service.

    Cause: a pickle names the modules that its libraries had when it was written, and libraries need their
    dependencies in versions that they know; `pip install scikit-learn` takes whatever is newest on that day.

    Proof: what ended the program is about a part of a library that is there, or about a format of another version.

    Fix: write the versions of the training into requirements.txt, `scikit-learn==1.2.2`, `numpy<2`; take them from
    `pip freeze` there; or train and save the model again with what the image has.
    """
    if (moved := raised_by(evidence, _NO_MODULE)) and _is_part_of_library(moved[0], moved[1][1]):
        top = moved[1][1].split(".")[0]
        return _skew(evidence, moved[0], pip_package(top), f"The {top} that is installed has no `{moved[1][1]}`.")
    found = raised_by(evidence, *_SKEW)
    if found is None:
        return None
    library = re.search(
        r"\b(sklearn|numpy|pandas|werkzeug|keras|tensorflow|torch|protobuf|pydantic)\b", str(found[0]), re.I
    )
    if "pickle protocol" in found[1][0]:
        return _skew(evidence, found[0], "", "The pickle was written by a newer Python than the image has.")
    name = library[1].lower() if library else ""
    return _skew(
        evidence, found[0], pip_package(name) or name, "Two libraries, or a library and the model, do not fit."
    )


@rule("MODULE_MISSING")
def module_missing(evidence: Evidence) -> Found | None:
    """A module that the program imports is not installed in the image.

    Symptom: `ModuleNotFoundError: No module named 'flask'`, `Error: Cannot find module 'express'`, `Error loading ASGI
    app. Could not import module "main".`, `java.lang.ClassNotFoundException`; with gunicorn then `Worker failed to
    boot.` Vertex AI says "Model server exited unexpectedly", SageMaker "did not pass the ping health check".

    Cause: the package is not in requirements.txt, the Dockerfile does not install it or installs it for another
    Python; or the module is a file of one's own that was not copied into the image, or lies in another folder than the
    server is started in.

    Proof: the failed import is the last thing that the program said, and it ended or serves nothing.

    Fix: add the package to requirements.txt and `RUN pip install -r requirements.txt` to the Dockerfile; for a file of
    one's own `COPY . /app` and `WORKDIR /app`.
    """
    if found := raised_by(evidence, _NO_MODULE):
        return _python_module(evidence, str(found[0]), found[1][1], _importer(found[0]))
    if found := raised_by(
        evidence,
        r"^Error: Cannot find module '([^']+)'",  # node, CommonJS
        r"^Error: Cannot find (?:package|module) '([^']+)' imported from",  # node, ES modules
    ):
        return _node_module(evidence, str(found[0]), found[1][1])
    if found := raised_by(evidence, r"^(?:NoClassDefFoundError|ClassNotFoundException): ([\w./$]+)"):
        return _found(
            evidence, found[1][1], "It is not on the class path.", "Add its jar to the class path", str(found[0])
        )
    match = said(
        evidence,
        r'^ERROR: +Error loading ASGI app\. Could not import module "([\w.]+)"\.$',  # uvicorn 0.13 and later
        r"^Error: Could not import '([\w.]+)'\.$",  # flask 2 and 3
        r"python[\d.]*: No module named ([\w.]+)$",  # python -m
        r"^1\. No module named '([\w.]+)'$",  # waitress-serve 1 to 3
        r"^Error: Could not find or load main class ([\w.$]+)$",  # java
    )
    if match is None:
        return None
    return _python_module(
        evidence, match.string, match[1], own="import module" in match[0] or "Could not import" in match[0]
    )


@rule("SHARED_LIBRARY_MISSING")
def shared_library_missing(evidence: Evidence) -> Found | None:
    """A library of the operating system that a package needs is not in the image.

    Symptom: `ImportError: libGL.so.1: cannot open shared object file: No such file or directory`, `OSError:
    libgomp.so.1: cannot open shared object file`, `error while loading shared libraries: libssl.so.1.1`.

    Cause: slim images leave out libraries that wheels expect from the system: OpenCV wants libGL and glib, LightGBM
    and scikit-learn want libgomp, soundfile wants libsndfile.

    Proof: the loader's message is what ended the program.

    Fix: install the Debian package: `RUN apt-get update && apt-get install -y --no-install-recommends libgl1
    libglib2.0-0 libgomp1`; or use `opencv-python-headless`, which needs no libGL.
    """
    found = raised_by(evidence, *_NO_LIBRARY)
    match = (
        found[1]
        if found
        else said(
            evidence,
            r"error while loading shared libraries: ([\w.+-]+\.so[\w.]*): cannot open shared object file",
            r"^Error loading shared library ([\w.+-]+\.so[\w.]*): No such file or directory",
            within=5,
        )
    )
    if match is None or match[1].startswith(("libcuda.", "libnvidia-")):
        return None  # the driver's own libraries come with a GPU
    library = match[1]
    package = apt_package(library)
    advice = "; or use opencv-python-headless instead of opencv-python" if library == "libGL.so.1" else ""
    install = f"RUN apt-get update && apt-get install -y --no-install-recommends {package}"
    return Found(
        summary=f"The system library `{library}` is not in the image.",
        cause="A package of the program is linked with it, and slim images leave it out.",
        remedy=f"Write `{install}` into the Dockerfile{advice}"
        if package
        else f"Find its package with `apt-file search {library}` and install it in the Dockerfile",
        evidence=proof(evidence, str(found[0]) if found else match.string),
    )


def _is_part_of_library(raised: Raised, module: str) -> bool:
    """Return whether a library is there, and the part of it that is wanted is not."""
    top = module.split(".")[0]
    if "." not in module or "is not a package" in raised.message:
        return False
    return bool(pip_package(top)) and top not in _NAMESPACES


def _skew(evidence: Evidence, raised: Raised, package: str, cause: str) -> Found:
    warning = said(
        evidence,
        # scikit-learn 0.18 and later
        r"Trying to unpickle estimator \S+ from version (?P<then>[\w.]+) when using version (?P<now>[\w.]+)",
        within=100,
    )
    if warning:
        cause += f" The model is of scikit-learn {warning['then']}; installed is {warning['now']}."
        pin = f"scikit-learn=={warning['then']}"
    elif str(raised).endswith("'numpy._core'") or "numpy._core." in str(raised):
        pin = "numpy>=2"  # only numpy 2 has it: it is what wrote the pickle
    else:
        pin = f"{package}==VERSION" if package else ""
    remedy = (
        f"Pin the version of the training in requirements.txt, `{pin}`; `pip freeze` there tells it"
        if pin
        else "Use the Python version of the training: `FROM python:VERSION-slim`"
    )
    return Found(
        summary=f"A library does not fit the model or the code: {raised}.",
        cause=cause,
        remedy=remedy,
        evidence=proof(evidence, warning[0] if warning else "", str(raised)),
    )


def _python_module(evidence: Evidence, line: str, module: str, importer: str = "", *, own: bool = False) -> Found:
    """Return the finding for a Python module; `own` where a server was told to load it."""
    by = f"{importer} imports it." if importer else "The program imports it."
    if (package := pip_package(module)) and not own:
        return _found(
            evidence,
            module,
            f"{by} No package that is installed has it.",
            f"Add `{package}` to requirements.txt, or write `RUN pip install {package}` into the Dockerfile",
            line,
        )
    folder = (evidence.image.working_dir if evidence.image else "") or "/app"
    top = module.split(".")[0]
    return _found(
        evidence,
        module,
        f"{'The server is told to load it.' if own else by} It looks like a file of your own that was not copied.",
        f"Copy `{top}.py`, or the folder `{top}`, to where the server starts: `WORKDIR {folder}` and `COPY . {folder}`"
        " in the Dockerfile" + ("" if own else "; if it is a package, install it with pip"),
        line,
    )


def _node_module(evidence: Evidence, line: str, module: str) -> Found | None:
    if module.startswith("/") and not said(evidence, r"^\s*Require stack:|requireStack: \[ '"):
        return None  # the program itself: see COMMAND_NOT_FOUND
    if module.startswith((".", "/")):
        return _found(
            evidence,
            module,
            "It is a file of your own that was not copied into the image.",
            "Copy it in the Dockerfile: `COPY . .`",
            line,
        )
    return _found(
        evidence,
        module,
        "No package of this name is in node_modules.",
        f"Add it with `npm install {module}`, and write `RUN npm ci` into the Dockerfile after copying package*.json",
        line,
    )


def _found(evidence: Evidence, module: str, cause: str, remedy: str, line: str) -> Found:
    return Found(f"The module `{module}` is not in the image.", cause, remedy, proof(evidence, line))


def _importer(raised: Raised | None) -> str:
    """Return the place of the user's own program that imports, if the traceback shows it."""
    for frame in reversed(raised.frames if raised else ()):
        match = _USER_FRAME.match(frame)
        if match and not any(part in match["path"] for part in _LIBRARY_PATHS):
            return frame.replace("File ", "", 1).replace('"', "")
    return ""


RULES: tuple[Rule, ...] = (syntax_error, library_version_skew, module_missing, shared_library_missing)
