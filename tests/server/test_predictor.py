"""Code of the user's becomes a model, by whichever interface it is written, or a clear error with its place."""

import asyncio
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pytest

from modelport.core.errors import Error, Internal, InvalidArgument, ModelCannotBeLoaded
from modelport.server.model import Calls, Form, Model
from modelport.server.predictor import load_predictor
from modelport.server.predictor_source import parse
from modelport.server.tracebacks import Tracebacks


@pytest.fixture(autouse=True)
def _imports_of_their_own() -> Iterator[None]:
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", "")).find("pytest-") >= 0:
            del sys.modules[name]


class Code:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self, text: str, name: str = "Predictor", *, model_dir: bool = True) -> Model:
        file = self.folder / "mine.py"
        file.write_text(text)
        return load_predictor(f"{file}:{name}", self.folder if model_dir else None)

    def refused(self, text: str, name: str = "Predictor", *, model_dir: bool = True) -> ModelCannotBeLoaded:
        with pytest.raises(ModelCannotBeLoaded) as caught:
            self.load(text, name, model_dir=model_dir)
        assert caught.value.hint
        return caught.value


@pytest.fixture
def code(tmp_path: Path) -> Code:
    return Code(tmp_path)


def predicted(model: Model, rows: Any, /, **parameters: Any) -> Any:
    inputs = model.preprocess(rows, parameters)
    return model.postprocess(model.predict(inputs, parameters), parameters)


AI_PLATFORM = """
import os

class Predictor(object):
    def __init__(self, factor):
        self._factor = factor

    def predict(self, instances, **kwargs):
        return [self._factor * one + kwargs.get("more", 0) for one in instances]

    def preprocess(self, instances):
        raise AssertionError("not of this interface")

    @classmethod
    def from_path(cls, model_dir):
        with open(os.path.join(model_dir, "factor.txt")) as file:
            return cls(int(file.read()))
"""


def test_the_interface_of_ai_platform_is_served(code: Code) -> None:
    (code.folder / "factor.txt").write_text("3")
    model = code.load(AI_PLATFORM)

    assert predicted(model, [1, 2]) == [3, 6]
    assert predicted(model, [1, 2], more=1) == [4, 7]
    assert model.info.framework == "PREDICTOR"
    assert not model.info.row_wise
    assert model.info.form is Form.PYTHON


def test_rows_come_as_plain_values(code: Code) -> None:
    model = code.load("def predict(instances): return [type(one).__name__ for one in instances]", "predict")

    assert predicted(model, np.array([[1, 2]])) == ["list"]


FOUR_VERBS = """
from pathlib import Path

class Predictor:
    example = [{"text": "ab"}, {"b64": "aGk="}]
    row_wise = True
    threads = 4

    def load(self, model_dir: Path):
        self.factor = int((model_dir / "factor.txt").read_text())

    def preprocess(self, instances):
        return [len(one["text"]) for one in instances]

    def predict(self, lengths, parameters):
        return [self.factor * one + parameters.get("more", 0) for one in lengths]

    def postprocess(self, numbers, *, words: bool = False):
        return ["many" if one > 10 else "few" for one in numbers] if words else numbers
"""


def test_our_own_four_verbs_are_served(code: Code) -> None:
    (code.folder / "factor.txt").write_text("3")
    model = code.load(FOUR_VERBS)

    assert predicted(model, [{"text": "ab"}]) == [6]
    assert predicted(model, [{"text": "ab"}], more=7, words=True) == ["many"]
    assert model.info.row_wise
    assert model.info.threads == 4
    assert model.info.warm_up == [{"text": "ab"}, b"hi"]


VERTEX = """
class Predictor:
    def load(self, artifacts_uri):
        self.uri = artifacts_uri

    def preprocess(self, prediction_input):
        return [one * prediction_input.get("parameters", {}).get("by", 1) for one in prediction_input["instances"]]

    def predict(self, instances):
        return instances

    def postprocess(self, results):
        assert isinstance(self.uri, str)
        return {"predictions": results}
"""


