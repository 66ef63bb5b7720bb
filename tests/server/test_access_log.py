import asyncio
import json
import time

import anyio
import pytest

from modelport.server.access_log import AccessLog
from modelport.server.exchange import Request, Response

pytestmark = pytest.mark.anyio


class Wire:
    def __init__(self, *, closed: bool = False) -> None:
        self.closed = closed
        self.sent: list = []

    def send(self, response: Response) -> None:
        self.sent.append(response)

    def start(self, content_type, headers) -> None:
        self.sent.append(content_type)

    async def write(self, chunk: bytes) -> None:
        self.sent.append(chunk)

    def end(self) -> None:
        self.sent.append("end")

    def abort(self) -> None:
        self.sent.append("abort")


def asked(path: bytes = b"/predict") -> Request:
    return Request(b"POST", path, body=b"{}", received=time.perf_counter() - 0.005)


def log_of(handler) -> tuple[AccessLog, list[bytes]]:
    written: list[bytes] = []
    return AccessLog(handler, written.append, loop=asyncio.get_running_loop(), now=lambda: 1_700_000_000.25), written


async def test_a_request_is_one_line_of_json():
    def handler(request, reply) -> None:
        request.rows = 3
        reply.send(Response(400, b"error"))

    log, written = log_of(handler)
    wire = Wire()
    log(asked(b"/v1/\xff\n"), wire)
    log.flush()
    (line,) = b"".join(written).decode().splitlines()
    seen = json.loads(line)
    assert 5 <= seen.pop("ms") < 5000
    assert seen == {
        "time": "2023-11-14T22:13:20.250+00:00",
        "method": "POST",
        "path": "/v1/ÿ\n",
        "status": 400,
        "received_bytes": 2,
        "sent_bytes": 5,
        "rows": 3,
    }
    assert wire.sent == [Response(400, b"error")]


async def test_lines_are_written_soon_without_being_asked():
    log, written = log_of(lambda request, reply: reply.send(Response(200, b"")))
    for _ in range(5):
        log(asked(), Wire())
    assert not written
    with anyio.fail_after(20):
        while not written:
            await anyio.sleep(0.01)
    assert len(written[0].splitlines()) == 5


async def test_a_flood_of_requests_is_not_kept_in_memory():
    log, written = log_of(lambda request, reply: reply.send(Response(200, b"")))
    for _ in range(1000):
        log(asked(), Wire())
    assert len(written) == 3
    log.flush()
    assert len(b"".join(written).splitlines()) == 1000


async def test_a_caller_who_hung_up_is_logged_as_499():
    log, written = log_of(lambda request, reply: reply.send(Response(200, b"")))
    log(asked(), Wire(closed=True))
    log.flush()
    assert json.loads(written[0])["status"] == 499


@pytest.mark.parametrize(("ending", "status"), [("end", 200), ("abort", 499)])
async def test_a_stream_is_logged_at_its_end_with_what_was_sent(ending, status):
    replies = []
    log, written = log_of(lambda request, reply: replies.append(reply))
    wire = Wire()
    log(asked(), wire)
    replies[0].start(b"text/plain", {})
    await replies[0].write(b"four")
    await replies[0].write(b"5")
    getattr(replies[0], ending)()
    log.flush()
    seen = json.loads(written[0])
    assert (seen["status"], seen["sent_bytes"]) == (status, 5)
    assert wire.sent == [b"text/plain", b"four", b"5", ending]
