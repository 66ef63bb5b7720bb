import orjson
import pytest

from modelport.server.app import App, with_heads
from modelport.server.exchange import Handler, Reply, Request, Response
from tests.server.wire_exchanges import Recorded


def saying(word: bytes) -> Handler:
    def handle(request: Request, reply: Reply) -> None:
        reply.send(Response(200, word))

    return handle


APP = App(
    with_heads(
        {
            (b"GET", b"/health"): saying(b"well"),
            (b"POST", "/v2/models/gr\u00f6\u00dfe 2/infer".encode()): saying(b"inferred"),
        }
    )
)


def ask(method: bytes, path: bytes) -> Response:
    reply = Recorded()
    APP(Request(method, path), reply)  # type: ignore[arg-type]
    (response,) = reply.responses
    return response


@pytest.mark.parametrize(
    "path", [b"/v2/models/gr%C3%B6%C3%9Fe%202/infer", "/v2/models/gr\u00f6\u00dfe 2/infer".encode()]
)
def test_a_name_may_be_percent_encoded(path: bytes) -> None:
    assert ask(b"POST", path).body == b"inferred"
    assert ask(b"GET", path).status == 405


def test_head_is_answered_wherever_get_is() -> None:
    assert ask(b"HEAD", b"/health").status == 200
    assert ask(b"HEAD", b"/%68ealth").status == 200


@pytest.mark.parametrize("path", [b"/v2/models/other/infer", b"/v2/models/%zz%ff/infer"])
def test_what_is_not_there_is_refused_in_the_form_of_its_protocol(path: bytes) -> None:
    response = ask(b"POST", path)
    assert response.status == 404
    assert "/health" in orjson.loads(response.body)["error"]


def test_a_wrong_method_is_told_with_the_right_ones() -> None:
    response = ask(b"POST", b"/health")
    assert response.status == 405
    assert response.headers[b"allow"] == b"GET, HEAD"
