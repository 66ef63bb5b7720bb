"""Rules for models that do not load: not there, of another program, of another format."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from modelport.doctor.evidence import ArtifactTree, Evidence
from modelport.doctor.findings import Remedy
from modelport.doctor.last_words import proof, raised_by
from modelport.doctor.log_text import Raised
from modelport.doctor.rule import Found, Rule, rule

_ABSENT = (
    # CPython 3
    r"^FileNotFoundError: \[Errno 2\] No such file or directory: [b]?['\"](?P<path>[^'\"]+)['\"]",
    # node
    r"^Error: ENOENT: no such file or directory, \w+ '(?P<path>[^']+)'",
    # h5py 3, TensorFlow 2, Keras 3
    r"^(?:OSError|FileNotFoundError): .*[Uu]nable to (?:synchronously )?open file \(unable to open file: name = "
    r"'(?P<path>[^']+)', errno = 2",
    r"^(?:OSError|IOError): SavedModel file does not exist at: (?P<path>[^{]+?)/?\{",
    r"^(?:OSError|IOError): No file or directory found at (?P<path>\S+)",
    r"^ValueError: File not found: filepath=(?P<path>\S+?)\.(?:\s|$)",
    # onnxruntime 1, torch.jit, XGBoost, LightGBM, transformers, sentence-transformers
    r"^NoSuchFile: \[ONNXRuntimeError\] : 3 : NO_SUCHFILE : Load model from (?P<path>\S+) failed",
    r"^ValueError: The provided filename (?P<path>.+) does not exist",
    r"^XGBoostError: [\s\S]*?[Oo]pening (?P<path>\S+) failed: No such file",
    r"^LightGBMError: Could not open (?P<path>\S+)",
    r"^OSError: Error no file named .* found in directory (?P<path>\S+?)\.?(?:\s|$)",
    # java
    r"^(?:FileNotFoundException|NoSuchFileException): (?P<path>/\S+)",
)
_LOAD_KINDS = (
    r"^(?:UnpicklingError|InvalidProtobuf|InvalidGraph|SafetensorError|ModelLoadError)\b",
    r"^(?:XGBoostError|LightGBMError|CatBoostError|Fail): ",
    r"^(?:RuntimeError|OSError|ValueError|EOFError|KeyError|ImportError|IndexError|TypeError|AttributeError)\b",
)
_LOAD_FRAMES = re.compile(
    r"(?:\b(?:pickle|joblib|torch|dill|cloudpickle|keras\.models|tf\.saved_model|mlflow\.\w+|ort|onnxruntime)\."
    r"(?:load|loads|load_model|InferenceSession)\(|from_pretrained\(|load_model\(|load_state_dict\(|InferenceSession\("
    r"|\bin (?:load_model|from_pretrained|load_state_dict|unpickle|_unpickle|load_weights|_legacy_load)$)"
)
# The second is said by unpicklers in Python, such as joblib's, of pickles up to protocol 3.
_NOT_IN_MAIN = (
    r"^AttributeError: Can't get attribute '([\w.]+)' on <module '__(?:mp_)?main__'",
    r"^AttributeError: module '__(?:mp_)?main__' has no attribute '([\w.]+)'",
)
_SUBPROCESS_FRAME = re.compile(r"in _execute_child\b")


@rule("PICKLE_MAIN_CLASS")
def pickle_main_class(evidence: Evidence) -> Found | None:
    """The pickled model refers to a class or function that was defined in the training script itself.

    Symptom: `AttributeError: Can't get attribute 'Model' on <module '__main__' from '/usr/local/bin/gunicorn'>`, or, of
    older pickles and joblib files, `AttributeError: module '__main__' has no attribute 'Model'`.

    Cause: a pickle holds the names of classes, not their code. What is defined in a script or a notebook has the module
    name `__main__`; in the server `__main__` is another program.

    Proof: the attribute that cannot be found is wanted of `__main__`, and that ended the program.

    Fix: move the class into a module, `from my_model import Model`, in training and in the image alike; train or at
    least save the model again; `COPY my_model.py .` in the Dockerfile.
    """
    found = raised_by(evidence, *_NOT_IN_MAIN)
    if found is None:
        return None
    raised, match = found
    if "has no attribute" in raised.message and not any("find_class" in frame for frame in raised.frames):
        return None  # no unpickler asked for it
    name = match[1]
    return Found(
        summary=f"The pickled model needs `{name}`, which was defined in the training script itself.",
        cause="The pickle refers to it as a part of `__main__`, and in the container that is the server.",
        remedy=f"Move `{name}` into a module, `my_model.py`, that training and server both import; save the model"
        " again; write `COPY my_model.py .` into the Dockerfile",
        evidence=proof(evidence, str(raised)),
    )


@rule("MODEL_FILE_MISSING")
def model_file_missing(evidence: Evidence) -> Found | None:
    """A file that the program opens does not exist in the container.

    Symptom: `FileNotFoundError: [Errno 2] No such file or directory: '/model/model.pkl'`, `OSError: SavedModel file
    does not exist at: /model`, `ENOENT: no such file or directory, open '/model/model.onnx'`, `NO_SUCHFILE : Load
    model from model.onnx failed`.

    Cause: the artifacts lie under AIP_STORAGE_URI, and the program looks at a fixed path; or they lie one folder
    deeper than it thinks; or deploymentUri is not set, so there are none; or the file was not copied into the image.

    Proof: the path of the error against the files under AIP_STORAGE_URI.

    Fix: `os.path.join(os.environ["AIP_STORAGE_URI"], "model.pkl")`; set `deploymentUri` to the folder that holds the
    file itself; or `COPY model.pkl /app/` in the Dockerfile.
    """
    found = raised_by(evidence, *_ABSENT)
    if found is None or any(_SUBPROCESS_FRAME.search(frame) for frame in found[0].frames):
        return None
    path = found[1]["path"]
    cause, remedy, seen = _whereabouts(evidence, path)
    return Found(
        summary=f"The program opens `{path}`, which does not exist in the container.",
        cause=cause,
        remedy=remedy,
        evidence=(*proof(evidence, str(found[0])), *seen),
    )


@rule("MODEL_LOAD_FAILED")
def model_load_failed(evidence: Evidence) -> Found | None:
    """The model's file is there and cannot be loaded.

    Symptom: `_pickle.UnpicklingError: invalid load key, 'v'.`, `RuntimeError: Error(s) in loading state_dict`,
    `InvalidProtobuf: Load model from model.onnx failed`, `EOFError: Ran out of input`; "Create Version failed. Bad
    model detected with error: Failed to load model" on the original service.

    Cause: the file is cut off or is not what its name says: a Git LFS pointer (a text file that begins with `version
    https://git-lfs`) instead of the model, an HTML page that was downloaded, another format; or the code builds another
    model than the one that was saved.

    Proof: the exception that ended the program, or keeps it from getting ready, was raised while a model was loaded.

    Fix: look at the file's size and first bytes, `head -c 100 model.pkl`; get it with `git lfs pull`; save it again
    with the library that loads it.
    """
    found = raised_by(evidence, *_LOAD_KINDS)
    if found is None:
        return None
    raised = found[0]
    frame = next((one for one in reversed(raised.frames) if _LOAD_FRAMES.search(one)), "")
    certain = raised.kind in ("UnpicklingError", "InvalidProtobuf", "InvalidGraph", "SafetensorError", "ModelLoadError")
    if not frame and not certain:
        return None
    return Found(
        summary=f"The model cannot be loaded: {raised}.",
        cause=_why(raised),
        remedy="Look at the file with `head -c 100`, get the real one (`git lfs pull`), or save it again with the same"
        " library",
        evidence=(*proof(evidence, str(raised), frame), *_shown(evidence.artifacts)),
    )


def _whereabouts(evidence: Evidence, path: str) -> tuple[str, Remedy, tuple[str, ...]]:
    """Return why a file is not there, what to do, and the files that are."""
    tree, root = evidence.artifacts, evidence.spec.storage_uri.rstrip("/")
    name = PurePosixPath(path).name
    wanted = path.removeprefix(root + "/") if root and path.startswith(root + "/") else ""
    seen = _shown(tree)
    candidates = [file for file, _ in tree.files if PurePosixPath(file).name == name] if tree else []
    if wanted and (deeper := next((file for file in candidates if file.endswith("/" + wanted)), "")):
        folder = deeper.removesuffix("/" + wanted)
        uri = f"{evidence.spec.deployment_uri.rstrip('/')}/{folder}"
        patch = (("replace", "/deploymentUri", uri),) if evidence.spec.deployment_uri else ()
        return (
            f"The artifacts have it as `{deeper}`, deeper than that.",
            Remedy(f"Set deploymentUri to `{uri}`", patch),
            seen,
        )
    if candidates:
        code = f'os.path.join(os.environ["AIP_STORAGE_URI"], "{candidates[0]}")'
        return f"The artifacts have it as `{root}/{candidates[0]}`.", Remedy(f"Open `{code}`"), seen
    if wanted:
        return "The artifacts have no file of this name.", Remedy(f"Upload `{wanted}` to deploymentUri"), seen
    if not evidence.spec.deployment_uri and (not root or "AIP_STORAGE_URI" in path):
        copy = f"write `COPY {name} {path}` into the Dockerfile"
        return (
            "It is not in the image, and the version has no deploymentUri, so there are no artifacts.",
            Remedy(f"Set deploymentUri to the folder that holds `{name}` and read it from AIP_STORAGE_URI, or {copy}"),
            seen,
        )
    return (
        f"It is not in the image; the artifacts lie under `{root}`." if root else "It is not in the image.",
        Remedy(f"Write `COPY {name} {path}` into the Dockerfile, or correct the path"),
        seen,
    )


def _shown(tree: ArtifactTree | None) -> tuple[str, ...]:
    if tree is None:
        return ()
    names = ", ".join(f"{name} ({size:,} bytes)" for name, size in tree.files[:8])
    more = f" and {tree.total_files - 8:,} more" if tree.total_files > 8 else ""
    return (f"artifacts: {names or 'none'}{more}",)


def _why(raised: Raised) -> str:
    if "invalid load key, 'v'" in raised.message:
        return "The file begins with `v`, as a Git LFS pointer does: the model itself was not fetched."
    if "invalid load key, '<'" in raised.message:
        return "The file begins with `<`: it is a web page, not a model."
    if raised.kind == "EOFError" or "unexpected EOF" in raised.message or "truncated" in raised.message:
        return "The file is empty or cut off."
    if "state_dict" in raised.message:
        return "The weights belong to another model than the one that the code builds."
    return "The library that reads it does not accept the file."


RULES: tuple[Rule, ...] = (pickle_main_class, model_file_missing, model_load_failed)
