import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelport.server.listener.wire.answer_reader import MAX_HEAD_BYTES, AnswerReader, Malformed

_BODY = bytes(range(256)) * 1000
ANSWERS = {
    "of a length": b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nX-One: 1\r\nContent-Length: 5\r\n\r\nhello",
    "large": b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nX-One: 1\r\nContent-Length: %d\r\n\r\n%b" % (len(_BODY), _BODY),
    "in chunks": b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nX-One: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nX-Trailer: 1\r\n\r\n",
    "after interim ones": b"HTTP/1.1 100 Continue\r\nX-Early: 1\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nX-One: 1\r\nContent-Length: 5\r\n\r\nhello",
    "between neighbours": b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5\r\nContent-Type: a/b\r\nX-One: 1\r\n"
    b"Content-Length: 5\r\nConnection: keep-alive\r\n\r\nhello",
}


def read(pieces: list[bytes]) -> AnswerReader:
    reader = AnswerReader()
    for piece in pieces:
        reader.feed(piece)
    return reader


@pytest.mark.parametrize("name", ANSWERS)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_an_answer_is_the_same_wherever_it_is_split(name: str, data: st.DataObject) -> None:
    answer = ANSWERS[name]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(answer)), max_size=6)))
    reader = read([answer[a:b] for a, b in zip([0, *cuts], [*cuts, len(answer)], strict=True)])
    assert reader.whole
    assert reader.keep_alive
    assert (reader.status, reader.content_type, reader.headers) == (200, b"a/b", {b"x-one": b"1"})
    assert reader.take() == (_BODY if name == "large" else b"hello")


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_that_lacks_a_byte_is_not_whole(name: str) -> None:
    reader = read([ANSWERS[name][:-1]])
    assert not reader.whole
    reader.end()
    assert not reader.whole


def test_an_answer_of_unknown_length_ends_with_the_connection() -> None:
    reader = read([b"HTTP/1.1 200 OK\r\n\r\nhel", b"lo"])
    assert not reader.whole
    reader.end()
    assert reader.whole
    assert not reader.keep_alive
    assert reader.take() == b"hello"


def test_a_head_alone_is_no_answer_when_the_connection_ends() -> None:
    reader = read([b"HTTP/1.1 200 OK\r\nContent-Ty"])
    reader.end()
    assert not reader.whole


def test_no_content_is_whole_with_its_head() -> None:
    reader = read([b"HTTP/1.1 204 No Content\r\n\r\n"])
    assert (reader.whole, reader.keep_alive, reader.take()) == (True, True, b"")


def test_the_next_answer_knows_nothing_of_the_one_before() -> None:
    reader = read([b"HTTP/1.1 200 OK\r\nx-a: 1\r\ncontent-type: a/b\r\ncontent-length: 1\r\n\r\na"])
    reader.begin()
    reader.feed(b"HTTP/1.1 500 No\r\ncontent-length: 2\r\n\r\nno")
    assert (reader.status, reader.content_type, reader.headers, reader.take()) == (500, b"", {}, b"no")


def test_headers_that_come_twice_are_joined() -> None:
    reader = read([b"HTTP/1.1 200 OK\r\nServer-Timing: a\r\nserver-timing: b\r\ncontent-length: 0\r\n\r\n"])
    assert reader.headers == {b"server-timing": b"a, b"}


@pytest.mark.parametrize("large", [b"", b"x" * 200_000])
def test_what_comes_behind_an_answer_ends_the_connection_and_is_not_kept(large: bytes) -> None:
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(large)
    reader = read([answer, large + answer] if large else [answer + answer])
    assert reader.whole
    assert not reader.keep_alive
    assert reader.take() == large


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n", "Expected HTTP/"),
        (b"\x00\x00\x12\x04\x00\x00\x00\x00\x00", "Expected HTTP/"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: some\r\n\r\n", "Content-Length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", "Content-Length"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhello", "chunk"),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n", "protocol"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * MAX_HEAD_BYTES, "longer than"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * MAX_HEAD_BYTES + b"\r\n\r\n", "longer than"),
    ],
)
def test_what_is_no_answer_is_told_with_the_reason(answer: bytes, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        read([answer])
