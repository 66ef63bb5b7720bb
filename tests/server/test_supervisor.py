import os
import signal
import socket
import subprocess
import sys
import threading

import pytest

from modelport.server.child_processes import end_of
from modelport.server.doorkeeper import OPEN, SHUT, Doorkeeper, answer
from modelport.server.supervisor import pause_s


def test_replacements_come_at_once_and_then_less_and_less_often() -> None:
    pauses = [pause_s(deaths) for deaths in range(1, 50)]
    assert pauses[:3] == [0.1, 0.2, 0.4]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 30


@pytest.mark.parametrize(
    ("end", "code", "words"),
    [(lambda: os._exit(3), 3, "ended with code 3"), (lambda: os.kill(os.getpid(), 9), 137, "was killed by SIGKILL")],
)
def test_the_end_of_a_process_is_told_as_a_shell_would(end, code: int, words: str) -> None:
    pid = os.fork()
    if not pid:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        end()
    assert end_of(os.waitpid(pid, 0)[1]) == (code, words)


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b"GET /h HTTP/1.1\r\n\r\n", b'{"status":"loading"}'),
        (b"GET /h?x=1 HTTP/1.1\r\n\r\n", b'{"status":"loading"}'),
        (b"HEAD /h HTTP/1.1\r\n\r\n", b""),
    ],
)
def test_the_doorkeeper_says_of_health_that_the_model_loads(head: bytes, body: bytes) -> None:
    assert answer(head, b"/h").startswith(b"HTTP/1.1 503 ")
    assert answer(head, b"/h").partition(b"\r\n\r\n")[2] == body


def test_the_doorkeeper_has_an_answer_to_anything() -> None:
    for head in (b"POST /predict HTTP/1.1\r\n\r\n", b"", b"\r\n\r\n", b"x" * 20_000, b"GET"):
        assert b'"UNAVAILABLE"' in answer(head, b"/h")


def test_the_doorkeeper_accepts_only_while_the_door_is_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        ours, theirs = socket.socketpair()
        ours.settimeout(5)
        keeper = threading.Thread(target=Doorkeeper(listener, theirs, "/health").run, daemon=True)
        keeper.start()
        address = listener.getsockname()

        def order(what: bytes) -> None:
            ours.send(what)
            assert ours.recv(1) == what

        order(OPEN)
        with (
            socket.create_connection(address, timeout=5) as caller,
            socket.create_connection(address, timeout=5) as idle,
        ):
            caller.send(b"POST /predict HTTP/1.1\r\nContent-Length: 300000\r\n\r\n" + bytes(300_000))
            text = b""
            while more := caller.recv(65536):
                text += more
            assert text.startswith(b"HTTP/1.1 503 ")
            with socket.create_connection(address, timeout=5) as late:
                threading.Timer(0.03, late.send, (b"GET /health HTTP/1.1\r\n\r\n",)).start()
                order(SHUT)
                assert late.recv(100).startswith(b"HTTP/1.1 503 ")  # it was let in: it is not turned out
            assert idle.recv(1) == b""  # its request is for a worker
        with socket.create_connection(address, timeout=0.1) as caller:
            caller.send(b"GET /health HTTP/1.1\r\n\r\n")
            with pytest.raises(TimeoutError):
                caller.recv(1)
            order(OPEN)
            caller.settimeout(5)
            assert caller.recv(100).startswith(b"HTTP/1.1 503 ")
        ours.close()
        keeper.join(5)
        assert not keeper.is_alive()
        theirs.close()


LATE = """
import os, signal, socket, threading
from modelport.server.supervisor import READY, Plan, Supervisor

def work(*, number, listener, link, loaded):
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    if number == 0:
        link.send(READY)
        link.recv(1)
    os.write(1, b"%d\\n" % number)
    told.wait(20)
    if number == 1:  # it became ready while the server was told to end
        link.send(READY)
        link.recv(1)
    return 0

with socket.create_server(("127.0.0.1", 0)) as listener:
    listener.setblocking(False)
    raise SystemExit(Supervisor(Plan(2, "/health", drain_s=60), listener, work).run())
"""


def test_a_worker_that_becomes_ready_while_the_server_ends_does_not_hold_it_up() -> None:
    with subprocess.Popen([sys.executable, "-c", LATE], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert sorted(server.stdout.readline() for _ in range(2)) == ["0\n", "1\n"]
            server.terminate()
            assert server.wait(30) == 0
        finally:
            server.kill()
