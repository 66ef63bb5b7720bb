"""The prediction server under good, bad and rude callers for a long time: its memory at the start and at the end."""

from __future__ import annotations

import itertools
import json
import random
import socket
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import psutil

from bench.report import Finding, Part, Table
from bench.server_compared import MODELPORT
from bench.server_environments import libraries

_ROOT = Path(__file__).parents[1]
_SETTLED_S = 10.0  # before memory is looked at first: every kind of request has been seen by then
_CALLERS = 6
_LOOKS = 5
_GROWTH_MIB = 10.0


def soak(folder: Path, *, quick: bool, seconds: int = 0) -> Part:
    """Ask one worker for ten minutes, or for as long as is said, and look at the memory of all its processes."""
    seconds = seconds or (30 if quick else 600)
    models = folder / "models"
    subprocess.run([libraries(), "-m", "bench.server_models", models], cwd=_ROOT, check=True)
    row = [5.1, 3.5, 1.4, 0.2]
    with MODELPORT.serving(models / "iris", folder / "server", [row]) as (url, process):
        port = int(url.split(":")[2].split("/")[0])
        end = threading.Event()
        counted: Counter[str] = Counter()
        callers = [threading.Thread(target=_call, args=(port, number, end, counted)) for number in range(_CALLERS)]
        for caller in callers:
            caller.start()
        try:
            looks = []
            time.sleep(_SETTLED_S)
            for left in range(_LOOKS, -1, -1):
                looks.append((seconds * (_LOOKS - left) / _LOOKS, *_memory(process)))
                if left:
                    time.sleep(seconds / _LOOKS)
        finally:
            end.set()
            for caller in callers:
                caller.join()
        good = _answer(port, _post(json.dumps({"instances": [row]}).encode()))
    rows = tuple((f"{at:.0f} s", pss, connections) for at, pss, connections in looks)
    tables = (
        Table(f"soak: memory of one worker and its parents over {seconds} s", ("after", "PSS MiB", "sockets"), rows),
        Table("soak: what it was asked", ("answer", "times"), tuple(sorted(counted.items()))),
    )
    growth = Finding("growth from the first look to the last", looks[-1][1] - looks[0][1], "MiB", _GROWTH_MIB)
    still = Finding("a good request is answered at the end", float(good.startswith(b"HTTP/1.1 200")), "", 1, True)
    return Part("soak", tables, (growth, still))


def _memory(process: psutil.Process) -> tuple[float, int]:
    family = [process, *process.children(recursive=True)]
    return sum(one.memory_full_info().pss for one in family) / 2**20, sum(len(one.net_connections()) for one in family)


def _call(port: int, seed: int, end: threading.Event, counted: Counter[str]) -> None:
    chance = random.Random(seed)
    numbers = np.random.default_rng(seed)
    for _ in itertools.takewhile(lambda _: not end.is_set(), itertools.count()):
        kind, request = _request(chance, numbers)
        if kind == "hangs up":
            with socket.create_connection(("127.0.0.1", port)) as line:
                line.sendall(request[: chance.randrange(1, len(request) + 1)])
            counted["(hung up)"] += 1
        else:
            counted[_answer(port, request).split(b"\r\n", 1)[0].decode() or "(none)"] += 1


def _request(chance: random.Random, numbers: np.random.Generator) -> tuple[str, bytes]:
    rows = numbers.normal(size=(chance.choice([1, 1, 1, 7, 300, 20_000]), 4)).tolist()
    good = json.dumps({"instances": rows}).encode()
    return chance.choice(
        [
            ("good", _post(good)),
            ("good", _post(good)),
            ("hangs up", _post(good)),
            ("bad", _post(good[: len(good) // 2])),
            ("bad", _post(b'{"instances": [[1, 2, 3], [1, 2]]}')),
            ("bad", _post(b'{"instances": [["a", "b", "c", "d"]]}')),
            ("bad", _post(b"\xff\xfe" * 10)),
            ("bad", _post(b"[" * 100_000)),
            ("bad", _post(b'{"instances": [null]}')),
            ("bad", b"no HTTP at all\r\n\r\n"),
            ("bad", b"GET /nowhere HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"),
        ]
    )


def _post(body: bytes) -> bytes:
    return b"POST /predict HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


def _answer(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as line:
        line.sendall(request)
        pieces = []
        try:
            while piece := line.recv(1 << 16):
                pieces.append(piece)
        except ConnectionResetError:
            pass
    return b"".join(pieces)