def test_the_interface_of_vertex_ai_is_served(code: Code) -> None:
    model = code.load(VERTEX)

    assert predicted(model, [1, 2]) == [1, 2]
    assert predicted(model, [1, 2], by=2) == [2, 4]


def test_an_object_and_a_file_without_a_name_are_served(code: Code) -> None:
    text = "class Some:\n    def predict(self, instances):\n        return instances\nready = Some()\n"

    assert predicted(code.load(text, "ready"), [1]) == [1]
    assert predicted(load_predictor(str(code.folder / "mine.py"), None), [1]) == [1]


def test_modules_are_named_with_a_colon_or_a_dot(code: Code) -> None:
    package = code.folder / "parcel"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "inner.py").write_text("from parcel.sums import total as predict\n")
    (package / "sums.py").write_text("def total(instances):\n    return [sum(one) for one in instances]\n")

    for spec in ("parcel.inner:predict", "parcel.inner.predict"):
        assert predicted(load_predictor(spec, code.folder), [[1, 2]]) == [3]


def test_a_file_finds_its_neighbours_and_itself(code: Code) -> None:
    (code.folder / "neighbour.py").write_text("factor = 2\n")
    model = code.load(
        "import pickle, neighbour\n"
        "class Box:\n    value = 1\n"
        "def predict(instances):\n    return [pickle.loads(pickle.dumps(Box())).value * neighbour.factor]\n",
        "predict",
    )

    assert predicted(model, [0]) == [2]


@pytest.mark.parametrize("spec", ["", "mine", "my-module:X", "a:b:c", ":X", "a..b", "mine.py:X Y"])
def test_a_text_of_no_known_form_is_refused(spec: str) -> None:
    with pytest.raises(ModelCannotBeLoaded, match="does not say where the predictor is"):
        parse(spec)


CLASS = "class Predictor:\n    "
PREDICT = "\n    def predict(self, i): ..."


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("class Predicter:\n    def predict(self, instances): ...",
         "`mine.py` holds no `Predictor`; there is `Predicter`"),
        ("x = 1", "`mine.py` holds no `Predictor`; there is no predictor"),
        ("import nowhere", "cannot be imported: ModuleNotFoundError: No module named 'nowhere' (…/mine.py:1)"),
        ("x = 1\ny = x / 0", "cannot be imported: ZeroDivisionError: division by zero (…/mine.py:2)"),
        ("x = 1\ndef f(:\n", "cannot be imported: SyntaxError: invalid syntax (…/mine.py:2)"),
        ("import sys\nsys.exit(3)", "cannot be imported: SystemExit: 3 (…/mine.py:2)"),
        ("Predictor = 3", "is int, neither a class nor a function"),
        ("class Predictor: ...", "`Predictor` has no method `predict` (…/mine.py:1)"),
        (f"{CLASS}def predict(self): ...", "`Predictor.predict` takes no argument for the instances (…/mine.py:2)"),
        (f"{CLASS}def predict(self, rows, other, /): ...", "wants `other` by position"),
        (f"{CLASS}def __init__(self, m): ...{PREDICT}", "is constructed with `m`"),
        (f"{CLASS}def __init__(self):\n        open('/nowhere'){PREDICT}",
         "`Predictor()` failed: FileNotFoundError: [Errno 2] No such file or directory: '/nowhere' (…/mine.py:3)"),
        (f"{CLASS}def load(self):\n        {{}}['a']{PREDICT}",
         "`Predictor.load` failed: KeyError: 'a' (…/mine.py:3)"),
        (f"{CLASS}async def load(self): ...{PREDICT}", "is a coroutine function"),
        (f"{CLASS}@classmethod\n    def from_path(cls, d): raise ValueError('bad\\nvery'){PREDICT}",
         "`Predictor.from_path` failed: ValueError: bad (…/mine.py:3)"),
        (f"{CLASS}@classmethod\n    def from_path(cls, d): return None{PREDICT}",
         "returned NoneType, which has no method `predict`"),
        (f"{CLASS}example = {{'a': 1}}{PREDICT}", "a list of instances is wanted"),
        (f"{CLASS}threads = 0{PREDICT}", "`Predictor.threads` is '0', a number from 1 is wanted"),
        (f"{CLASS}async def preprocess(self, i): ...\n    def predict(self, i): yield 1",
         "`predict` an ordinary generator"),
        (f"{CLASS}def postprocess(self, i): yield 1{PREDICT}", "only `predict` may be one"),
    ],
)  # fmt: skip
def test_code_that_is_no_predictor_is_refused_with_its_place(code: Code, text: str, says: str) -> None:
    message = code.refused(text).message.replace(str(code.folder), "…")

    assert says in message


