import itertools

import hypothesis
from hypothesis import strategies as st

from modelport.server.request_reader import Limits, RequestReader, Stage

LARGE = 70_000  # a body that is taken past the parser


def sized(body: bytes) -> bytes:
    return b"POST /p?q HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def chunked(body: bytes) -> bytes:
    parts = [body[start : start + 1000] for start in range(0, len(body), 1000)]
    framed = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    return b"POST /p?q HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n%b0\r\nX-Trailer: 1\r\n\r\n" % framed


def read(data: bytes, cuts: list[int], limits: Limits | None = None) -> RequestReader:
    reader = RequestReader(limits or Limits())
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, stop in itertools.pairwise(edges):
        if start < stop:
            reader.feed(data[start:stop])
    return reader


bodies = st.one_of(st.binary(max_size=40), st.integers(LARGE, LARGE + 3000).map(lambda size: b"ab\r\n" * (size // 4)))
messages = st.lists(st.tuples(st.sampled_from([sized, chunked]), bodies), min_size=1, max_size=4)


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(messages, st.lists(st.integers(0, 10**6), max_size=12))
def test_requests_are_the_same_wherever_the_bytes_are_cut(messages, cuts) -> None:
    reader = read(b"".join(form(body) for form, body in messages), cuts)
    assert reader.refusal is None
    assert [request.body for request, _ in reader.ready] == [body for _, body in messages]
    assert {(request.method, request.path, request.query) for request, _ in reader.ready} == {(b"POST", b"/p", b"q")}
    assert all(keep_alive for _, keep_alive in reader.ready)
    assert reader.stage is Stage.BETWEEN


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(messages, st.binary(max_size=30), st.integers(0, 10**6), st.lists(st.integers(0, 10**6), max_size=6))
def test_no_bytes_break_it_and_nothing_is_read_beyond_a_refusal(messages, noise, place, cuts) -> None:
    data = b"".join(form(body) for form, body in messages)
    place %= len(data)
    reader = read(data[:place] + noise + data[place:], cuts)
    before = len(reader.ready)
    if reader.refusal is not None:
        assert reader.refusal.status in (400, 413, 431)
        reader.feed(sized(b"more"))
        assert len(reader.ready) == before


def test_requests_ahead_are_limited_in_number() -> None:
    reader = read(b"GET / HTTP/1.1\r\n\r\n" * 1000, [])
    assert len(reader.ready) == 128
    assert reader.refusal is not None
    assert reader.refusal.status == 429


def test_chunk_extensions_and_trailers_without_end_are_refused() -> None:
    head = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    for start, more in ((b"1;", b"a=b;" * 1000), (b"0\r\nX: ", b"y" * 4000)):
        reader = RequestReader(Limits(max_head_bytes=10_000))
        reader.feed(head + start)
        for _ in range(10):
            reader.feed(more)
        assert reader.refusal is not None
        assert reader.refusal.status in (400, 431)


def test_a_body_of_single_bytes_takes_no_more_than_its_size() -> None:
    reader = RequestReader(Limits())
    reader.feed(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(50):
        reader.feed(b"2\r\nab\r\n" * 1000)
    reader.feed(b"0\r\n\r\n")
    assert reader.ready[0][0].body == b"ab" * 50_000


def test_a_url_may_name_the_host() -> None:
    reader = read(b"GET http://host:80/path?q=http://other/ HTTP/1.1\r\n\r\n", [])
    assert (reader.ready[0][0].path, reader.ready[0][0].query) == (b"/path", b"q=http://other/")


def test_a_body_above_the_limit_is_refused_whole_or_in_parts() -> None:
    for cuts in ([], [60], [61, 65]):
        reader = read(sized(bytes(11)), cuts, Limits(max_body_bytes=10))
        assert not reader.ready
        assert reader.refusal is not None
        assert reader.refusal.status == 413
