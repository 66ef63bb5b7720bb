"""Both forms of the Open Inference Protocol on the real Triton: every datatype, error bodies, empty and ragged rows."""

import math
from typing import Any

import httpx
import numpy as np
import pytest

from modelport.core.errors import Error, InvalidArgument, ModelServerFailed, ModelServerGarbled
from modelport.server.listener.declaration import Model
from modelport.server.listener.formats.base import Call, Format, Message
from modelport.server.listener.formats.open_inference import BinaryOpenInference, OpenInference
from modelport.server.listener.wire.model_call import failure
from modelport.server.model import Batch
from tests.model_servers.triton import Triton

pytestmark = pytest.mark.slow

FORMATS: tuple[type[Format], ...] = (OpenInference, BinaryOpenInference)
BITS = (8, 16, 32, 64)
# Rows by datatype that both forms carry: the extremes of each.
ROWS: dict[str, list[Any]] = {
    "BOOL": [[True, False], [False, True]],
    **{f"INT{bits}": [[-(2 ** (bits - 1)), 2 ** (bits - 1) - 1], [0, -1]] for bits in BITS},
    **{f"UINT{bits}": [[0, 2**bits - 1], [1, 2 ** (bits - 1)]] for bits in BITS},
    "FP32": [[1.5, -(2.0**127)], [2.0**-149, 0.0]],
    "FP64": [[0.1, 1e308], [-5e-324, 2.0**53]],
    "BYTES": [["", "text"], ["Ünïcödé 語 🙂", '"quoted"\n\0']],
}
# Triton neither reads nor writes these as JSON.
BINARY_ROWS = {"FP16": [[1.5, 65504.0], [6e-8, -2.0]], "BF16": [[1.5, 2.0**127], [-(2.0**-126), 0.0]]}


@pytest.fixture(params=FORMATS, ids=lambda one: one.name)
def spoken(request: pytest.FixtureRequest) -> Format:
    made: Format = request.param()
    return made


@pytest.fixture
def binary() -> Format:
    return BinaryOpenInference()


def model(datatype: str, *, shape: str = "2", declares_output: bool = True, **fields: Any) -> Model:
    outputs = {f"OUT_{datatype}": f"{datatype}[{shape}]"} if declares_output else {}
    defaults = {"path": "/v2/models/identity/infer", "inputs": {f"IN_{datatype}": f"{datatype}[{shape}]"}}
    return Model("identity", "triton", **{**defaults, "outputs": outputs, **fields})


def ask(triton: Triton, spoken: Format, rows: Batch, of: Model) -> Batch:
    """Do what a call of a model does; raise the error that the caller would be told."""
    message = sent(triton, spoken.write_call(Call(rows), of), of)
    if message.status != 200:
        raise failure(message, of, spoken)
    return spoken.read_answer(message, of)


def sent(triton: Triton, call: Message, of: Model) -> Message:
    headers = {b"content-type": call.content_type, **call.headers}
    answer = httpx.post(triton.url + of.path, content=call.body, headers=headers, trust_env=False)
    given = {name.lower(): value for name, value in answer.headers.raw}
    return Message(answer.content, given.pop(b"content-type", b""), given, answer.status_code)


def plain(batch: Batch) -> Any:
    return batch.tolist() if isinstance(batch, np.ndarray) else batch


@pytest.mark.parametrize("datatype", ROWS)
def test_every_datatype_comes_back_as_it_went(triton: Triton, spoken: Format, datatype: str) -> None:
    assert plain(ask(triton, spoken, ROWS[datatype], model(datatype))) == ROWS[datatype]


@pytest.mark.parametrize("datatype", ROWS)
def test_outputs_need_not_be_declared(triton: Triton, spoken: Format, datatype: str) -> None:
    of = model(datatype, declares_output=False)

    assert plain(ask(triton, spoken, ROWS[datatype], of)) == ROWS[datatype]


@pytest.mark.parametrize("datatype", BINARY_ROWS)
def test_short_floats_go_in_binary_form(triton: Triton, binary: Format, datatype: str) -> None:
    rows = BINARY_ROWS[datatype]

    given = ask(triton, binary, rows, model(datatype))

    assert isinstance(given, np.ndarray)
    np.testing.assert_allclose(given.astype(np.float64), rows, rtol=1e-2)


def test_bf16_is_refused_as_json_before_it_is_sent() -> None:
    with pytest.raises(InvalidArgument, match="BF16"):
        OpenInference().write_call(Call(BINARY_ROWS["BF16"]), model("BF16"))


def test_fp16_as_json_is_refused_in_words_of_triton(triton: Triton) -> None:
    with pytest.raises(InvalidArgument, match="FP16 data via JSON is not supported"):
        ask(triton, OpenInference(), BINARY_ROWS["FP16"], model("FP16"))


def test_bytes_that_are_no_text_go_in_binary_form(triton: Triton, binary: Format) -> None:
    rows = [[b"\xff\x00", b"\x89PNG\r\n"], [b"", b"\xc3"]]

    assert plain(ask(triton, binary, rows, model("BYTES"))) == rows