def test_a_near_name_is_suggested(code: Code) -> None:
    assert code.refused("class Predicter:\n    def predict(self, i): ...").hint == "Write `Predicter`"


def test_a_predictor_that_loads_wants_a_folder(code: Code) -> None:
    error = code.refused(AI_PLATFORM, model_dir=False)

    assert "wants the folder of the model" in error.message
    assert error.metadata["location"].endswith("mine.py:14")


def test_a_module_that_is_not_there_is_told_from_one_that_it_lacks(code: Code) -> None:
    (code.folder / "lacking.py").write_text("import nowhere.at.all\n")

    for spec, says in (("absent.module:X", "No module named `absent`"), ("lacking:X", "`lacking` cannot be imported")):
        with pytest.raises(ModelCannotBeLoaded, match=says):
            load_predictor(spec, code.folder)


@pytest.mark.parametrize(
    ("signature", "parameters", "violations"),
    [
        ("rows", {"a": 1}, {"parameters.a": "it is not known, no parameter is"}),
        ("rows, a=1", {"b": 1}, {"parameters.b": "it is not known, `a` is"}),
        ("rows, a", {}, {"parameters.a": "it is missing"}),
        ("rows, *, a: float = 1", {"a": "x"}, {"parameters.a": '"x" is a text, a number is wanted'}),
        ("these, **others", {"these": 1}, {"parameters.these": "the predictor calls its instances so"}),
        ("rows, parameters: dict[str, int]", {"a": "x"}, {"parameters.a": '"x" is a text, an integer is wanted'}),
        ("rows, a: int, b: int", {"b": "x"}, {
            "parameters.a": "it is missing",
            "parameters.b": '"x" is a text, an integer is wanted',
        }),
    ],
)  # fmt: skip
def test_parameters_are_held_against_the_signature(
    code: Code, signature: str, parameters: dict[str, Any], violations: dict[str, str]
) -> None:
    model = code.load(f"def predict({signature}): return []", "predict")
    with pytest.raises(InvalidArgument) as caught:
        predicted(model, [1], **parameters)

    assert {one.field: one.description for one in caught.value.violations} == violations


def test_parameters_are_described(code: Code) -> None:
    model = code.load("def predict(rows, a: float, b=2): return rows", "predict")

    assert model.info.parameters_schema == {
        "type": "object",
        "properties": {"a": {"type": "number"}, "b": {}},
        "required": ["a"],
        "additionalProperties": False,
    }


HINTED = """
from dataclasses import dataclass
import numpy as np
from numpy.typing import NDArray

@dataclass
class Row:
    age: int

def rows(instances: list[Row]) -> list[float]:
    return [one.age / 2 for one in instances]

def numbers(instances: NDArray[np.float32]) -> list[str]:
    return [str(instances.dtype)] * len(instances)

def odd(instances: "list[NotImported]") -> "NotImported":
    return instances
"""


def test_hints_are_validated_and_described(code: Code) -> None:
    model = code.load(HINTED, "rows")

    assert predicted(model, [{"age": 3}]) == [1.5]
    assert model.info.response_schema == {"type": "number"}
    with pytest.raises(InvalidArgument, match=r"instances\[0\]\.age: it is missing"):
        predicted(model, [{}])


def test_an_array_hint_asks_for_an_array(code: Code) -> None:
    model = code.load(HINTED, "numbers")

    assert model.info.form is Form.ARRAY
    assert predicted(model, [[1, 2]]) == ["float32"]


