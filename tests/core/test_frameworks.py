"""Frameworks by what people type, by the names of files and by how files begin."""

import pytest

from modelport.core.frameworks import Framework, framework_named, framework_of, framework_of_content, model_files


@pytest.mark.parametrize(
    ("text", "framework"),
    [
        ("SCIKIT_LEARN", Framework.SCIKIT_LEARN),
        ("scikit-learn", Framework.SCIKIT_LEARN),
        (" sklearn ", Framework.SCIKIT_LEARN),
        ("TensorFlow", Framework.TENSORFLOW),
        ("tf", Framework.TENSORFLOW),
        ("xgb", Framework.XGBOOST),
        ("torch", Framework.PYTORCH),
        ("onnx-runtime", Framework.ONNX),
        ("caffe", None),
        ("", None),
    ],
)
def test_a_framework_is_known_by_what_people_call_it(text: str, framework: Framework | None) -> None:
    assert framework_named(text) is framework


@pytest.mark.parametrize(
    ("names", "framework"),
    [
        (["model.joblib"], Framework.SCIKIT_LEARN),
        (["README.md", "churn.pkl"], Framework.SCIKIT_LEARN),
        (["model.skops"], Framework.SCIKIT_LEARN),
        (["model.bst"], Framework.XGBOOST),
        (["model.ubj", "columns.json"], Framework.XGBOOST),
        (["model.json"], Framework.XGBOOST),
        (["model.txt", "requirements.txt"], Framework.LIGHTGBM),
        (["model.lgb"], Framework.LIGHTGBM),
        (["model.cbm"], Framework.CATBOOST),
        (["saved_model.pb", "variables", "keras_metadata.pb"], Framework.TENSORFLOW),
        (["model.keras"], Framework.KERAS),
        (["model.onnx", "model.onnx.data"], Framework.ONNX),
        (["model.pt2"], Framework.PYTORCH),
        (["MLmodel", "model.pkl", "requirements.txt", "conda.yaml"], Framework.MLFLOW),
        (["model.onnx", "scaler.joblib"], Framework.ONNX),
        (["config.json", "notes.txt"], None),
        ([], None),
    ],
)
def test_a_framework_is_known_by_its_files(names: list[str], framework: Framework | None) -> None:
    assert framework_of(names) is framework


@pytest.mark.parametrize(
    ("head", "framework"),
    [
        (b'{"learner":{"attributes":{}', Framework.XGBOOST),
        (b'{\n  "version": [1, 0, 0],\n  "learner": {', Framework.XGBOOST),
        (b"{L\0\0\0\0\0\0\0\x07learner{L", Framework.XGBOOST),
        (b"tree\nversion=v4\nnum_class=1", Framework.LIGHTGBM),
        (b"tree\r\nversion=v3\r\n", Framework.LIGHTGBM),
        (b"CBM1\xb0E\0\0", Framework.CATBOOST),
        (b'{\n  "features_info":\n    {', Framework.CATBOOST),
        (b'{\n"ctr_data":{', Framework.CATBOOST),
        (b'{"name": "the \\"learner\\" of it"}', None),
        (b'"learner"', None),
        (b'{"instances": []}', None),
        (b"\x80\x04\x95", None),
        (b"", None),
    ],
)
def test_a_framework_is_known_by_how_a_file_begins(head: bytes, framework: Framework | None) -> None:
    assert framework_of_content(head) is framework


@pytest.mark.parametrize(
    ("names", "framework", "found"),
    [
        (["b.joblib", "a.joblib", "a.skops"], Framework.SCIKIT_LEARN, ("a.skops", "a.joblib", "b.joblib")),
        (["model.pkl", "model.bst"], Framework.XGBOOST, ("model.bst",)),
        (["model.pkl"], Framework.XGBOOST, ("model.pkl",)),
        (["model.joblib"], Framework.LIGHTGBM, ("model.joblib",)),
        (["churn.json", "model.pkl"], Framework.XGBOOST, ("churn.json", "model.pkl")),
        (["requirements.txt", "churn.txt"], Framework.LIGHTGBM, ("churn.txt", "requirements.txt")),
        (["model.json"], Framework.CATBOOST, ("model.json",)),
        (["model.pkl"], Framework.ONNX, ()),
    ],
)
def test_the_files_of_a_framework_come_most_telling_first(
    names: list[str], framework: Framework, found: tuple[str, ...]
) -> None:
    assert model_files(names, framework) == found