def test_bytes_that_triton_writes_into_json_as_they_are_fail_clearly(triton: Triton, binary: Format) -> None:
    of = model("BYTES")
    call = binary.write_call(Call([[b"\xff", b""]]), of)
    as_json = Message(
        call.body.replace(b'"binary_data":true', b'"binary_data":false'),
        call.content_type,
        {name: b"%d" % (int(value) + 1) for name, value in call.headers.items()},
    )
    answer = sent(triton, as_json, of)
    assert b"\xff" in answer.body  # which no JSON may hold

    with pytest.raises(ModelServerGarbled, match="identity"):
        binary.read_answer(answer, of)


def test_no_number_and_infinity_come_back(triton: Triton, binary: Format) -> None:
    given = plain(ask(triton, binary, [[math.nan, math.inf], [-math.inf, 1.0]], model("FP32")))

    assert math.isnan(given[0][0])
    assert [given[0][1], *given[1]] == [math.inf, -math.inf, 1.0]


def test_what_is_no_json_in_its_json_is_read(triton: Triton) -> None:
    """Triton writes NaN and Infinity by these names."""
    of, spoken = model("FP32"), OpenInference()
    tensor = b'{"name":"IN_FP32","datatype":"FP32","shape":[1,2],"data":[NaN,Infinity]}'
    answer = sent(triton, Message(b'{"inputs":[%b]}' % tensor), of)
    assert b"NaN" in answer.body

    [[first, second]] = plain(spoken.read_answer(answer, of))

    assert first is None or math.isnan(first)
    assert second == math.inf or second is None or math.isnan(second)


def test_no_rows_give_no_rows(triton: Triton, spoken: Format) -> None:
    """The binary answer has neither a binary part nor the header that tells its length."""
    given = ask(triton, spoken, np.empty((0, 2), np.float32), model("FP32"))

    assert len(given) == 0


def test_rows_of_no_values_give_such_rows(triton: Triton, spoken: Format) -> None:
    given = ask(triton, spoken, np.empty((3, 0), np.float32), model("FP32", shape="-1"))

    assert isinstance(given, np.ndarray)
    assert given.shape == (3, 0)


def test_ragged_rows_are_refused_by_their_number(spoken: Format) -> None:
    with pytest.raises(InvalidArgument, match=r"instances\[1\]"):
        spoken.write_call(Call([[1.0, 2.0], [3.0]]), model("FP32"))


@pytest.mark.parametrize(
    ("datatype", "rows"), [("INT8", [[0, 300]]), ("UINT64", [[0, 2**64]]), ("UINT8", [[-1, 0]]), ("INT32", [[1.5, 2]])]
)
def test_what_a_datatype_cannot_hold_never_reaches_triton(spoken: Format, datatype: str, rows: list[Any]) -> None:
    """Triton would cut 300 off to 44, and say nothing."""
    with pytest.raises(InvalidArgument, match=f"IN_{datatype}"):
        spoken.write_call(Call(rows), model(datatype))


def test_a_tensor_of_a_megabyte_comes_back(triton: Triton, spoken: Format) -> None:
    rows = np.random.default_rng(0).random((1, 250_000), np.float32)

    given = ask(triton, spoken, rows, model("FP32", shape="-1"))

    assert isinstance(given, np.ndarray)
    assert np.array_equal(given.astype(np.float32), rows)


REFUSALS: list[tuple[str, dict[str, Any], type[Error], str]] = [
    ("an unknown input", {"inputs": {"X": "FP32[2]"}}, InvalidArgument, "unexpected inference input 'X'"),
    ("another datatype", {"inputs": {"IN_FP32": "FP64[2]"}}, InvalidArgument, "data-type is 'FP64'"),
    ("an unknown output", {"outputs": {"Y": "FP32[2]"}}, InvalidArgument, "unexpected inference output 'Y'"),
    ("an unknown model", {"path": "/v2/models/none/infer"}, Error, "unknown model: 'none'"),
]


@pytest.mark.parametrize(("changes", "kind", "words"), [one[1:] for one in REFUSALS], ids=[one[0] for one in REFUSALS])
def test_its_errors_reach_the_caller_in_its_words(
    triton: Triton, spoken: Format, changes: dict[str, Any], kind: type[Error], words: str
) -> None:
    with pytest.raises(kind) as refused:
        ask(triton, spoken, [[1.0, 2.0]], model("FP32", **changes))

    assert words in refused.value.message


@pytest.mark.parametrize(
    ("data", "status", "words"), [(b"[300, 1]", 200, b'"data":[44,1]'), (b"[1]", 500, b"Shape does not match")]
)
def test_triton_by_itself_does_what_the_guide_warns_of(triton: Triton, data: bytes, status: int, words: bytes) -> None:
    tensor = b'{"name": "IN_INT8", "datatype": "INT8", "shape": [1, 2], "data": %b}' % data

    answer = sent(triton, Message(b'{"inputs": [%b]}' % tensor), model("INT8"))

    assert answer.status == status
    assert words in answer.body


def test_what_it_calls_its_own_failure_is_one_of_the_model_server(triton: Triton, spoken: Format) -> None:
    """It answers 500 to what it cannot parse."""
    of = model("FP32")
    answer = sent(triton, Message(b'{"inputs": [}'), of)

    error = failure(answer, of, spoken)

    assert isinstance(error, ModelServerFailed)
    assert "failed to parse the request JSON buffer" in error.message