def test_a_hint_that_cannot_be_read_is_logged_and_left_out(code: Code, caplog: pytest.LogCaptureFixture) -> None:
    model = code.load(HINTED, "odd")

    assert predicted(model, ["x"]) == ["x"]
    assert "`list[NotImported]` cannot be evaluated" in caplog.text
    assert "mine.py:" in caplog.text


@pytest.mark.parametrize(
    ("given", "predictions"),
    [("(1, 2)", [1, 2]), ("iter([1])", [1]), ("{'predictions': (1,)}", [1]), ("{3}", [3])],
)
def test_what_is_like_a_list_is_made_one(code: Code, given: str, predictions: list[Any]) -> None:
    assert predicted(code.load(f"def predict(rows): return {given}", "predict"), [1]) == predictions


@pytest.mark.parametrize("given", ["None", "3", "'text'", "{'a': 1}"])
def test_what_has_no_rows_is_an_error_of_the_predictor(code: Code, given: str) -> None:
    with pytest.raises(Internal):
        predicted(code.load(f"def predict(rows): return {given}", "predict"), [1])


ASYNC = """
import asyncio, threading

class Predictor:
    def preprocess(self, instances):
        return [(one, threading.current_thread() is threading.main_thread()) for one in instances]

    async def predict(self, pairs, delay: float = 0):
        await asyncio.sleep(delay)
        return pairs
"""


def test_coroutine_functions_are_awaited_and_others_run_in_threads(code: Code) -> None:
    model = code.load(ASYNC)

    async def predict() -> Any:
        inputs = await model.preprocess([1], {})
        return await model.postprocess(await model.predict(inputs, {"delay": 0.0}), {})  # type: ignore[misc]

    assert model.info.calls is Calls.ASYNC
    assert anyio.run(predict) == [(1, False)]


STREAMS = """
closed = []

class Predictor:
    row_wise = True

    def preprocess(self, instances):
        return instances[0]

    def predict(self, text, upper: bool = False):
        try:
            for letter in text:
                yield letter.upper() if upper else letter
        finally:
            closed.append(text)

    def postprocess(self, letter):
        return letter + "!"

class Asynchronous(Predictor):
    async def predict(self, text):
        try:
            for letter in text:
                yield letter
        finally:
            closed.append(text)
"""


def test_a_generator_gives_items_of_one_instance_after_the_other(code: Code) -> None:
    model = code.load(STREAMS)
    items = model.predict(model.preprocess(["ab", "c"], {}), {"upper": True})

    assert model.info.calls is Calls.STREAM
    assert not model.info.row_wise  # items of several requests cannot be told apart
    assert list(items) == [(0, "A!"), (0, "B!"), (1, "C!")]


def test_a_generator_that_is_left_is_closed(code: Code) -> None:
    model = code.load(STREAMS)
    items = model.predict(["ab", "c"], {})
    next(items)
    items.close()

    assert sys.modules["mine"].closed == ["ab"]


def test_an_asynchronous_generator_does_the_same(code: Code) -> None:
    model = code.load(STREAMS, "Asynchronous")

    async def items() -> list[Any]:
        return [pair async for pair in model.predict(["ab"], {})]

    assert model.info.calls is Calls.ASYNC_STREAM
    assert asyncio.run(items()) == [(0, "a!"), (0, "b!")]


def test_a_failure_is_logged_once_with_its_traceback(code: Code, caplog: pytest.LogCaptureFixture) -> None:
    model = code.load("def predict(rows): return rows[0]['secret']", "predict")
    for _ in range(3):
        with pytest.raises(KeyError):
            predicted(model, [{}])

    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert "rows[0]['secret']" in caplog.text


def test_what_the_log_left_out_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    tracebacks = Tracebacks(lambda: now)
    for second in (0, 1, 2, 61):
        now = float(second)
        tracebacks.write(ValueError("x"))

    assert [record.message for record in caplog.records] == [
        "the predictor failed",
        "the predictor failed (2 more like it since the last traceback)",
    ]


def test_an_error_of_ours_is_not_logged(code: Code, caplog: pytest.LogCaptureFixture) -> None:
    model = code.load("def predict(rows: list[int]): return rows", "predict")
    with pytest.raises(Error):
        predicted(model, ["x"])

    assert not caplog.records
